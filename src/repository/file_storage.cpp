#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "base/fd.h"
#include "base/io.h"
#include "repository/storage.h"

namespace cacs::repository {

namespace {

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

  [[nodiscard]] Result<std::uint64_t> size() const override {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) return errno_error(errno, "stat " + path_);
    return static_cast<std::uint64_t>(info.st_size);
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

class FileLock final : public StorageLock {
 public:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}

 private:
  UniqueFd fd_;  // closing the only descriptor of an open file description gives its flock back
};

class FileStorage final : public Storage {
 public:
  explicit FileStorage(std::filesystem::path root) : root_(std::move(root)) {}

  Result<std::unique_ptr<WritableFile>> create(const std::string& name) override {
    const auto path = root_ / name;
    auto fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (!fd && fd.error().os_errno == EEXIST) {
      return make_error(ErrorCode::kConflict, "create " + path.string() + ": it exists already");
    }
    if (!fd) return fd.error();
    return std::unique_ptr<WritableFile>(std::make_unique<FileWriter>(std::move(*fd), path.string()));
  }

  Result<std::unique_ptr<ReadableFile>> open(const std::string& name) override {
    const auto path = root_ / name;
    CACS_ASSIGN(UniqueFd fd, open_file(path, O_RDONLY | O_NOFOLLOW));
    return std::unique_ptr<ReadableFile>(std::make_unique<FileReader>(std::move(fd), path.string()));
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename((root_ / from).c_str(), (root_ / to).c_str()) != 0) {
      return errno_error(errno, "rename " + (root_ / from).string() + " to " + to);
    }
    return {};
  }

  Status remove(const std::string& name) override {
    if (::unlink((root_ / name).c_str()) != 0) return errno_error(errno, "remove " + (root_ / name).string());
    return {};
  }

  Status sync_directory(const std::string& directory) override {
    return cacs::sync_directory(directory.empty() ? root_ : root_ / directory);
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    const auto path = root_ / directory;
    DIR* stream = ::opendir(path.c_str());
    if (stream == nullptr) return errno_error(errno, "list " + path.string());
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int failure = errno;
    ::closedir(stream);
    if (failure != 0) return errno_error(failure, "list " + path.string());
    return names;
  }

  Status make_directory(const std::string& directory) override {
    const auto path = directory.empty() ? root_ : root_ / directory;
    CACS_TRY(make_directories(path, 0700));
    // The new name stands in the parent; the root's own parent is outside, and only synced if it may be opened.
    if (directory.empty()) return cacs::sync_directory(std::filesystem::absolute(root_).parent_path());
    return {};
  }

  Result<std::unique_ptr<StorageLock>> lock(LockMode mode, LockWait wait) override {
    const auto path = root_ / "lock";
    CACS_ASSIGN(UniqueFd fd, open_file(path, O_RDWR | O_CREAT, 0600));
    const int operation = (mode == LockMode::kShared ? LOCK_SH : LOCK_EX) | (wait == LockWait::kFail ? LOCK_NB : 0);
    while (::flock(fd.get(), operation) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) {
        return make_error(ErrorCode::kUnavailable, "lock " + path.string() + ": a writer or a collection is at work",
                          "try again when it has ended");
      }
      return errno_error(errno, "lock " + path.string());
    }
    return std::unique_ptr<StorageLock>(std::make_unique<FileLock>(std::move(fd)));
  }

  [[nodiscard]] std::string describe() const override { return root_.string(); }

 private:
  std::filesystem::path root_;
};

}  // namespace

std::unique_ptr<Storage> make_file_storage(std::filesystem::path root) {
  return std::make_unique<FileStorage>(std::move(root));
}

}  // namespace cacs::repository
