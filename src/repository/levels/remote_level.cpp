#include "repository/levels/remote_level.h"

#include <fmt/format.h>

#include "repository/keys/key_slot.h"
#include "repository/layout.h"
#include "repository/levels/level_record.h"
#include "repository/unlock.h"

namespace cacs::repository {

namespace {

class SharedBackend final : public Backend {
 public:
  explicit SharedBackend(std::shared_ptr<Backend> inner) : inner_(std::move(inner)) {}
  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    return inner_->create(name, overwrite);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    return inner_->read(name, offset, out);
  }
  Result<std::uint64_t> size(const std::string& name) override { return inner_->size(name); }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    return inner_->list(prefix, visitor);
  }
  Status remove(const std::string& name) override { return inner_->remove(name); }
  [[nodiscard]] const BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }

 private:
  std::shared_ptr<Backend> inner_;
};

}  // namespace

std::unique_ptr<Backend> make_shared_backend(std::shared_ptr<Backend> backend) {
  return std::make_unique<SharedBackend>(std::move(backend));
}

Result<std::shared_ptr<Backend>> RemoteLevel::store() {
  const std::lock_guard lock(mutex_);
  if (store_) return store_;
  auto connected = place_.connect();
  if (!connected) return connected.error().with_context("open the remote level " + place_.name);
  store_ = *std::move(connected);
  return store_;
}

Result<std::unique_ptr<GatePass>> RemoteLevel::enter() {
  if (!place_.gate) return std::unique_ptr<GatePass>();
  return place_.gate()->enter(GateMode::kShared, GateWait::kBlock);
}

Result<std::shared_ptr<Repository>> RemoteLevel::repository() {
  CACS_ASSIGN(auto backend, store());
  const std::lock_guard lock(mutex_);
  if (repository_) return repository_;
  CACS_ASSIGN(const Descriptor ours, read_descriptor(local_.backend()));
  CACS_ASSIGN(const Descriptor theirs, read_descriptor(*backend));
  if (ours.id != theirs.id) {
    return make_error(
        ErrorCode::kConflict,
        fmt::format("the remote level {} holds repository {}, and not {}", place_.name, theirs.id, ours.id),
        "give each repository a remote level of its own");
  }
  auto opened = Repository::open({.backend = make_shared_backend(std::move(backend)),
                                  .keys = local_.keys(),
                                  .gate = place_.gate ? place_.gate() : make_process_gate()});
  if (!opened) return opened.error();
  repository_ = std::move(opened).value();
  return repository_;
  // The gate and the backend go with the Place, which the analyser does not see.
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks)

Result<Slice> RemoteLevel::read_slot(const PackId& pack, Slot slot, ReadContext& context) {
  CACS_ASSIGN(const auto there, repository());
  PackStore& store = there->core().store;
  return store.read({.pack = store.catalog().number_of(pack), .slot = slot}, context);
}

Result<ManifestDocument> RemoteLevel::load_manifest(std::string_view checkpoint) {
  CACS_ASSIGN(const auto record, load_level_record(local_.backend(), local_.keys(), checkpoint));
  if (record && record->removing) {
    return make_error(ErrorCode::kNotFound, fmt::format("checkpoint {} is being removed", checkpoint));
  }
  CACS_ASSIGN(const auto there, repository());
  return load_manifest_document(there->core(), checkpoint);
}

Status adopt_repository(Backend& local, const std::shared_ptr<Backend>& remote,
                        const std::function<Result<Credential>()>& credential) {
  const auto here = read_descriptor(local);
  if (here || here.error().code != ErrorCode::kNotFound) return here ? Status() : Status(here.error());
  const auto there = read_descriptor(*remote);
  if (!there && there.error().code == ErrorCode::kNotFound) return {};
  if (!there) return there.error();
  const std::string doing = fmt::format("take up the repository of {} in {}", remote->describe(), local.describe());
  // Before anything is written: whoever cannot open it has come to the wrong place.
  CACS_TRY(open_repository({make_shared_backend(remote), make_open_gate()}, credential).context(doing));
  CACS_ASSIGN(const SlotList slots, load_slots(*remote, there->id));
  for (const auto& slot : slots.slots) CACS_TRY(store_slot(local, slot).context(doing));
  CACS_TRY(put_object(local, std::string(kTakenUpName), {}, Overwrite::kYes).context(doing));
  const std::string name(kDescriptorName);
  CACS_ASSIGN(const auto descriptor, get_object(*remote, name, kMaxDocumentBytes));
  return put_object(local, name, descriptor, Overwrite::kNo).context(doing);
}

}  // namespace cacs::repository
