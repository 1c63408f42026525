#include "repository/forgetful_storage.h"

#include <algorithm>
#include <cstring>

namespace cacs::repository {

namespace {

std::pair<std::string, std::string> split_name(const std::string& name) {
  const auto slash = name.find('/');
  if (slash == std::string::npos) return {"", name};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

Error dead() { return make_error(ErrorCode::kIo, "the machine has crashed"); }

class ForgetfulReader final : public ReadableFile {
 public:
  explicit ForgetfulReader(std::shared_ptr<ForgetfulDisk::File> file) : file_(std::move(file)) {}
  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= file_->data.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(out.size(), file_->data.size() - offset);
    std::memcpy(out.data(), file_->data.data() + offset, count);
    return count;
  }
  [[nodiscard]] Result<std::uint64_t> size() const override { return std::uint64_t{file_->data.size()}; }

 private:
  std::shared_ptr<ForgetfulDisk::File> file_;
};

}  // namespace

class ForgetfulWriter final : public WritableFile {
 public:
  ForgetfulWriter(std::shared_ptr<ForgetfulDisk> disk, std::shared_ptr<ForgetfulDisk::File> file)
      : disk_(std::move(disk)), file_(std::move(file)), epoch_(disk_->epoch_) {}
  Status append(std::span<const std::byte> data) override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    CACS_TRY(disk_->step("append"));
    file_->data.append(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  }
  Status sync() override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    CACS_TRY(disk_->step("sync"));
    file_->synced = file_->data.size();
    return {};
  }

 private:
  std::shared_ptr<ForgetfulDisk> disk_;
  std::shared_ptr<ForgetfulDisk::File> file_;
  std::uint64_t epoch_;
};

class ForgetfulStorage final : public Storage {
 public:
  explicit ForgetfulStorage(std::shared_ptr<ForgetfulDisk> disk) : disk_(std::move(disk)), epoch_(disk_->epoch_) {}

  Result<std::unique_ptr<WritableFile>> create(const std::string& name) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("create"));
    const auto [directory, base] = split_name(name);
    auto& names = disk_->directories_[directory].now;
    if (names.contains(base)) return make_error(ErrorCode::kConflict, name + " exists");
    auto file = std::make_shared<ForgetfulDisk::File>();
    names[base] = file;
    return std::unique_ptr<WritableFile>(std::make_unique<ForgetfulWriter>(disk_, file));
  }

  Result<std::unique_ptr<ReadableFile>> open(const std::string& name) override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    const auto [directory, base] = split_name(name);
    const auto& names = disk_->directories_[directory].now;
    const auto found = names.find(base);
    if (found == names.end()) return make_error(ErrorCode::kNotFound, "no " + name);
    return std::unique_ptr<ReadableFile>(std::make_unique<ForgetfulReader>(found->second));
  }

  Status rename(const std::string& from, const std::string& to) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("rename"));
    const auto [directory, base] = split_name(from);
    auto& names = disk_->directories_[directory].now;
    const auto found = names.find(base);
    if (found == names.end()) return make_error(ErrorCode::kNotFound, "no " + from);
    const auto file = found->second;
    names.erase(found);
    names[split_name(to).second] = file;
    return {};
  }

  Status remove(const std::string& name) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("remove"));
    const auto [directory, base] = split_name(name);
    if (disk_->directories_[directory].now.erase(base) == 0) return make_error(ErrorCode::kNotFound, "no " + name);
    return {};
  }

  Status sync_directory(const std::string& directory) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("sync directory"));
    auto& state = disk_->directories_[directory];
    state.durable = state.now;
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    std::vector<std::string> names;
    for (const auto& [name, file] : disk_->directories_[directory].now) names.push_back(name);
    return names;
  }

  Status make_directory(const std::string& directory) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("make directory"));
    disk_->directories_[directory];
    return {};
  }

  Result<std::unique_ptr<StorageLock>> lock(LockMode mode, LockWait /*wait*/) override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    const bool exclusive = mode == LockMode::kExclusive;
    if (disk_->exclusive_lock_ || (exclusive && disk_->shared_locks_ > 0)) {
      // One thread drives these tests, so waiting would be for ever.
      return make_error(ErrorCode::kUnavailable, "locked");
    }
    if (exclusive) {
      disk_->exclusive_lock_ = true;
    } else {
      ++disk_->shared_locks_;
    }
    return std::unique_ptr<StorageLock>(std::make_unique<Held>(disk_, exclusive));
  }

  [[nodiscard]] std::string describe() const override { return "memory"; }

 private:
  class Held final : public StorageLock {
   public:
    Held(std::shared_ptr<ForgetfulDisk> disk, bool exclusive)
        : disk_(std::move(disk)), epoch_(disk_->epoch_), exclusive_(exclusive) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() override {
      const std::scoped_lock lock(disk_->mutex_);
      if (epoch_ != disk_->epoch_) return;
      if (exclusive_) {
        disk_->exclusive_lock_ = false;
      } else {
        --disk_->shared_locks_;
      }
    }

   private:
    std::shared_ptr<ForgetfulDisk> disk_;
    std::uint64_t epoch_;
    bool exclusive_;
  };

  Status step(const std::string& what) {
    if (epoch_ != disk_->epoch_) return dead();
    return disk_->step(what);
  }

  std::shared_ptr<ForgetfulDisk> disk_;
  std::uint64_t epoch_;
};

std::unique_ptr<Storage> ForgetfulDisk::mount(const std::shared_ptr<ForgetfulDisk>& self) {
  return std::make_unique<ForgetfulStorage>(self);
}

Status ForgetfulDisk::step(const std::string& what) {
  if (failed_ && failing_for_ever_) return dead();
  if (steps_until_failure_ > 0 && --steps_until_failure_ == 0) {
    failed_ = true;
    return make_error(ErrorCode::kIo, "planned failure of " + what);
  }
  return {};
}

void ForgetfulDisk::fail_at(std::uint64_t n, bool for_ever) {
  steps_until_failure_ = n;
  failing_for_ever_ = for_ever;
  failed_ = false;
}

std::shared_ptr<ForgetfulDisk> ForgetfulDisk::clone() const {
  auto copy = std::make_shared<ForgetfulDisk>();
  std::map<const File*, std::shared_ptr<File>> files;
  const auto copy_names = [&](const Names& from, Names& to) {
    for (const auto& [name, file] : from) {
      auto& twin = files[file.get()];
      if (!twin) twin = std::make_shared<File>(*file);
      to[name] = twin;
    }
  };
  for (const auto& [name, directory] : directories_) {
    copy_names(directory.now, copy->directories_[name].now);
    copy_names(directory.durable, copy->directories_[name].durable);
  }
  return copy;
}

void ForgetfulDisk::crash(Crash how, std::uint64_t seed) {
  const std::scoped_lock lock(mutex_);
  ++epoch_;
  shared_locks_ = 0;
  exclusive_lock_ = false;
  steps_until_failure_ = 0;
  failed_ = false;
  if (how == Crash::kKeepAll) return;
  std::mt19937_64 random(seed);
  const auto keep = [&] { return how == Crash::kLoseSome && random() % 2 == 0; };
  for (auto& [directory_name, directory] : directories_) {
    Names after;
    Names either = directory.durable;
    either.insert(directory.now.begin(), directory.now.end());
    for (const auto& [name, file] : either) {
      const bool was = directory.durable.contains(name);
      const bool is = directory.now.contains(name);
      if (was != is ? keep() == is : true) after[name] = is ? directory.now[name] : file;
    }
    for (auto& [name, file] : after) {
      if (file->synced == file->data.size()) continue;
      const std::size_t tail = file->data.size() - file->synced;
      const std::size_t kept = keep() ? 1 + random() % tail : 0;
      file->data.resize(file->synced + kept);
      if (kept > 0 && random() % 2 == 0) file->data[file->synced + random() % kept] ^= 0x5a;
      file->synced = file->data.size();
    }
    directory.now = after;
    directory.durable = after;
  }
}

std::vector<std::string> ForgetfulDisk::file_names() const {
  std::vector<std::string> names;
  for (const auto& [directory_name, directory] : directories_) {
    for (const auto& [name, file] : directory.now) {
      names.push_back(directory_name.empty() ? name : directory_name + "/" + name);
    }
  }
  return names;
}

std::string& ForgetfulDisk::contents(const std::string& name) {
  const auto [directory, base] = split_name(name);
  return directories_.at(directory).now.at(base)->data;
}

}  // namespace cacs::repository
