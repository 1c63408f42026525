#include "delta/xattrs.h"

#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace cacs::delta {
namespace {

// The kernel's bound on a list and on a value.
constexpr std::size_t kMaxBytes = std::size_t{64} << 10U;

/// The *xattrat system calls are younger than the kernels we run on. Through /proc, the last component is a plain name
/// in an open directory: short whatever the depth, and never followed.
std::string path_in(int directory, const char* name) {
  return "/proc/self/fd/" + std::to_string(directory) + "/" + name;
}

Result<std::string> read_value(const std::string& path, const char* name) {
  std::string value(256, '\0');
  ssize_t size = ::lgetxattr(path.c_str(), name, value.data(), value.size());
  if (size < 0 && errno == ERANGE) {
    value.resize(kMaxBytes);
    size = ::lgetxattr(path.c_str(), name, value.data(), value.size());
  }
  if (size < 0) return errno_error(errno, "read the attribute " + printable(name));
  value.resize(static_cast<std::size_t>(size));
  return value;
}

}  // namespace

Result<std::vector<Xattr>> read_xattrs(int directory, const char* name) {
  std::vector<Xattr> xattrs;
  const std::string path = path_in(directory, name);
  std::array<char, 1024> small;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::string large;
  const char* names = small.data();
  ssize_t size = ::llistxattr(path.c_str(), small.data(), small.size());
  if (size < 0 && errno == ERANGE) {
    large.resize(kMaxBytes);
    names = large.data();
    size = ::llistxattr(path.c_str(), large.data(), large.size());
  }
  if (size < 0 && errno == ENOTSUP) return xattrs;
  if (size < 0) return errno_error(errno, "list extended attributes");
  for (const char* at = names; at < names + size; at += std::strlen(at) + 1) {
    CACS_ASSIGN(std::string value, read_value(path, at));
    xattrs.push_back({.name = at, .value = std::move(value)});
  }
  std::ranges::sort(xattrs, {}, &Xattr::name);
  return xattrs;
}

Status write_xattrs(int directory, const char* name, const std::vector<Xattr>& xattrs) {
  if (xattrs.empty()) return {};
  const std::string path = path_in(directory, name);
  for (const Xattr& xattr : xattrs) {
    if (::lsetxattr(path.c_str(), xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0) != 0) {
      return errno_error(errno, "set the attribute " + printable(xattr.name));
    }
  }
  return {};
}

}  // namespace cacs::delta
