#include "pod/application_process.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "init/protocol.h"

namespace cacs::pod {

namespace {

constexpr std::size_t kMaxFile = 65536;
constexpr int kLooks = 10;
constexpr unsigned kBetweenLooksUs = 10'000;

/// The pid in the innermost namespace, and the state of the thread; 0 and 'X' for one that is gone.
struct Thread {
  int inner_pid = 0;
  char state = 'X';
};

Thread look_at(const std::filesystem::path& directory) {
  Thread thread;
  const auto status = read_text_file(directory / "status", kMaxFile);
  if (!status) return thread;
  for (const auto& line : split(*status, '\n')) {
    if (line.starts_with("State:")) {
      const std::string state(trim(line.substr(6)));
      if (!state.empty()) thread.state = state.front();
    }
    if (line.starts_with("NSpid:")) {
      const std::string inner(line.substr(line.find_last_of("\t ") + 1));
      std::from_chars(inner.data(), inner.data() + inner.size(), thread.inner_pid);
    }
  }
  return thread;
}

bool ended(char state) { return state == 'Z' || state == 'X'; }

}  // namespace

namespace {

/// Directories in /proc of the children of a process.
Result<std::vector<std::filesystem::path>> children_of(pid_t pid) {
  const std::string own = "/proc/" + std::to_string(pid);
  CACS_ASSIGN(const std::string children,
              read_text_file(own + "/task/" + std::to_string(pid) + "/children", std::size_t{1} << 20U));
  std::vector<std::filesystem::path> directories;
  for (const auto& child : split(trim(children), ' ')) {
    if (!child.empty()) directories.emplace_back("/proc/" + std::string(child));
  }
  return directories;
}

/// The application's main process; kNotFound once it has been reaped.
Result<ProcessIdentity> find_application(pid_t init) {
  CACS_ASSIGN(const auto children, children_of(init));
  for (const auto& directory : children) {
    if (look_at(directory).inner_pid != CACS_APPLICATION_PID) continue;
    return identify_process(static_cast<pid_t>(std::stol(directory.filename().native())));
  }
  return make_error(ErrorCode::kNotFound, "the application's main process is gone");
}

/// A mask of signals in a process's status: "SigCgt:\t0000000000000200".
std::uint64_t signal_mask(const std::string& status, std::string_view name) {
  for (const auto& line : split(status, '\n')) {
    if (!line.starts_with(name)) continue;
    const std::string_view digits = trim(std::string_view(line).substr(name.size()));
    std::uint64_t mask = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), mask, 16);
    return mask;
  }
  return 0;
}

Status check_takes_signal(const ProcessIdentity& application, int number) {
  const std::string directory = "/proc/" + std::to_string(application.pid);
  const std::uint64_t bit = std::uint64_t{1} << static_cast<unsigned>(number - 1);
  std::string status;
  // One that is blocked is waited for (sigwait, signalfd); but every program blocks all of them for some moments, as
  // when it forks, and dies of what came meanwhile after that. So it has to be blocked each time.
  for (int look = 0; look < kLooks; ++look) {
    if (look > 0) ::usleep(kBetweenLooksUs);
    CACS_ASSIGN(status, read_text_file(directory + "/status", kMaxFile));
    if ((signal_mask(status, "SigCgt:") & bit) != 0) return {};
    if ((signal_mask(status, "SigBlk:") & bit) == 0) break;
    if (look + 1 == kLooks) return {};
  }
  const bool ignored = (signal_mask(status, "SigIgn:") & bit) != 0;
  const auto name = read_text_file(directory + "/comm", 256);
  return make_error(ErrorCode::kConflict,
                    "the application's main process (" + (name ? printable(trim(*name), 64) : "?") + ") " +
                        (ignored ? "ignores" : "does not handle") + " signal " + std::to_string(number) +
                        (ignored ? "" : ", which may end it"),
                    "the signal goes to the process that `command` starts: let that be the program itself (in a shell: "
                    "exec), and install the handler before anything else")
      .with_type("signal-not-handled");
}

}  // namespace

Result<bool> application_lives(pid_t init) {
  CACS_ASSIGN(const auto children, children_of(init));
  for (const auto& directory : children) {
    const Thread leader = look_at(directory);
    if (leader.inner_pid != CACS_APPLICATION_PID) continue;
    if (!ended(leader.state)) return true;
    // A leader that has ended may have left threads that go on.
    std::error_code problem;
    for (const auto& thread : std::filesystem::directory_iterator(directory / "task", problem)) {
      if (!ended(look_at(thread.path()).state)) return true;
    }
    return false;
  }
  return false;  // init has reaped it and is ending
}

Status check_takes_signal(pid_t init, int number) {
  CACS_ASSIGN(const ProcessIdentity application, find_application(init));
  return check_takes_signal(application, number);
}

Status signal_application(pid_t init, int number) {
  CACS_ASSIGN(const ProcessIdentity application, find_application(init));
  CACS_ASSIGN(const UniqueFd process, open_process(application));
  CACS_TRY(check_takes_signal(application, number));
  if (::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0) == 0) return {};
  return errno_error(errno, "send signal " + std::to_string(number) + " to the application");
}

}  // namespace cacs::pod
