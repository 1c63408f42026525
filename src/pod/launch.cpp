#include "pod/launch.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "init/protocol.h"
#include "pod/mpi.h"
#include "pod/root.h"

namespace cacs::pod {

namespace {

/// What containers get by default, less NET_RAW and MKNOD.
constexpr std::array<int, 12> kCapabilities{
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,           CAP_FSETID,     CAP_KILL,    CAP_SETGID,
    CAP_SETUID, CAP_SETPCAP,      CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_SETFCAP, CAP_AUDIT_WRITE};

Status drop_capabilities() {
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if (std::find(kCapabilities.begin(), kCapabilities.end(), capability) != kCapabilities.end()) continue;
    // EINVAL: a capability that this kernel does not have.
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) {
      return errno_error(errno, "drop capability " + std::to_string(capability));
    }
  }
  return {};
}

/// In the child: everything between the clone and the execution of init.
Status become_init(const PodLayout& layout, const PodSpec& spec, int network_fd, int report_fd) {
  if (::setsid() < 0) return errno_error(errno, "setsid");
  if (::setns(network_fd, CLONE_NEWNET) != 0) return errno_error(errno, "enter the pod's network");
  CACS_TRY(enter_pod_root(layout, spec));
  CACS_TRY(drop_capabilities());
  ::umask(022);
  std::vector<std::string> words{CACS_POD_DIR "/cacs-init", "init", spec.user, spec.workdir};
  words.insert(words.end(), spec.command_to_run().begin(), spec.command_to_run().end());
  auto environment = spec.env;
  environment.merge(mpi_environment(spec));
  environment["CACS_POD"] = spec.pod;
  environment["CACS_APPLICATION"] = spec.application;
  environment["CACS_PODS"] = std::to_string(std::max<std::size_t>(1, spec.hosts.size()));
  environment.erase(CACS_ADDRESS_VARIABLE);
  environment.erase(CACS_RESTARTED_VARIABLE);
  if (spec.restarts()) environment[CACS_RESTARTED_VARIABLE] = "1";
  if (spec.connected()) environment[CACS_ADDRESS_VARIABLE] = spec.address;
  std::vector<std::string> variables;
  variables.reserve(environment.size());
  for (const auto& [key, value] : environment) variables.push_back(key + "=" + value);
  std::vector<char*> argv;
  std::vector<char*> envp;
  argv.reserve(words.size() + 1);
  envp.reserve(variables.size() + 1);
  for (auto& word : words) argv.push_back(word.data());
  for (auto& variable : variables) envp.push_back(variable.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < 32; ++number) ::signal(number, SIG_DFL);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(null.get(), fd) < 0) return errno_error(errno, "open /dev/null");
  }
  constexpr int kReadyFd = 3;  // init tells through it that the application runs (init/init.cpp)
  const UniqueFd lifted(::fcntl(report_fd, F_DUPFD_CLOEXEC, kReadyFd + 1));
  if (::dup2(lifted.get(), kReadyFd) < 0) return errno_error(errno, "hand over the report pipe");
  ::syscall(SYS_close_range, kReadyFd + 1U, ~0U, 1U << 2U);  // CLOSE_RANGE_CLOEXEC
  ::execve(words[0].c_str(), argv.data(), envp.data());
  return errno_error(errno, "execute the pod's init");
}

[[noreturn]] void run_child(const PodLayout& layout, const PodSpec& spec, int network_fd, int go_fd, int report_fd) {
  std::array<std::byte, 1> byte{};
  const auto got = read_full(go_fd, byte);
  if (!got || *got == 0) ::_exit(126);  // the shim died or gave up
  const Status status = become_init(layout, spec, network_fd, report_fd);
  const std::string text = boost::json::serialize(error_to_json(status.error()));
  [[maybe_unused]] const auto written = write_full(report_fd, text);
  ::_exit(126);
}

/// Why the application could not be executed, in the user's words.
Error launch_error(const PodSpec& spec, int error) {
  const std::string command = "'" + printable(spec.command_to_run().front()) + "'";
  switch (error) {
    case ENOENT:
      return make_error(ErrorCode::kInvalidArgument, "command " + command + " was not found in the pod",
                        "give its full path, or check `command`, PATH and `base`")
          .with_type("command-not-found");
    case ENOTDIR:
      return make_error(ErrorCode::kInvalidArgument,
                        "work directory " + printable(spec.workdir) + " does not exist in the pod",
                        "correct `workdir`, or bring it in with `files` or `mounts`")
          .with_type("workdir-not-found");
    case EINVAL:
      return make_error(ErrorCode::kInvalidArgument, "user '" + printable(spec.user) + "' does not exist in the pod",
                        "correct `user`")
          .with_type("user-not-found");
    default:
      return errno_error(error, "run " + command).with_type("command-not-runnable");
  }
}

Result<pid_t> read_report(int fd, const PodSpec& spec, pid_t pid) {
  std::string text(4096, '\0');
  CACS_ASSIGN(const std::size_t got, read_full(fd, std::as_writable_bytes(std::span(text))));
  text.resize(got);
  if (text == "R") return pid;
  if (text.starts_with('E')) return launch_error(spec, static_cast<int>(std::strtol(text.c_str() + 1, nullptr, 10)));
  if (text.empty()) return make_error(ErrorCode::kInternal, "the pod's init ended before it said anything");
  CACS_ASSIGN(const JsonObject object, parse_json_object(text, "report of the pod's init"));
  return error_from_json(object);
}

}  // namespace

Result<pid_t> launch_init(const PodLayout& layout, const PodSpec& spec, const PodCgroup& cgroup, int network_fd) {
  std::array<int, 2> go{};
  std::array<int, 2> report{};
  if (::pipe2(go.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  UniqueFd go_read(go[0]);
  UniqueFd go_write(go[1]);
  if (::pipe2(report.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  UniqueFd report_read(report[0]);
  UniqueFd report_write(report[1]);

  clone_args arguments{};
  // A time namespace, because CRIU restores into one: then nothing changes at the first restore.
  arguments.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWTIME;
  arguments.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  if (pid < 0) return errno_error(errno, "clone the pod's namespaces");
  if (pid == 0) {
    go_write.reset();
    run_child(layout, spec, network_fd, go_read.get(), report_write.get());
  }
  report_write.reset();
  const auto give_up = [pid](const Error& error) -> Result<pid_t> {
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return error;
  };
  if (const Status added = cgroup.add(pid); !added) return give_up(added.error());
  if (const Status sent = write_full(go_write.get(), std::string_view("g")); !sent) return give_up(sent.error());
  auto result = read_report(report_read.get(), spec, pid);
  return result ? result : give_up(result.error());
}

}  // namespace cacs::pod
