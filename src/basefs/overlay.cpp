#include "basefs/overlay.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/io.h"
#include "base/text.h"
#include "base/uuid.h"
#include "basefs/contents.h"

namespace cacs::basefs {

namespace {

timespec timespec_of(std::int64_t ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t seconds = ns / kSecond;
  std::int64_t rest = ns % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return {seconds, rest};
}

/// Makes the entry as `name` in the directory `dir`, where there must be nothing of that name.
Status make_at(int dir, const std::string& name, const Entry& entry, const Fill& fill) {
  const auto failed = [&](const char* what) { return errno_error(errno, std::string(what) + printable(entry.path)); };
  const std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, timespec_of(entry.stamp.mtime_ns)};
  if (entry.link) {
    if (::symlinkat(entry.target.c_str(), dir, name.c_str()) != 0) return failed("make the link ");
    if (::fchownat(dir, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) return failed("give away ");
    return {};
  }
  const UniqueFd fd(::openat(dir, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return failed("make ");
  CACS_TRY(fill(fd.get()).context("write " + printable(entry.path)));
  if (::fchown(fd.get(), entry.uid, entry.gid) != 0) return failed("give away ");
  if (::fchmod(fd.get(), entry.mode) != 0) return failed("set the mode of ");
  if (::futimens(fd.get(), times.data()) != 0) return failed("set the time of ");
  return {};
}

Status replace_at(int dir, const Entry& entry, const Fill& fill) {
  const std::string name = std::filesystem::path(entry.path).filename();
  const std::string temporary = ".cacs-base-" + new_uuid();
  Status made = make_at(dir, temporary, entry, fill);
  if (made && ::renameat(dir, temporary.c_str(), dir, name.c_str()) == 0) return {};
  if (made) made = errno_error(errno, "put " + printable(entry.path) + " in its place");
  ::unlinkat(dir, temporary.c_str(), 0);
  return made;
}

/// A directory of an upper layer stands for the base's: it takes its owner and mode when it is made.
Status make_upper_directories(const std::filesystem::path& base, const std::filesystem::path& upper,
                              const std::filesystem::path& directory) {
  std::filesystem::path current;
  for (const auto& part : directory.relative_path()) {
    current /= part;
    const auto target = upper / current;
    if (::mkdir(target.c_str(), 0755) != 0) {
      if (errno == EEXIST) continue;
      return errno_error(errno, "make " + target.string());
    }
    struct stat info {};
    if (::lstat((base / current).c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) continue;
    if (::chown(target.c_str(), info.st_uid, info.st_gid) != 0 || ::chmod(target.c_str(), info.st_mode & 07777U) != 0) {
      return errno_error(errno, "copy the attributes of " + current.string());
    }
  }
  return {};
}

}  // namespace

Result<Entry> look(const std::filesystem::path& base, const std::string& path) {
  const std::string full = base.string() == "/" ? path : base.string() + path;
  struct stat info {};
  if (::lstat(full.c_str(), &info) != 0) return errno_error(errno, "look at " + printable(path));
  Entry entry;
  entry.path = path;
  entry.stamp = stamp_of(info);
  entry.mode = info.st_mode & 07777U;
  entry.uid = info.st_uid;
  entry.gid = info.st_gid;
  if (S_ISREG(info.st_mode)) return entry;
  if (!S_ISLNK(info.st_mode)) return make_error(ErrorCode::kUnsupported, printable(path) + " is no file");
  entry.link = true;
  std::array<char, 4096> target{};
  const ssize_t length = ::readlink(full.c_str(), target.data(), target.size());
  if (length <= 0) return errno_error(errno, "read the link " + printable(path));
  entry.target.assign(target.data(), static_cast<std::size_t>(length));
  return entry;
}

bool hidden_by(const std::filesystem::path& upper, const std::string& path) {
  std::filesystem::path current = upper;
  for (const auto& part : std::filesystem::path(path).relative_path()) {
    current /= part;
    struct stat info {};
    if (::lstat(current.c_str(), &info) != 0) return false;
    if (!S_ISDIR(info.st_mode)) return true;  // its own file, a link, or a whiteout
    std::array<char, 1> opaque{};
    if (::lgetxattr(current.c_str(), "trusted.overlay.opaque", opaque.data(), opaque.size()) == 1 && opaque[0] == 'y') {
      return true;
    }
  }
  return true;  // a directory of the layer's own
}

Result<Match> compare(const std::filesystem::path& base, const Entry& entry) {
  const auto now = look(base, entry.path);
  if (!now) {
    const ErrorCode code = now.error().code;
    const bool gone =
        code == ErrorCode::kNotFound || code == ErrorCode::kUnsupported || now.error().os_errno == ENOTDIR;
    if (gone) return Match::kDiffers;
    return now.error();
  }
  if (now->link != entry.link) return Match::kDiffers;
  if (entry.link) return now->target == entry.target ? Match::kSame : Match::kDiffers;
  if (now->stamp == entry.stamp) return Match::kSame;
  if (now->stamp.size != entry.stamp.size || entry.digest.empty()) return Match::kDiffers;
  const std::string full = base.string() == "/" ? entry.path : base.string() + entry.path;
  auto fd = open_file(full, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd && fd.error().code == ErrorCode::kNotFound) return Match::kDiffers;
  if (!fd) return fd.error();
  CACS_ASSIGN(const std::string digest, digest_of(fd->get()));
  return digest == entry.digest ? Match::kRenewed : Match::kDiffers;
}

Status serve(const std::filesystem::path& base, const std::filesystem::path& upper, const Entry& entry,
             const Fill& fill) {
  const auto directory = std::filesystem::path(entry.path).parent_path();
  CACS_TRY(make_upper_directories(base, upper, directory));
  const auto target = upper / directory.relative_path();
  CACS_ASSIGN(const UniqueFd dir, open_file(target, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  return replace_at(dir.get(), entry, fill);
}

Result<UniqueFd> open_inside(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT;
  const auto fd = static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
  if (fd < 0) return errno_error(errno, "open " + printable(path) + " in the overlay");
  return UniqueFd(fd);
}

Status mask(int root, const Entry& entry, const Fill& fill) {
  std::filesystem::path current = "/";
  CACS_ASSIGN(UniqueFd dir, open_inside(root, "/", O_PATH | O_DIRECTORY));
  for (const auto& part : std::filesystem::path(entry.path).parent_path().relative_path()) {
    current /= part;
    auto next = open_inside(root, current, O_PATH | O_DIRECTORY);
    if (!next && next.error().code == ErrorCode::kNotFound) {
      if (::mkdirat(dir.get(), part.c_str(), 0755) != 0) return errno_error(errno, "make " + current.string());
      next = open_inside(root, current, O_PATH | O_DIRECTORY);
    }
    if (!next) return next.error();
    dir = *std::move(next);
  }
  return replace_at(dir.get(), entry, fill);
}

bool copy_up_in_place(int root, const Entry& entry) {
  if (entry.link) return false;
  const auto file = open_inside(root, entry.path, O_PATH | O_NOFOLLOW);
  struct stat info {};
  if (!file || ::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  const Stamp seen = stamp_of(info);
  if (seen.ino != entry.stamp.ino || seen.size != entry.stamp.size || seen.mtime_ns != entry.stamp.mtime_ns) {
    return false;
  }
  // Any change of an attribute copies the file up; this one changes nothing.
  const std::array<timespec, 2> times{timespec{0, UTIME_OMIT}, timespec_of(entry.stamp.mtime_ns)};
  const std::string path = "/proc/self/fd/" + std::to_string(file->get());
  return ::utimensat(AT_FDCWD, path.c_str(), times.data(), 0) == 0;
}

}  // namespace cacs::basefs
