#include "engine/criu.h"

#include <unistd.h>

#include <cstdlib>

#include "base/io.h"
#include "base/text.h"
#include "engine/criu_log.h"
#include "engine/criu_timers.h"

namespace cacs::engine {

namespace {

constexpr int kNetworkFd = 9;  // where the restored pod's network namespace is handed over

class Criu : public Engine {
 public:
  explicit Criu(std::filesystem::path program) : program_(std::move(program)) {}

  [[nodiscard]] std::string name() const override { return "criu"; }

  [[nodiscard]] Capabilities capabilities() const override {
    Capabilities capabilities;
    capabilities.barrier = true;
    capabilities.multi_pod = true;
    capabilities.network_state = true;
    return capabilities;
  }

  [[nodiscard]] Command dump_command(const DumpRequest& request) const override {
    Command command;
    command.argv = {program_.string(), "dump",
                    "--tree",          std::to_string(request.init),
                    "--images-dir",    request.images.string(),
                    "--log-file",      "dump.log",
                    "--leave-running"};
    add_common(command.argv);
    command.argv.insert(command.argv.end(), {"--link-remap", "--ghost-limit", "1G", "--force-irmap"});
    command.argv.emplace_back("--external");
    command.argv.push_back("net[" + std::to_string(request.network_inode) + "]:podnet");
    for (const auto& mount : request.external_mounts) {
      command.argv.emplace_back("--external");
      command.argv.push_back("mnt[" + mount.target + "]:" + mount.key);
    }
    command.argv.insert(command.argv.end(), {"--action-script", request.notify.string()});
    command.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "CACS_NOTIFY=" + request.notify_socket.string()};
    return command;
  }

  [[nodiscard]] Command restore_command(const RestoreRequest& request) const override {
    Command command;
    command.argv = {program_.string(),     "restore",     "--images-dir",           request.images.string(),
                    "--log-file",          "restore.log", "--restore-detached",     "--root",
                    request.root.string(), "--pidfile",   request.pid_file.string()};
    add_common(command.argv);
    // Makes it lock the network while it makes sockets, which it does not otherwise do in one that is handed over: what
    // the first of two ends sends would be answered with a reset, because the other is not there yet.
    command.argv.insert(command.argv.end(), {"--empty-ns", "net"});
    command.argv.insert(command.argv.end(), {"--link-remap", "--inherit-fd"});
    command.argv.push_back("fd[" + std::to_string(kNetworkFd) + "]:podnet");
    command.fds.emplace_back(request.network_fd, kNetworkFd);
    for (const auto& mount : request.external_mounts) {
      command.argv.emplace_back("--external");
      command.argv.push_back("mnt[" + mount.key + "]:" + mount.source.string());
    }
    command.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    if (!request.notify.empty()) {
      command.argv.insert(command.argv.end(), {"--action-script", request.notify.string()});
      command.env->push_back("CACS_NOTIFY=" + request.notify_socket.string());
    }
    command.cgroups = request.cgroups;
    return command;
  }

  [[nodiscard]] std::filesystem::path dump_log(const std::filesystem::path& images) const override {
    return images / "dump.log";
  }
  [[nodiscard]] std::filesystem::path restore_log(const std::filesystem::path& images) const override {
    return images / "restore.log";
  }
  [[nodiscard]] Error reason(std::string_view log, bool restoring) const override {
    return criu_reason(log, restoring);
  }
  [[nodiscard]] bool reported_failure(std::string_view log) const override { return criu_reported_failure(log); }

  [[nodiscard]] Status mend_images(const std::filesystem::path& images) const override {
    return engine::mend_images(images);
  }

  ProbeResult probe(std::chrono::milliseconds limit) const override {
    ProbeResult result;
    result.capabilities = capabilities();
    auto version = run_command({.argv = {program_.string(), "--version"}}, limit);
    if (!version) {
      result.problem = version.error().to_string();
      return result;
    }
    result.version = std::string(trim(std::string_view(version->out).substr(0, version->out.find('\n'))));
    if (result.version.starts_with("Version: ")) result.version.erase(0, 9);
    auto check = run_command({.argv = {program_.string(), "check"}}, limit);
    if (!check) {
      result.problem = check.error().to_string();
    } else if (!check->status.success()) {
      result.problem = "criu check failed: " + printable(trim(check->err), 400);
    } else {
      result.usable = true;
    }
    return result;
  }

 private:
  /// What dump and restore must agree on.
  static void add_common(std::vector<std::string>& argv) {
    argv.insert(argv.end(), {"--tcp-established", "--ext-unix-sk", "--file-locks", "--manage-cgroups=ignore",
                             "--network-lock", "nftables", "-v2"});
  }

  std::filesystem::path program_;
};

}  // namespace

std::vector<std::string> Capabilities::names() const {
  std::vector<std::string> names;
  const auto add = [&names](bool has, const char* text) {
    if (has) names.emplace_back(text);
  };
  add(barrier, "barrier");
  add(multi_pod, "multi_pod");
  add(rootless, "rootless");
  add(lazy, "lazy");
  add(dirty_tracking, "dirty_tracking");
  add(network_state, "network_state");
  return names;
}

std::unique_ptr<Engine> make_criu(std::filesystem::path program) { return std::make_unique<Criu>(std::move(program)); }

Result<std::filesystem::path> find_criu() {
  std::vector<std::filesystem::path> candidates;
  if (const char* configured = std::getenv("CACS_CRIU")) candidates.emplace_back(configured);
  std::error_code problem;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", problem);
  if (!problem) {
    const auto dir = self.parent_path();
    candidates.push_back(dir / "../lib/cacs/engine/criu/bin/criu");
    candidates.push_back(dir / "../../engine/criu/bin/criu");
  }
  candidates.emplace_back("/usr/local/sbin/criu");
  candidates.emplace_back("/usr/sbin/criu");
  std::string looked;
  for (const auto& candidate : candidates) {
    if (::access(candidate.c_str(), X_OK) == 0) return std::filesystem::weakly_canonical(candidate);
    looked += (looked.empty() ? "" : ", ") + candidate.string();
  }
  return make_error(ErrorCode::kNotFound, "no CRIU found (looked at " + looked + ")",
                    "run scripts/install-engine.sh, or set CACS_CRIU to a CRIU 4.2 or later")
      .with_type("engine-missing");
}

}  // namespace cacs::engine
