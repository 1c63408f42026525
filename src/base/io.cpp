#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>

namespace cacs {

Result<UniqueFd> open_file(const std::filesystem::path& path, int flags, mode_t mode) {
  while (true) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);  // NOLINT(cppcoreguidelines-pro-type-vararg)
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return errno_error(errno, "open " + path.string());
  }
}

Result<std::size_t> read_full(int fd, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::read(fd, out.data() + done, out.size() - done);
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "read");
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<std::size_t> pread_full(int fd, std::span<std::byte> out, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "read");
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Status write_full(int fd, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t put = ::write(fd, data.data(), data.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "write");
    }
    data = data.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Status pwrite_full(int fd, std::span<const std::byte> data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t put = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (put < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "write");
    }
    data = data.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

Status write_full(int fd, std::string_view data) { return write_full(fd, as_bytes(data)); }

Result<std::string> read_text_file(const std::filesystem::path& path, std::size_t max_bytes) {
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  std::string text;
  std::string block(std::size_t{64} << 10U, '\0');
  while (true) {
    auto got = read_full(fd.get(), std::as_writable_bytes(std::span(block)));
    if (!got) return got.error().with_context("read " + path.string());
    text.append(block, 0, *got);
    if (text.size() > max_bytes) {
      return make_error(ErrorCode::kTooLarge,
                        path.string() + " is longer than the " + std::to_string(max_bytes) + " bytes it may have");
    }
    if (*got < block.size()) return text;
  }
}

Status write_file_durably(const std::filesystem::path& path, std::string_view data, mode_t mode) {
  // The process id and a counter keep two writers of one path from sharing a temporary name.
  static std::atomic<unsigned> counter{0};
  const std::filesystem::path temporary =
      path.string() + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(counter.fetch_add(1));
  const auto fail = [&](const Error& error) {
    ::unlink(temporary.c_str());
    return error.with_context("write " + path.string());
  };
  {
    CACS_ASSIGN(const UniqueFd fd, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode));
    if (auto status = write_full(fd.get(), data); !status) return fail(status.error());
    if (::fsync(fd.get()) != 0) return fail(errno_error(errno, "fsync"));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail(errno_error(errno, "rename"));
  return sync_directory(path.parent_path());
}

Status sync_directory(const std::filesystem::path& dir) {
  CACS_ASSIGN(const UniqueFd fd, open_file(dir.empty() ? "." : dir, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync " + dir.string());
  return {};
}

Status make_directories(const std::filesystem::path& dir, mode_t mode) {
  std::filesystem::path current;
  for (const auto& part : dir) {
    current /= part;
    if (current.empty() || current == "/") continue;
    if (::mkdir(current.c_str(), mode) != 0 && errno != EEXIST) {
      return errno_error(errno, "make directory " + current.string());
    }
  }
  struct stat info {};
  if (::stat(dir.c_str(), &info) != 0) return errno_error(errno, "make directory " + dir.string());
  if (!S_ISDIR(info.st_mode)) return errno_error(ENOTDIR, "make directory " + dir.string());
  return {};
}

namespace {

Status remove_entries(int parent, const std::string& name, dev_t device, const std::string& shown);

Status remove_at(int parent, const std::string& name, dev_t device, const std::string& shown) {
  struct stat info {};
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? ok_status() : Status(errno_error(errno, "stat " + shown));
  }
  if (!S_ISDIR(info.st_mode)) {
    if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) return errno_error(errno, "remove " + shown);
    return {};
  }
  if (device != 0 && info.st_dev != device) {
    return make_error(ErrorCode::kConflict, "remove " + shown + ": something is mounted there", "unmount it first");
  }
  CACS_TRY(remove_entries(parent, name, info.st_dev, shown));
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return errno_error(errno, "remove " + shown);
  }
  return {};
}

Status remove_entries(int parent, const std::string& name, dev_t device, const std::string& shown) {
  UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return errno_error(errno, "open " + shown);
  std::vector<std::string> names;
  DIR* dir = ::fdopendir(fd.get());
  if (dir == nullptr) return errno_error(errno, "list " + shown);
  const int dir_fd = fd.release();  // the stream owns it now
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view child = entry->d_name;
    if (child != "." && child != "..") names.emplace_back(child);
  }
  Status status;
  for (const auto& child : names) {
    std::string path = shown;
    path += '/';
    path += child;
    status = remove_at(dir_fd, child, device, path);
    if (!status) break;
  }
  ::closedir(dir);
  return status;
}

}  // namespace

Status remove_tree(const std::filesystem::path& path) { return remove_at(AT_FDCWD, path.string(), 0, path.string()); }

}  // namespace cacs
