#include "delta/materialise.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <unordered_map>

#include "base/io.h"
#include "base/text.h"
#include "delta/xattrs.h"

namespace cacs::delta {
namespace {

// openat2 takes paths shorter than PATH_MAX: deeper ones are walked in pieces.
constexpr std::size_t kMaxPiece = 3800;

/// Opens a directory below `root` without following a link, leaving the tree or crossing a mount.
Result<UniqueFd> open_below(int root, std::string_view path) {
  UniqueFd directory(::openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return errno_error(errno, "open the target directory");
  while (!path.empty()) {
    std::size_t size = path.size();
    if (size > kMaxPiece) size = path.rfind('/', kMaxPiece);
    const std::string piece(path.substr(0, size));
    path.remove_prefix(std::min(path.size(), size + 1));
    struct open_how how {};
    how.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    const long fd = ::syscall(SYS_openat2, directory.get(), piece.c_str(), &how, sizeof how);
    if (fd < 0) return errno_error(errno, "open the directory '" + printable(piece) + "'");
    directory.reset(static_cast<int>(fd));
  }
  return directory;
}

Status require_empty(int directory) {
  alignas(struct dirent64) std::array<char, 1024> buffer{};
  const UniqueFd list(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!list.valid()) return errno_error(errno, "open the target directory");
  const ssize_t got = ::getdents64(list.get(), buffer.data(), buffer.size());
  if (got < 0) return errno_error(errno, "list the target directory");
  ssize_t used = 0;
  int names = 0;
  while (used < got) {
    used += reinterpret_cast<const struct dirent64*>(buffer.data() + used)->d_reclen;
    ++names;
  }
  if (names > 2) return make_error(ErrorCode::kConflict, "the target directory is not empty");
  return {};
}

class Materialiser {
 public:
  Materialiser(const Listing& listing, int root, const FetchContent& fetch)
      : listing_(listing), root_(root), fetch_(fetch) {}

  Status run() {
    for (std::size_t i = 1; i < listing_.entries.size(); ++i) {
      const Entry& entry = listing_.entries[i];
      Status made = make(entry);
      if (!made.ok()) return made.error().with_context("'" + printable(entry.path) + "'");
    }
    // Directories last and from the bottom up: what is made in a directory changes its times, and a mode may forbid it.
    for (std::size_t i = listing_.entries.size(); i-- > 0;) {
      const Entry& entry = listing_.entries[i];
      if (entry.type != EntryType::kDirectory) continue;
      Status finished = finish_directory(entry);
      if (!finished.ok()) return finished.error().with_context("'" + printable(entry.path) + "'");
    }
    return {};
  }

 private:
  Result<int> open_parent(std::string_view path) {
    const std::string_view wanted = parent_path(path);
    if (!parent_.valid() || wanted != parent_path_) {
      CACS_ASSIGN(parent_, open_below(root_, wanted));
      parent_path_ = wanted;
    }
    return parent_.get();
  }

  Status make(const Entry& entry) {
    if (entry.link_group != 0) {
      const auto [leader, first] = leaders_.emplace(entry.link_group, &entry);
      if (!first) return make_link(*leader->second, entry);
    }
    CACS_ASSIGN(const int parent, open_parent(entry.path));
    const std::string name(base_name(entry.path));
    if (entry.type == EntryType::kRegular) return make_regular(parent, name, entry);
    if (make_special(parent, name.c_str(), entry) != 0) return errno_error(errno, "make it");
    if (entry.type == EntryType::kDirectory) return {};
    return finish(parent, name.c_str(), entry);
  }

  static int make_special(int parent, const char* name, const Entry& entry) {
    switch (entry.type) {
      case EntryType::kDirectory:
        return ::mkdirat(parent, name, 0700);
      case EntryType::kSymlink:
        return ::symlinkat(entry.symlink_target.c_str(), parent, name);
      case EntryType::kFifo:
        return ::mknodat(parent, name, S_IFIFO | 0600, 0);
      case EntryType::kSocket:
        return ::mknodat(parent, name, S_IFSOCK | 0600, 0);
      case EntryType::kCharDevice:
        return ::mknodat(parent, name, S_IFCHR | 0600, makedev(entry.rdev_major, entry.rdev_minor));
      case EntryType::kBlockDevice:
        return ::mknodat(parent, name, S_IFBLK | 0600, makedev(entry.rdev_major, entry.rdev_minor));
      case EntryType::kRegular:
        break;
    }
    errno = EINVAL;
    return -1;
  }

  Status make_regular(int parent, const std::string& name, const Entry& entry) {
    {
      const UniqueFd file(::openat(parent, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (!file.valid()) return errno_error(errno, "make it");
      if (::ftruncate(file.get(), static_cast<off_t>(entry.size)) != 0) return errno_error(errno, "set its length");
      CACS_TRY(fetch_(entry.token, file.get(), entry));
      struct stat info {};
      if (::fstat(file.get(), &info) != 0) return errno_error(errno, "look at it");
      if (static_cast<std::uint64_t>(info.st_size) != entry.size) {
        return make_error(ErrorCode::kCorrupt, "its stored content has " + std::to_string(info.st_size) +
                                                   " bytes, not the " + std::to_string(entry.size) + " captured");
      }
    }
    return finish(parent, name.c_str(), entry);
  }

  Status make_link(const Entry& leader, const Entry& entry) {
    CACS_ASSIGN(const UniqueFd from, open_below(root_, parent_path(leader.path)));
    CACS_ASSIGN(const int parent, open_parent(entry.path));
    const std::string old_name(base_name(leader.path));
    const std::string name(base_name(entry.path));
    if (::linkat(from.get(), old_name.c_str(), parent, name.c_str(), 0) != 0) {
      return errno_error(errno, "link it to '" + printable(leader.path) + "'");
    }
    return {};
  }

  /// Owner first (a change of owner clears set-id bits and capabilities), then mode, attributes (an ACL agrees with
  /// the mode), and times last.
  static Status finish(int parent, const char* name, const Entry& entry) {
    if (::fchownat(parent, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno_error(errno, "set its owner");
    }
    if (entry.type != EntryType::kSymlink && ::fchmodat(parent, name, entry.mode, 0) != 0) {
      return errno_error(errno, "set its mode");
    }
    CACS_TRY(write_xattrs(parent, name, entry.xattrs));
    const std::array<struct timespec, 2> times{{
        {.tv_sec = entry.mtime.seconds, .tv_nsec = static_cast<long>(entry.mtime.nanoseconds)},
        {.tv_sec = entry.mtime.seconds, .tv_nsec = static_cast<long>(entry.mtime.nanoseconds)},
    }};
    if (::utimensat(parent, name, times.data(), AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "set its times");
    return {};
  }

  Status finish_directory(const Entry& entry) {
    if (entry.path.empty()) return finish(root_, ".", entry);
    CACS_ASSIGN(const int parent, open_parent(entry.path));
    return finish(parent, std::string(base_name(entry.path)).c_str(), entry);
  }

  const Listing& listing_;
  int root_;
  const FetchContent& fetch_;
  std::unordered_map<std::uint64_t, const Entry*> leaders_;
  UniqueFd parent_;
  std::string_view parent_path_;  ///< points into the listing
};

}  // namespace

Status materialise(const Listing& listing, const std::filesystem::path& target, const FetchContent& fetch) {
  const std::string doing = "rebuild files in '" + printable(target.native()) + "'";
  auto run = [&]() -> Status {
    CACS_TRY(validate(listing));
    CACS_ASSIGN(const UniqueFd root, open_file(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    CACS_TRY(require_empty(root.get()));
    return Materialiser(listing, root.get(), fetch).run();
  };
  return run().context(doing);
}

}  // namespace cacs::delta
