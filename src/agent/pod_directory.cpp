#include "agent/pod_directory.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "base/io.h"
#include "base/text.h"

namespace cacs::agent {

namespace {

constexpr std::size_t kMaxPasswd = std::size_t{1} << 20U;

/// As the pod's own processes would find it, and never outside of its root.
Result<UniqueFd> open_in_pod(pid_t init, const std::string& path, std::uint64_t flags) {
  CACS_ASSIGN(const UniqueFd root, open_file("/proc/" + std::to_string(init) + "/root", O_PATH | O_DIRECTORY));
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
  if (!fd.valid()) return errno_error(errno, "open " + printable(path) + " in the pod");
  return fd;
}

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};

template <typename Number>
bool read_number(std::string_view text, Number& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

/// "1000", "1000:100", or a name of the pod's /etc/passwd: what init takes (init/launch.h).
Result<Owner> find_owner(pid_t init, const std::string& user) {
  const auto ids = split(user, ':');
  Owner owner;
  const bool numeric = read_number(ids[0], owner.uid) && (ids.size() == 1 || read_number(ids[1], owner.gid));
  if (numeric && ids.size() > 1) return owner;
  owner.gid = numeric ? static_cast<gid_t>(owner.uid) : 0;
  if (user == "root") return owner;
  CACS_ASSIGN(const UniqueFd passwd, open_in_pod(init, "/etc/passwd", O_RDONLY));
  std::string text(kMaxPasswd, '\0');
  CACS_ASSIGN(const std::size_t got, read_full(passwd.get(), std::as_writable_bytes(std::span(text))));
  text.resize(got);
  for (const auto& line : split(text, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4 || (numeric ? fields[2] != ids[0] : fields[0] != user)) continue;
    if (read_number(fields[2], owner.uid) && read_number(fields[3], owner.gid)) return owner;
  }
  if (numeric) return owner;
  return make_error(ErrorCode::kNotFound, "user '" + printable(user) + "' is not in the pod's /etc/passwd");
}

}  // namespace

Result<PodDirectory> PodDirectory::of(pid_t init, const std::string& path) {
  PodDirectory found;
  const std::size_t slash = path.rfind('/');
  found.path_ = path;
  found.name_ = path.substr(slash + 1);
  CACS_ASSIGN(found.directory_, open_in_pod(init, slash == 0 ? "/" : path.substr(0, slash), O_RDONLY | O_DIRECTORY));
  found.events_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const std::string opened = "/proc/self/fd/" + std::to_string(found.directory_.get());
  constexpr unsigned kWatched = IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM;
  if (!found.events_.valid() || ::inotify_add_watch(found.events_.get(), opened.c_str(), kWatched) < 0) {
    return errno_error(errno, "watch the directory of " + printable(path));
  }
  return found;
}

bool PodDirectory::exists() const {
  struct stat info {};
  return ::fstatat(directory_.get(), name_.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

Status PodDirectory::make(pid_t init, const std::string& user) const {
  CACS_ASSIGN(const Owner owner, find_owner(init, user));
  CACS_TRY(remove());
  // Under another name until it is whole: who watches for it is to find it as the user's own.
  const std::string early = ".cacs-" + name_.substr(0, 200);
  if (::unlinkat(directory_.get(), early.c_str(), 0) != 0 && errno != ENOENT) {
    return errno_error(errno, "make " + printable(path_));
  }
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const UniqueFd fd(::openat(directory_.get(), early.c_str(), kFlags, 0644));
  if (!fd.valid() || ::fchown(fd.get(), owner.uid, owner.gid) != 0 ||
      ::renameat(directory_.get(), early.c_str(), directory_.get(), name_.c_str()) != 0) {
    return errno_error(errno, "make " + printable(path_) + " in the pod");
  }
  return {};
}

Status PodDirectory::remove() const {
  if (::unlinkat(directory_.get(), name_.c_str(), 0) == 0 || errno == ENOENT) return {};
  return errno_error(errno, "remove " + printable(path_) + " in the pod");
}

void PodDirectory::take_events() const {
  std::array<char, 4096> block{};
  while (::read(events_.get(), block.data(), block.size()) > 0) {
  }
}

}  // namespace cacs::agent
