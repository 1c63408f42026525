#include "repository/backend/forgetful_storage.h"

#include <algorithm>
#include <cstring>

namespace cacs::repository {

namespace {

std::pair<std::string, std::string> split_name(const std::string& name) {
  const auto slash = name.rfind('/');
  if (slash == std::string::npos) return {"", name};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

Error dead() { return make_error(ErrorCode::kIo, "the machine has crashed"); }
Error none(const std::string& name) { return make_error(ErrorCode::kNotFound, "no " + name); }

}  // namespace

class ForgetfulReader final : public ReadableFile {
 public:
  ForgetfulReader(std::shared_ptr<ForgetfulDisk> disk, std::shared_ptr<ForgetfulDisk::File> file)
      : disk_(std::move(disk)), file_(std::move(file)) {}
  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    const std::scoped_lock lock(disk_->mutex_);
    if (offset >= file_->data.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(out.size(), file_->data.size() - offset);
    if (count > 0) std::memcpy(out.data(), file_->data.data() + offset, count);
    return count;
  }
  [[nodiscard]] Result<FileInfo> info() const override {
    const std::scoped_lock lock(disk_->mutex_);
    return disk_->info_of(file_);
  }

 private:
  std::shared_ptr<ForgetfulDisk> disk_;
  std::shared_ptr<ForgetfulDisk::File> file_;
};

class ForgetfulWriter final : public WritableFile {
 public:
  ForgetfulWriter(std::shared_ptr<ForgetfulDisk> disk, std::shared_ptr<ForgetfulDisk::File> file)
      : disk_(std::move(disk)), file_(std::move(file)), epoch_(disk_->epoch_) {
    file_->owner = alive_;
    file_->owner_epoch = epoch_;
  }
  Status append(std::span<const std::byte> data) override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    CACS_TRY(disk_->step("append"));
    const std::uint64_t used = disk_->bytes();
    const std::size_t fits = std::min<std::uint64_t>(data.size(), disk_->capacity_ - std::min(used, disk_->capacity_));
    file_->data.append(reinterpret_cast<const char*>(data.data()), fits);
    if (fits < data.size()) return make_error(ErrorCode::kNoSpace, "the disk is full");
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
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  std::uint64_t epoch_;
};

class ForgetfulStorage final : public Storage {
 public:
  explicit ForgetfulStorage(std::shared_ptr<ForgetfulDisk> disk)
      : disk_(std::move(disk)), epoch_(disk_->epoch_), shared_(disk_->shared_), boot_id_(disk_->boot_id_) {}

  Result<std::unique_ptr<WritableFile>> create(const std::string& name) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("create"));
    auto* names = names_beside(name);
    if (names == nullptr) return none("directory for " + name);
    auto file = std::make_shared<ForgetfulDisk::File>();
    if (!names->emplace(split_name(name).second, file).second) {
      return make_error(ErrorCode::kConflict, name + " exists");
    }
    return std::unique_ptr<WritableFile>(std::make_unique<ForgetfulWriter>(disk_, file));
  }

  Result<std::unique_ptr<ReadableFile>> open(const std::string& name) override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    const auto file = find(name);
    if (!file) return none(name);
    return std::unique_ptr<ReadableFile>(std::make_unique<ForgetfulReader>(disk_, file));
  }

  Result<FileInfo> stat(const std::string& name) override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    if (disk_->directories_.contains(name)) return FileInfo{.links = 1, .directory = true};
    const auto file = find(name);
    if (!file) return none(name);
    return disk_->info_of(file);
  }

  Status rename(const std::string& from, const std::string& to) override { return move(from, to, "rename", true); }
  Status rename_new(const std::string& from, const std::string& to) override {
    return move(from, to, "rename anew", false);
  }

  Status link(const std::string& from, const std::string& to) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("link"));
    if (!disk_->hard_links_) return make_error(ErrorCode::kUnsupported, "no hard links here");
    const auto file = find(from);
    if (!file) return none(from);
    if (!names_beside(to)->emplace(split_name(to).second, file).second) {
      return make_error(ErrorCode::kConflict, to + " exists");
    }
    return {};
  }

  Status remove(const std::string& name) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("remove"));
    return erase(name) ? ok_status() : Status(none(name));
  }

  Result<bool> remove_abandoned(const std::string& name) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("remove abandoned"));
    const auto file = find(name);
    if (!file || (!file->owner.expired() && file->owner_epoch == disk_->epoch_)) return false;
    return erase(name);
  }

  Status sync_directory(const std::string& directory) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("sync directory"));
    const auto state = disk_->directories_.find(directory);
    if (state == disk_->directories_.end()) return none(directory);
    state->second.durable = state->second.now;
    for (auto& [name, below] : disk_->directories_) {
      if (!name.empty() && split_name(name).first == directory) below.named_durably = true;
    }
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    const std::scoped_lock lock(disk_->mutex_);
    if (epoch_ != disk_->epoch_) return dead();
    const auto state = disk_->directories_.find(directory);
    if (state == disk_->directories_.end()) return none(directory);
    std::vector<std::string> names;
    for (const auto& [name, file] : state->second.now) names.push_back(name);
    for (const auto& [name, below] : disk_->directories_) {
      if (!name.empty() && split_name(name).first == directory) names.push_back(split_name(name).second);
    }
    return names;
  }

  Status make_directory(const std::string& directory) override {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step("make directory"));
    if (find(directory)) return make_error(ErrorCode::kConflict, directory + " is a file");
    for (std::string name = directory; !name.empty(); name = split_name(name).first) disk_->directories_[name];
    return {};
  }

  [[nodiscard]] bool shared_with_other_hosts() const override { return shared_; }
  [[nodiscard]] std::string boot_id() const override { return boot_id_; }
  [[nodiscard]] std::string describe() const override { return "memory"; }

 private:
  Status step(const std::string& what) {
    if (epoch_ != disk_->epoch_) return dead();
    return disk_->step(what);
  }

  /// What is in the directory that `name` is in; null when that is not there.
  ForgetfulDisk::Names* names_beside(const std::string& name) {
    const auto state = disk_->directories_.find(split_name(name).first);
    return state == disk_->directories_.end() ? nullptr : &state->second.now;
  }

  std::shared_ptr<ForgetfulDisk::File> find(const std::string& name) {
    auto* names = names_beside(name);
    if (names == nullptr) return nullptr;
    const auto found = names->find(split_name(name).second);
    return found == names->end() ? nullptr : found->second;
  }

  bool erase(const std::string& name) {
    auto* names = names_beside(name);
    return names != nullptr && names->erase(split_name(name).second) > 0;
  }

  Status move(const std::string& from, const std::string& to, const std::string& what, bool replace) {
    const std::scoped_lock lock(disk_->mutex_);
    CACS_TRY(step(what));
    const auto file = find(from);
    if (!file) return none(from);
    if (disk_->directories_.contains(to) || (!replace && find(to))) {
      return make_error(ErrorCode::kConflict, to + " exists");
    }
    erase(from);
    (*names_beside(to))[split_name(to).second] = file;
    return {};
  }

  std::shared_ptr<ForgetfulDisk> disk_;
  std::uint64_t epoch_;
  bool shared_;
  std::string boot_id_;
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

FileInfo ForgetfulDisk::info_of(const std::shared_ptr<File>& file) const {
  FileInfo info{.size = file->data.size(), .id = {0, reinterpret_cast<std::uintptr_t>(file.get())}};
  for (const auto& [directory_name, directory] : directories_) {
    for (const auto& [name, other] : directory.now) info.links += other == file ? 1U : 0U;
  }
  return info;
}

std::uint64_t ForgetfulDisk::bytes() const {
  if (capacity_ == std::numeric_limits<std::uint64_t>::max()) return 0;
  std::map<const File*, std::uint64_t> sizes;  // a file may have several names
  for (const auto& [directory_name, directory] : directories_) {
    for (const auto& [name, file] : directory.now) sizes[file.get()] = file->data.size();
  }
  std::uint64_t sum = 0;
  for (const auto& [file, size] : sizes) sum += size;
  return sum;
}

void ForgetfulDisk::fail_at(std::uint64_t n, bool for_ever) {
  steps_until_failure_ = n;
  failing_for_ever_ = for_ever;
  failed_ = false;
}

void ForgetfulDisk::set_host(bool shared, std::string boot_id) {
  shared_ = shared;
  boot_id_ = std::move(boot_id);
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
    copy->directories_[name].named_durably = directory.named_durably;
  }
  copy->shared_ = shared_;
  copy->boot_id_ = boot_id_;
  copy->hard_links_ = hard_links_;
  return copy;
}

void ForgetfulDisk::lose_directories(Crash how, std::mt19937_64& random) {
  // In the order of names, so that a directory comes after the one it is in, and goes with it.
  for (auto at = directories_.begin(); at != directories_.end();) {
    const bool kept = at->second.named_durably || (how == Crash::kLoseSome && random() % 2 == 0);
    if (kept && (at->first.empty() || directories_.contains(split_name(at->first).first))) {
      at->second.named_durably = true;
      ++at;
    } else {
      at = directories_.erase(at);
    }
  }
}

void ForgetfulDisk::crash(Crash how, std::uint64_t seed) {
  const std::scoped_lock lock(mutex_);
  ++epoch_;
  steps_until_failure_ = 0;
  failed_ = false;
  if (how == Crash::kKeepAll) return;
  std::mt19937_64 random(seed);
  lose_directories(how, random);
  const auto keep = [&] { return how == Crash::kLoseSome && random() % 2 == 0; };
  for (auto& [directory_name, directory] : directories_) {
    Names after;
    Names either = directory.durable;
    either.insert(directory.now.begin(), directory.now.end());
    for (const auto& [name, file] : either) {
      const auto was = directory.durable.find(name);
      const auto is = directory.now.find(name);
      if (was == directory.durable.end()) {
        if (keep()) after[name] = is->second;
      } else if (is == directory.now.end()) {
        if (!keep()) after[name] = was->second;
      } else {
        after[name] = was->second != is->second && !keep() ? was->second : is->second;
      }
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
