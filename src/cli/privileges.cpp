#include "cli/privileges.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "base/io.h"
#include "base/text.h"

namespace cacs::cli {

namespace {

struct Capability {
  unsigned bit;
  std::string_view name;
};

/// Each was taken away by itself from a server that ran, saved and restored programs: without these something failed
/// (docs/operations.md). CAP_SYS_RESOURCE is not among them: only programs of other users than root want it, and
/// `cacs explain` tells.
constexpr std::array<Capability, 11> kNeeded{{{CAP_CHOWN, "CAP_CHOWN"},
                                              {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
                                              {CAP_FOWNER, "CAP_FOWNER"},
                                              {CAP_SETGID, "CAP_SETGID"},
                                              {CAP_SETUID, "CAP_SETUID"},
                                              {CAP_SETPCAP, "CAP_SETPCAP"},
                                              {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                                              {CAP_SYS_CHROOT, "CAP_SYS_CHROOT"},
                                              {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
                                              {CAP_SYS_TIME, "CAP_SYS_TIME"},
                                              {CAP_MKNOD, "CAP_MKNOD"}}};

}  // namespace

Result<Privileges> read_privileges() {
  Privileges privileges{.user = ::geteuid(), .capabilities = 0};
  CACS_ASSIGN(const std::string status, read_text_file("/proc/self/status", std::size_t{64} << 10U));
  for (const auto& line : split(status, '\n')) {
    if (!line.starts_with("CapEff:")) continue;
    const std::string_view hex = trim(std::string_view(line).substr(7));
    const auto [end, problem] = std::from_chars(hex.data(), hex.data() + hex.size(), privileges.capabilities, 16);
    if (problem == std::errc{} && end == hex.data() + hex.size()) return privileges;
  }
  return make_error(ErrorCode::kIo, "/proc/self/status does not tell the capabilities of this process");
}

std::vector<std::string> lacking_privileges(const Privileges& privileges) {
  std::vector<std::string> lacking;
  if (privileges.user != 0) lacking.push_back(fmt::format("root (this is user {})", privileges.user));
  for (const auto& [bit, name] : kNeeded) {
    if ((privileges.capabilities >> bit & 1U) == 0) lacking.emplace_back(name);
  }
  return lacking;
}

Status check_privileges(const Privileges& privileges) {
  const auto lacking = lacking_privileges(privileges);
  if (lacking.empty()) return {};
  return make_error(
      ErrorCode::kPermission,
      fmt::format("an embedded server cannot save and restore programs here; lacking: {}", fmt::join(lacking, ", ")),
      "run it as root (sudo cacs run ...), or name a server with --server or CACS_SERVER");
}

}  // namespace cacs::cli
