#include "repository/unlock.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>

#include "base/io.h"
#include "base/log.h"
#include "base/time.h"
#include "base/uuid.h"
#include "repository/backend/file_backend.h"
#include "repository/keys/key_file.h"
#include "repository/keys/master_keys.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

/// One tenant a repository so far.
constexpr std::string_view kTenant = "default";

std::string slot_name(const std::string& id) { return std::string(kSlotPrefix) + id; }

/// Of a repository that was never finished: its descriptor was to come last.
Status remove_orphan_slots(Backend& backend) {
  std::vector<std::string> names;
  CACS_TRY(backend.list(std::string(kSlotPrefix), [&](const ObjectInfo& object) -> Status {
    names.push_back(object.name);
    return {};
  }));
  for (const auto& name : names) CACS_TRY(backend.remove(name));
  return {};
}

}  // namespace

Result<SlotList> load_slots(Backend& backend, const std::string& repository) {
  std::vector<std::string> names;
  CACS_TRY(backend.list(std::string(kSlotPrefix), [&](const ObjectInfo& object) -> Status {
    names.push_back(object.name);
    return {};
  }));
  SlotList list;
  for (const auto& name : names) {
    const auto load = [&]() -> Result<KeySlot> {
      CACS_ASSIGN(const auto bytes, get_object(backend, name, kMaxKeySlotBytes));
      return parse_stored_slot(bytes, std::string_view(name).substr(kSlotPrefix.size()), repository);
    };
    auto slot = load();
    if (slot) {
      list.slots.push_back(*std::move(slot));
    } else if (slot.error().code != ErrorCode::kNotFound) {
      list.problems.push_back(slot.error());
    }
  }
  return list;
}

Status store_slot(Backend& backend, const KeySlot& slot) {
  return put_object(backend, slot_name(slot.id()), slot.encoded(), Overwrite::kYes);
}

namespace {

Place place_of(StorePlace store, TenantKeys keys) {
  return {.backend = std::move(store.backend),
          .keys = std::move(keys),
          .gate = std::move(store.gate),
          .plain = std::move(store.plain)};
}

}  // namespace

Result<std::unique_ptr<Repository>> create_repository(StorePlace store, const Credential& credential,
                                                      const CreateOptions& options) {
  const std::string id = new_uuid();
  if (options.sealing == Sealing::kNone) {
    return Repository::create(place_of(std::move(store), TenantKeys::unsealed(id)), id);
  }
  Backend* backend = store.backend.get();
  const std::string doing = "make a repository in " + backend->describe();
  // Looked at before anything is touched: the slots of one that is there must stay.
  if (backend->size(std::string(kDescriptorName)).ok()) {
    return make_error(ErrorCode::kConflict, doing + ": there is one already");
  }
  CACS_TRY(remove_orphan_slots(*backend).context(doing));
  const MasterKeys keys = MasterKeys::random();
  const SlotRequest request{.id = new_uuid(), .repository = id, .label = options.label, .cost = options.cost};
  CACS_ASSIGN(const KeySlot slot, KeySlot::make(request, credential, keys));
  CACS_TRY(store_slot(*backend, slot).context(doing));
  return Repository::create(place_of(std::move(store), keys.tenant(options.sealing, kTenant)), id);
}

Result<std::unique_ptr<Repository>> open_repository(StorePlace store,
                                                    const std::function<Result<Credential>()>& credential) {
  Backend* backend = store.backend.get();
  CACS_ASSIGN(const Descriptor descriptor, read_descriptor(*backend));
  if (descriptor.sealing == Sealing::kNone) {
    return Repository::open(place_of(std::move(store), TenantKeys::unsealed(descriptor.id)));
  }
  const std::string doing = "unlock the repository in " + backend->describe();
  CACS_ASSIGN(const SlotList slots, load_slots(*backend, descriptor.id));
  for (const auto& problem : slots.problems) spdlog::warn("{}: {}", doing, problem.to_string());
  auto secret = credential();
  if (!secret) return secret.error().with_context(doing);
  auto unlocked = unlock(slots.slots, *secret);
  if (!unlocked) return unlocked.error().with_context(doing);
  if (unlocked->stale) {
    return make_error(ErrorCode::kPermission, doing + ": its keys have been rotated, and this key slot was not there",
                      "ask who rotated them to refresh the slot (`cacs repo key refresh`)");
  }
  return Repository::open(place_of(std::move(store), unlocked->keys.tenant(descriptor.sealing, kTenant)));
}

SlotLabel own_label() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const passwd* user = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe): the name is copied at once
  SlotLabel label{.host = std::string(host.data()),
                  .user = user != nullptr ? user->pw_name : std::to_string(::geteuid()),
                  .created = wall_now()};
  label.host.resize(std::min(label.host.size(), kMaxLabelBytes));
  label.user.resize(std::min(label.user.size(), kMaxLabelBytes));
  return label;
}

Result<StorePlace> local_place(const std::filesystem::path& directory) {
  CACS_TRY(make_directories(directory, 0700));
  auto backend =
      make_file_backend(make_file_storage(directory),
                        {.never_replaced = [](const std::string& name) { return name.starts_with(kPackPrefix); }});
  // A convenience: what stays is only space.
  if (const auto removed = backend->remove_stale_temporaries(StaleOf::kThisHost); !removed) {
    spdlog::warn("open {}: {}", directory.string(), removed.error().to_string());
  }
  return StorePlace{.backend = std::move(backend), .gate = make_file_gate(directory)};
}

Result<std::unique_ptr<Repository>> open_or_create_local(const std::filesystem::path& directory,
                                                         const std::filesystem::path& key_file) {
  CACS_ASSIGN(StorePlace place, local_place(directory));
  const auto descriptor = read_descriptor(*place.backend);
  const auto credential = [&]() -> Result<Credential> {
    CACS_ASSIGN(const SecretKey key, read_key_file(key_file));
    return Credential(key);
  };
  if (descriptor) return open_repository(std::move(place), credential);
  if (descriptor.error().code != ErrorCode::kNotFound) return descriptor.error();
  const auto made = create_key_file(key_file, SecretKey::random());
  // One that is there was made for this repository, before its making was interrupted.
  if (!made && made.error().code != ErrorCode::kConflict) return made.error();
  CACS_ASSIGN(const Credential key, credential());
  return create_repository(std::move(place), key, {.label = own_label()});
}

}  // namespace cacs::repository
