#include "repository/backend/memory_backend.h"

#include <algorithm>
#include <cstring>

#include "repository/backend/object_name.h"

namespace cacs::repository {

namespace {

Error none(const std::string& name) { return make_error(ErrorCode::kNotFound, "memory: there is no " + name); }

class MemoryWriter final : public ObjectWriter {
 public:
  MemoryWriter(std::shared_ptr<MemoryStore> store, std::string name, Overwrite overwrite)
      : store_(std::move(store)), name_(std::move(name)), overwrite_(overwrite) {}

  Status append(std::span<const std::byte> data) override {
    if (ended_) return make_error(ErrorCode::kInternal, "memory: append to " + name_ + " after commit");
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    return {};
  }

  Status commit() override {
    if (ended_) return make_error(ErrorCode::kInternal, "memory: second commit of " + name_);
    ended_ = true;
    auto object = std::make_shared<const std::vector<std::byte>>(std::move(bytes_));
    if (!store_->put(name_, std::move(object), overwrite_)) {
      return make_error(ErrorCode::kConflict, "memory: " + name_ + " exists already");
    }
    return {};
  }

 private:
  std::shared_ptr<MemoryStore> store_;
  std::string name_;
  Overwrite overwrite_;
  std::vector<std::byte> bytes_;
  bool ended_ = false;
};

class MemoryBackend final : public Backend {
 public:
  explicit MemoryBackend(std::shared_ptr<MemoryStore> store) : store_(std::move(store)) {}

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    CACS_TRY(check_object_name(name));
    return std::unique_ptr<ObjectWriter>(std::make_unique<MemoryWriter>(store_, name, overwrite));
  }

  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    CACS_TRY(check_object_name(name));
    const auto object = store_->get(name);
    if (!object) return none(name);
    if (offset >= object->size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(out.size(), object->size() - offset);
    if (count > 0) std::memcpy(out.data(), object->data() + offset, count);
    return count;
  }

  Result<std::uint64_t> size(const std::string& name) override {
    CACS_TRY(check_object_name(name));
    const auto object = store_->get(name);
    if (!object) return none(name);
    return std::uint64_t{object->size()};
  }

  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    CACS_TRY(check_prefix(prefix));
    for (const auto& info : store_->list(prefix)) CACS_TRY(visitor(info));
    return {};
  }

  Status remove(const std::string& name) override {
    CACS_TRY(check_object_name(name));
    return store_->remove(name) ? ok_status() : Status(none(name));
  }

  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] std::string describe() const override { return "memory"; }

 private:
  std::shared_ptr<MemoryStore> store_;
  BackendTraits traits_{.exclusive_create = true, .current_listing = true, .local = true};
};

}  // namespace

MemoryStore::Object MemoryStore::get(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  const auto found = objects_.find(name);
  return found == objects_.end() ? nullptr : found->second;
}

bool MemoryStore::put(const std::string& name, Object object, Overwrite overwrite) {
  const std::scoped_lock lock(mutex_);
  if (overwrite == Overwrite::kNo && objects_.contains(name)) return false;
  objects_[name] = std::move(object);
  return true;
}

bool MemoryStore::remove(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  return objects_.erase(name) > 0;
}

std::vector<ObjectInfo> MemoryStore::list(const std::string& prefix) const {
  const std::scoped_lock lock(mutex_);
  std::vector<ObjectInfo> infos;
  for (auto at = objects_.lower_bound(prefix); at != objects_.end() && at->first.starts_with(prefix); ++at) {
    infos.push_back({at->first, at->second->size()});
  }
  return infos;
}

std::unique_ptr<Backend> make_memory_backend(std::shared_ptr<MemoryStore> store) {
  return std::make_unique<MemoryBackend>(std::move(store));
}

}  // namespace cacs::repository
