#include "repository/backend/file_backend.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "repository/backend/file_writer.h"
#include "repository/backend/object_name.h"

namespace cacs::repository {

namespace {

/// A file open for reading, and which one it is.
struct File {
  std::shared_ptr<const ReadableFile> file;
  std::pair<std::uint64_t, std::uint64_t> id;
};

/// The files read last, open. Any thread.
class OpenFiles {
 public:
  std::optional<File> get(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return std::nullopt;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->file;
  }

  void put(const std::string& name, File file) {
    const std::scoped_lock lock(mutex_);
    erase(name);
    order_.push_front({name, std::move(file)});
    by_name_[name] = order_.begin();
    if (order_.size() > kMost) erase(std::string(order_.back().name));
  }

  void drop(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    erase(name);
  }

 private:
  static constexpr std::size_t kMost = 32;
  struct Entry {
    std::string name;
    File file;
  };

  void erase(const std::string& name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return;
    order_.erase(found->second);
    by_name_.erase(found);
  }

  std::mutex mutex_;
  std::list<Entry> order_;  ///< used last first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_name_;
};

class DirectoryBackend final : public FileBackend {
 public:
  DirectoryBackend(std::unique_ptr<Storage> storage, FileBackendOptions options)
      : shared_(storage->shared_with_other_hosts()),
        space_(std::make_shared<FileSpace>(std::move(storage), options.durability)),
        options_(std::move(options)),
        traits_{.exclusive_create = true, .current_listing = true, .local = !shared_} {}

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    CACS_TRY(check_object_name(name));
    std::string temporary;
    CACS_ASSIGN(auto file, space_->create_temporary(name, temporary).context(doing("create", name)));
    return make_file_writer(space_, name, overwrite, std::move(temporary), std::move(file),
                            [files = files_, name] { files->drop(name); });
  }

  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    CACS_ASSIGN(const File file, open(name));
    return file.file->read_at(offset, out);
  }

  Result<std::uint64_t> size(const std::string& name) override {
    CACS_ASSIGN(const File file, open(name));
    return file.file->size();
  }

  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    CACS_TRY(check_prefix(prefix));
    std::vector<ObjectInfo> not_yet_durable;  // of one directory
    const auto visit = [&](const std::string& path, const FileInfo& info) -> Status {
      if (is_temporary_path(path)) return {};
      if (info.links > 1 && space_->durable()) {
        not_yet_durable.push_back({path, info.size});
        return {};
      }
      return visitor({path, info.size});
    };
    const auto end_directory = [&]() -> Status {
      if (not_yet_durable.empty()) return {};
      CACS_TRY(space_->sync_beside(not_yet_durable.front().name));
      for (const auto& object : not_yet_durable) CACS_TRY(visitor(object));
      not_yet_durable.clear();
      return {};
    };
    return walk(prefix, visit, end_directory);
  }

  Status remove(const std::string& name) override {
    CACS_TRY(check_object_name(name));
    auto removed = space_->storage().remove(name);
    files_->drop(name);
    if (!removed && removed.error().code != ErrorCode::kNotFound)
      return removed.error().with_context(doing("remove", name));
    // Also when there was none: somebody who removed it may not have come to this.
    if (space_->durable()) {
      const auto synced = space_->sync_beside(name);
      if (!synced && synced.error().code != ErrorCode::kNotFound)
        return synced.error().with_context(doing("remove", name));
    }
    return removed;
  }

  Result<std::uint64_t> remove_stale_temporaries(StaleOf whose) override {
    std::uint64_t count = 0;
    const bool all = !shared_ || whose == StaleOf::kAllHosts;
    const std::string ours = "tmp." + space_->boot_id() + ".";
    const auto visit = [&](const std::string& path, const FileInfo& info) -> Status {
      if (!is_temporary_path(path) || !(all || name_of(path).starts_with(ours))) return {};
      // The name is the sign that an object's may not be durable.
      if (info.links > 1 && space_->durable()) CACS_TRY(space_->sync_beside(path));
      CACS_ASSIGN(const bool removed, space_->storage().remove_abandoned(path));
      count += removed ? 1 : 0;
      return {};
    };
    CACS_TRY(walk("", visit, [] { return ok_status(); }).context("remove stale temporaries in " + describe()));
    return count;
  }

  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] std::string describe() const override { return space_->storage().describe(); }

 private:
  using VisitFile = std::function<Status(const std::string& path, const FileInfo& info)>;

  [[nodiscard]] std::string doing(std::string_view what, const std::string& name) const {
    return std::string(what) + " " + name + " in " + describe();
  }

  static std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }
  static bool is_temporary_path(std::string_view path) { return is_temporary_name(name_of(path)); }

  /// Calls `visit` for the files from `prefix` down, temporaries too, and `end_directory` after those of each
  /// directory. The names in one directory are in memory at a time: reading on in a directory in which names are
  /// removed meanwhile may pass over others.
  Status walk(const std::string& prefix, const VisitFile& visit, const std::function<Status()>& end_directory) {
    std::vector<std::string> directories{prefix};
    while (!directories.empty()) {
      const std::string directory = std::move(directories.back());
      directories.pop_back();
      auto names = space_->storage().list(directory_of(directory));
      if (!names && names.error().code == ErrorCode::kNotFound) continue;  // or gone meanwhile
      if (!names) return names.error();
      for (const auto& name : *names) {
        const std::string path = directory + name;
        if (!is_temporary_name(name) && !check_object_name(path)) continue;  // nobody's object
        const auto info = space_->storage().stat(path);
        if (!info && info.error().code == ErrorCode::kNotFound) continue;
        if (!info) return info.error();
        if (info->directory) {
          directories.push_back(path + "/");
        } else {
          CACS_TRY(visit(path, *info));
        }
      }
      CACS_TRY(end_directory());
    }
    return {};
  }

  /// What stands under the name now.
  Result<File> open(const std::string& name) {
    CACS_TRY(check_object_name(name));
    // What stat says of a file system of several hosts may be old.
    const bool kept = !shared_ || (options_.never_replaced && options_.never_replaced(name));
    if (const auto known = kept ? files_->get(name) : std::nullopt) {
      if (shared_) return *known;
      const auto info = space_->storage().stat(name);
      if (info && info->id == known->id) return *known;
      files_->drop(name);  // removed, or another object has the name
    }
    auto opened = space_->storage().open(name);
    if (!opened) return opened.error().with_context(doing("read", name));
    CACS_ASSIGN(const FileInfo info, (*opened)->info());
    if (info.links > 1 && space_->durable()) CACS_TRY(space_->sync_beside(name).context(doing("read", name)));
    const File file{std::move(*opened), info.id};
    if (kept) files_->put(name, file);
    return file;
  }

  bool shared_;
  std::shared_ptr<FileSpace> space_;
  FileBackendOptions options_;
  std::shared_ptr<OpenFiles> files_ = std::make_shared<OpenFiles>();  ///< writers have it too, and may live longer
  BackendTraits traits_;
};

}  // namespace

std::unique_ptr<FileBackend> make_file_backend(std::unique_ptr<Storage> storage, FileBackendOptions options) {
  return std::make_unique<DirectoryBackend>(std::move(storage), std::move(options));
}

}  // namespace cacs::repository
