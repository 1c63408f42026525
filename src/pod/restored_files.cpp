#include "pod/restored_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/io.h"
#include "base/text.h"
#include "init/protocol.h"

namespace cacs::pod {

namespace {

constexpr const char* kOpaque = "trusted.overlay.opaque";

bool is_real_directory(const std::filesystem::path& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool is_real_file(const std::filesystem::path& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

/// Owner, mode, and whether it hides the base's directory of its name.
Status copy_attributes(const std::filesystem::path& from, const std::filesystem::path& to) {
  struct stat info {};
  if (::lstat(from.c_str(), &info) != 0) return errno_error(errno, "look at " + printable(from.native()));
  const bool copied =
      ::lchown(to.c_str(), info.st_uid, info.st_gid) == 0 && ::chmod(to.c_str(), info.st_mode & 07777U) == 0;
  if (!copied) return errno_error(errno, "set the attributes of " + printable(to.native()));
  char value = 0;
  if (::lgetxattr(from.c_str(), kOpaque, &value, 1) == 1 && value == 'y' &&
      ::lsetxattr(to.c_str(), kOpaque, &value, 1, 0) != 0) {
    return errno_error(errno, "set the attributes of " + printable(to.native()));
  }
  return {};
}

Status move_one(const std::filesystem::path& from, const std::filesystem::path& to) {
  CACS_TRY(remove_tree(to));
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return errno_error(errno, "put back " + printable(to.native()));
}

/// Goes down only where both have a directory; those of `into` are CACS's own, so that no path in it leads elsewhere.
Status merge(const std::filesystem::path& from, const std::filesystem::path& into, bool top) {
  std::error_code problem;
  std::vector<std::filesystem::path> names;
  for (const auto& entry : std::filesystem::directory_iterator(from, problem)) {
    names.push_back(entry.path().filename());
  }
  if (problem) return errno_error(problem.value(), "list " + printable(from.native()));
  for (const auto& name : names) {
    if (top && "/" + name.native() == CACS_POD_DIR) continue;
    if (!is_real_directory(from / name) || !is_real_directory(into / name)) {
      CACS_TRY(move_one(from / name, into / name));
      continue;
    }
    CACS_TRY(merge(from / name, into / name, false));
    CACS_TRY(copy_attributes(from / name, into / name));
  }
  return {};
}

}  // namespace

Status put_restored_files(const std::filesystem::path& from, const std::filesystem::path& upper) {
  CACS_TRY(merge(from, upper, true));
  const std::filesystem::path log = from.native() + CACS_LOG_DIR;
  if (!is_real_directory(from.native() + CACS_POD_DIR) || !is_real_directory(log)) return {};
  for (const char* stream : {"stdout", "stderr"}) {
    if (is_real_file(log / stream)) CACS_TRY(move_one(log / stream, upper.native() + CACS_LOG_DIR "/" + stream));
  }
  return {};
}

}  // namespace cacs::pod
