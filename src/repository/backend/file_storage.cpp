#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "base/fd.h"
#include "base/io.h"
#include "base/uuid.h"
#include "repository/backend/storage.h"

namespace cacs::repository {

namespace {

/// errno_error with what a caller of Storage tells apart.
Error file_error(int number, const std::string& doing) {
  Error error = errno_error(number, doing);
  if (number == ENOTDIR || number == EISDIR) error.code = ErrorCode::kNotFound;  // there is something, but no such file
  if (number == EEXIST) error.code = ErrorCode::kConflict;
  if (number == EROFS) error.code = ErrorCode::kPermission;
  if (number == ESTALE || number == EAGAIN) error.code = ErrorCode::kUnavailable;
  return error;
}

FileInfo info_of(const struct stat& found) {
  return {.size = static_cast<std::uint64_t>(found.st_size),
          .links = static_cast<std::uint64_t>(found.st_nlink),
          .directory = S_ISDIR(found.st_mode),
          .id = {found.st_dev, found.st_ino}};
}

class FileWriter final : public WritableFile {
 public:
  FileWriter(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status append(std::span<const std::byte> data) override {
    return write_full(fd_.get(), data).context("write " + path_);
  }

  Status sync() override {
    if (::fsync(fd_.get()) != 0) return errno_error(errno, "fsync " + path_);
    return {};
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

class FileReader final : public ReadableFile {
 public:
  FileReader(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    return pread_full(fd_.get(), out, offset).context("read " + path_);
  }

  [[nodiscard]] Result<FileInfo> info() const override {
    struct stat found {};
    if (::fstat(fd_.get(), &found) != 0) return file_error(errno, "stat " + path_);
    return info_of(found);
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

/// Whether the file system at `path` is known to belong to one host. Those not named here, among them FUSE and 9P, may
/// have anything behind them.
bool is_known_local(const std::filesystem::path& path) {
  constexpr std::array<std::int64_t, 10> kLocal{
      EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
      RAMFS_MAGIC,      OVERLAYFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,  MSDOS_SUPER_MAGIC,
      0x2fc12fc1,  // ZFS, which is not in the kernel's own list
      0xca451a4e,  // bcachefs
  };
  struct statfs found {};
  for (auto at = std::filesystem::absolute(path).lexically_normal(); ::statfs(at.c_str(), &found) != 0;
       at = at.parent_path()) {
    if (errno != ENOENT || at == at.parent_path()) return false;  // else it is still to be made
  }
  return std::ranges::find(kLocal, static_cast<std::int64_t>(found.f_type)) != kLocal.end();
}

/// Makes `directory` and each of its parents that is missing, durably. Also the parent of one that is there is synced:
/// whoever made it may have been interrupted before.
Status make_durable_directory(const std::filesystem::path& directory) {
  const auto parent = directory.parent_path();
  if (::mkdir(directory.c_str(), 0700) != 0) {
    if (errno == ENOENT && parent != directory) {
      CACS_TRY(make_durable_directory(parent));
      return make_durable_directory(directory);
    }
    if (errno != EEXIST) return errno_error(errno, "make directory " + directory.string());
    CACS_TRY(make_directories(directory, 0700));  // fails if it is something else
    const auto synced = cacs::sync_directory(parent);
    // Whose parent we may not even open was not made by us.
    return !synced && synced.error().code == ErrorCode::kPermission ? ok_status() : synced;
  }
  return cacs::sync_directory(parent);
}

class FileStorage final : public Storage {
 public:
  explicit FileStorage(std::filesystem::path root) : root_(std::move(root)) {}

  Result<std::unique_ptr<WritableFile>> create(const std::string& name) override {
    const auto path = root_ / name;
    while (true) {
      auto fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
      if (!fd && fd.error().os_errno == EEXIST) {
        return make_error(ErrorCode::kConflict, "create " + path.string() + ": it exists already");
      }
      if (!fd) return file_error(fd.error().os_errno, "create " + path.string());
      CACS_ASSIGN(const bool ours, own(fd->get(), path));
      if (ours) return std::unique_ptr<WritableFile>(std::make_unique<FileWriter>(std::move(*fd), path.string()));
    }
  }

  Result<std::unique_ptr<ReadableFile>> open(const std::string& name) override {
    const auto path = root_ / name;
    // O_NONBLOCK: a FIFO that somebody put there must not hold us up. It means nothing for files.
    auto fd = open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (!fd) return file_error(fd.error().os_errno, "open " + path.string());
    struct stat found {};
    if (::fstat(fd->get(), &found) != 0) return file_error(errno, "stat " + path.string());
    if (!S_ISREG(found.st_mode)) return make_error(ErrorCode::kNotFound, "open " + path.string() + ": it is no file");
    return std::unique_ptr<ReadableFile>(std::make_unique<FileReader>(std::move(*fd), path.string()));
  }

  Result<FileInfo> stat(const std::string& name) override {
    const auto path = root_ / name;
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) return file_error(errno, "stat " + path.string());
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) {
      return make_error(ErrorCode::kNotFound, "stat " + path.string() + ": neither file nor directory");
    }
    return info_of(found);
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename((root_ / from).c_str(), (root_ / to).c_str()) != 0) {
      const int number = errno;
      return file_error(number == EISDIR ? EEXIST : number, "rename " + (root_ / from).string() + " to " + to);
    }
    return {};
  }

  Status link(const std::string& from, const std::string& to) override {
    const auto source = root_ / from;
    const auto target = root_ / to;
    if (::link(source.c_str(), target.c_str()) == 0) return {};
    const int number = errno;
    // The answer of an NFS server may be lost; the request that the client sends again then finds its own work. (The
    // same idiom stands in open(2), for locks.) `from` belongs to its writer alone, so if both are one file, we did it.
    struct stat ours {};
    struct stat theirs {};
    if (::lstat(source.c_str(), &ours) == 0 && ::lstat(target.c_str(), &theirs) == 0 && ours.st_dev == theirs.st_dev &&
        ours.st_ino == theirs.st_ino) {
      return {};
    }
    Error error = file_error(number, "link " + source.string() + " to " + to);
    if (number == EPERM || number == EOPNOTSUPP || number == ENOSYS) error.code = ErrorCode::kUnsupported;
    return error;
  }

  Status rename_new(const std::string& from, const std::string& to) override {
    if (::renameat2(AT_FDCWD, (root_ / from).c_str(), AT_FDCWD, (root_ / to).c_str(), RENAME_NOREPLACE) == 0) return {};
    const int number = errno;
    Error error = file_error(number, "rename " + (root_ / from).string() + " to " + to);
    if (number == EINVAL || number == EOPNOTSUPP || number == ENOSYS) error.code = ErrorCode::kUnsupported;
    return error;
  }

  Status remove(const std::string& name) override {
    if (::unlink((root_ / name).c_str()) != 0) return file_error(errno, "remove " + (root_ / name).string());
    return {};
  }

  Result<bool> remove_abandoned(const std::string& name) override {
    const auto path = root_ / name;
    auto fd = open_file(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!fd && fd.error().code == ErrorCode::kNotFound) return false;
    if (!fd) return fd.error();
    // A failure other than EWOULDBLOCK means that this file system has no such locks: then nobody can tell.
    if (::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return false;
    // Held until the name is gone, so that a writer that made the file and has not locked it yet finds out (own()).
    const auto removed = remove(name);
    if (!removed && removed.error().code != ErrorCode::kNotFound) return removed.error();
    return true;
  }

  Status sync_directory(const std::string& directory) override {
    return cacs::sync_directory(directory.empty() ? root_ : root_ / directory);
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    const auto path = root_ / directory;
    DIR* stream = ::opendir(path.c_str());
    if (stream == nullptr) return file_error(errno, "list " + path.string());
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int failure = errno;
    ::closedir(stream);
    if (failure != 0) return file_error(failure, "list " + path.string());
    return names;
  }

  Status make_directory(const std::string& directory) override {
    if (directory.empty()) return make_durable_directory(std::filesystem::absolute(root_).lexically_normal());
    auto made = make_directories(root_ / directory, 0700);
    if (!made && made.error().os_errno == ENOTDIR) {
      Error error = made.error();
      error.code = ErrorCode::kConflict;
      return error;
    }
    return made;
  }

  [[nodiscard]] bool shared_with_other_hosts() const override { return !is_known_local(root_); }

  [[nodiscard]] std::string boot_id() const override {
    const auto text = read_text_file("/proc/sys/kernel/random/boot_id", 100);
    // Without /proc nobody is taken for a process of this host, and nothing of theirs is removed.
    if (!text || !is_uuid(text->substr(0, 36))) return new_uuid();
    return text->substr(0, 36);
  }

  [[nodiscard]] std::string describe() const override { return root_.string(); }

 private:
  /// Takes the lock that tells remove_abandoned() that the file has an owner. False: it was removed before.
  static Result<bool> own(int fd, const std::filesystem::path& path) {
    while (::flock(fd, LOCK_EX) != 0) {
      if (errno == EINTR) continue;
      if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return true;  // no such locks
      return errno_error(errno, "lock " + path.string());
    }
    struct stat found {};
    if (::fstat(fd, &found) != 0) return file_error(errno, "stat " + path.string());
    return found.st_nlink > 0;
  }

  std::filesystem::path root_;
};

}  // namespace

std::unique_ptr<Storage> make_file_storage(std::filesystem::path root) {
  return std::make_unique<FileStorage>(std::move(root));
}

}  // namespace cacs::repository
