// `cacs check`: does this machine have what CACS needs? Each row is tried, not guessed from a version.

#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/privileges.h"
#include "delta/delta_store.h"
#include "engine/criu.h"
#include "main/paths.h"
#include "main/selftest.h"
#include "main/server_role.h"
#include "pod/cgroup.h"

namespace cacs::main {

namespace {

using cli::CheckRow;

/// Tries something that changes the process (namespaces, mounts) in a child. 0: it worked; else its errno.
int try_in_child(const std::function<int()>& attempt) {
  const pid_t pid = ::fork();
  if (pid < 0) return errno;
  if (pid == 0) ::_exit(attempt());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

CheckRow row(std::string name, bool ok, std::string detail, std::string advice) {
  return {std::move(name), ok, std::move(detail), std::move(advice)};
}

CheckRow check_rights() {
  const auto privileges = cli::read_privileges();
  if (!privileges) return row("rights", false, privileges.error().message, "mount /proc");
  const auto lacking = cli::lacking_privileges(*privileges);
  // Only programs of other users than root want this one: nothing fails without it for most.
  const bool limits = (privileges->capabilities >> CAP_SYS_RESOURCE & 1U) != 0;
  const std::string found = limits ? "root" : "root, without CAP_SYS_RESOURCE: only root's programs can be saved";
  return row("rights", lacking.empty(),
             lacking.empty() ? found : "lacking: " + fmt::format("{}", fmt::join(lacking, ", ")),
             "run as root (sudo cacs ...); in a container, give it these capabilities");
}

CheckRow check_namespaces() {
  const int error = try_in_child([] {
    const int flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWTIME;
    return ::unshare(flags) == 0 ? 0 : errno;
  });
  return row("kernel: namespaces", error == 0,
             error == 0 ? "pid, mount, ipc, uts, network, time" : std::strerror(error),
             "use a kernel of 5.6 or later with all namespaces, and a container that may make them");
}

CheckRow check_overlay() {
  std::string pattern = "/tmp/cacs-check-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr)
    return row("kernel: overlayfs", false, "no temporary directory", "make room in /tmp");
  const std::string base = pattern;
  for (const char* name : {"/upper", "/work", "/merged"}) ::mkdir((base + name).c_str(), 0700);
  const int error = try_in_child([&base] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
    const std::string options = "lowerdir=/,upperdir=" + base + "/upper,workdir=" + base + "/work";
    return ::mount("overlay", (base + "/merged").c_str(), "overlay", 0, options.c_str()) == 0 ? 0 : errno;
  });
  const auto removed = remove_tree(base);
  return row("kernel: overlayfs", error == 0 && removed.ok(),
             error == 0 ? "over the root file system" : std::strerror(error), "load the overlay module");
}

CheckRow check_cgroups() {
  const auto controllers = pod::find_controllers();
  std::string found;
  if (controllers) {
    for (const auto& controller : *controllers) {
      found += (found.empty() ? "" : ", ") + controller.name + (controller.v2 ? " (v2)" : " (v1)");
    }
  }
  const bool all = controllers && controllers->size() >= 3;
  return row("control groups", all, found.empty() ? "none" : found,
             "mount cgroups with cpu, memory and pids: limits of `resources` cannot be enforced without");
}

CheckRow check_tool(const std::string& program, const std::string& package, const std::string& why) {
  const auto result = run_command({.argv = {program, program == "ip" ? "-V" : "--version"}}, std::chrono::seconds(10));
  return row("program: " + program, result.ok(), result ? "there" : "missing",
             "apt-get install " + package + " (" + why + ")");
}

CheckRow check_space(const std::filesystem::path& state) {
  std::filesystem::path place = state.empty() ? "/var/lib" : state;
  std::error_code hidden;  // a place that may not be looked at is as good as none
  while (!std::filesystem::exists(place, hidden) && place != "/") place = place.parent_path();
  struct statvfs info {};
  if (::statvfs(place.c_str(), &info) != 0)
    return row("space", false, "cannot look at " + place.string(), "check the path");
  const std::uint64_t room = std::uint64_t{info.f_bavail} * info.f_frsize;
  return row("space", room > (std::uint64_t{2} << 30U), format_size(room) + " free at " + place.string(),
             "make at least 2 GiB free, or choose another --state");
}

CheckRow check_reflink(const std::filesystem::path& state) {
  const auto mkfs = run_command({.argv = {"mkfs.xfs", "-V"}}, std::chrono::seconds(10));
  std::error_code ignored;
  if (!state.empty() && std::filesystem::is_directory(state, ignored)) {
    const auto shares = delta::can_share_blocks(state);
    if (shares && *shares) return row("files: snapshots", true, "the state's file system shares blocks", "");
  }
  return row("files: snapshots", mkfs.ok(),
             mkfs.ok() ? "in an XFS image of the state directory" : "mkfs.xfs is missing",
             "apt-get install xfsprogs: without it changed files are copied while the program is frozen");
}

}  // namespace

Result<std::vector<CheckRow>> check_machine(const cli::CheckOptions& options) {
  std::vector<CheckRow> rows;
  utsname names{};
  ::uname(&names);
  rows.push_back(row("machine", std::string_view(names.machine) == "x86_64",
                     std::string(names.machine) + ", Linux " + names.release, "use an x86_64 machine"));
  rows.push_back(check_rights());
  rows.push_back(check_namespaces());
  rows.push_back(check_overlay());
  rows.push_back(check_cgroups());
  rows.push_back(check_tool("ip", "iproute2", "the pods' network"));
  rows.push_back(check_tool("nft", "nftables", "the engine's network lock"));
  rows.push_back(check_tool("slirp4netns", "slirp4netns", "the pods' way outside"));
  rows.push_back(check_space(options.state));
  rows.push_back(check_reflink(options.state));
  const auto init = find_init_program();
  rows.push_back(row("program: cacs-init", init.ok(), init ? init->string() : init.error().message,
                     init ? "" : init.error().hint));
  const auto criu = engine::find_criu();
  if (!criu) {
    rows.push_back(row("engine: criu", false, criu.error().message, criu.error().hint));
    return rows;
  }
  const auto probe = engine::make_criu(*criu)->probe(std::chrono::seconds(30));
  rows.push_back(row("engine: criu", probe.usable,
                     probe.usable ? probe.version + " at " + criu->string() : probe.problem,
                     "install an engine that fits this kernel (scripts/install-engine.sh)"));
  if (!probe.usable || !init || ::geteuid() != 0) return rows;
  const Status tested = self_test(*init, *criu);
  rows.push_back(row("engine: saves and restores a process with a TCP connection", tested.ok(),
                     tested ? "tried just now" : tested.error().message, tested ? "" : tested.error().hint));
  return rows;
}

}  // namespace cacs::main
