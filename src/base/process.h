#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace cacs {

/// How a process ended.
struct ExitStatus {
  bool signaled = false;
  int value = 0;  ///< exit code, or signal number

  [[nodiscard]] bool success() const { return !signaled && value == 0; }
  /// "exit code 3", "signal 9 (Killed)"
  [[nodiscard]] std::string to_string() const;
  static ExitStatus from_wait(int wait_status);
};

/// What to run and how. Arguments are vectors: no shell is ever involved.
struct Command {
  std::vector<std::string> argv;                ///< argv[0] is looked up in PATH when it has no slash
  std::optional<std::vector<std::string>> env;  ///< "NAME=value"; unset: inherited
  std::filesystem::path cwd;                    ///< empty: inherited
  std::vector<std::pair<int, int>> fds;         ///< (ours, theirs); stdin, stdout, stderr not named become /dev/null
  bool new_session = false;                     ///< setsid: not killed with our terminal
  bool die_with_parent = false;                 ///< SIGKILL when the spawning thread ends
  std::vector<std::filesystem::path> cgroups;   ///< directories of cgroups that it is in before it is executed
};

/// A child process of ours. Its destructor kills and reaps it if it still runs, so that none leaks.
class Child {
 public:
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Readable when the process has ended.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  /// Sends a signal, through the pidfd: never to a process that took over the number.
  Status signal(int number) const;
  /// Waits for the end; kTimeout if it does not come within `limit`.
  Result<ExitStatus> wait(std::optional<std::chrono::milliseconds> limit = std::nullopt);
  /// Lets it run on without us: it becomes the child of the nearest subreaper when we end.
  void release();

 private:
  friend Result<Child> spawn(const Command& command);
  Child(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  void kill_and_reap();
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

/// Starts a program. A program that cannot be executed is an error here (kNotFound, kPermission), not an exit code.
/// Every descriptor above 2 that `fds` does not name is closed in it. Any thread.
Result<Child> spawn(const Command& command);

struct Captured {
  ExitStatus status;
  std::string out;  ///< standard output, at most 1 MiB
  std::string err;  ///< standard error, at most 1 MiB
};

/// Runs a program to its end and keeps what it printed. Past `limit` it is killed and kTimeout returned.
Result<Captured> run_command(const Command& command, std::chrono::milliseconds limit = std::chrono::seconds(60));

/// Names a process for ever, unlike a pid: the boot, and the kernel's start time of it in clock ticks.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_time = 0;
  std::string boot_id;

  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

/// This boot's id (/proc/sys/kernel/random/boot_id).
Result<std::string> read_boot_id();

/// Identity of a running process; kNotFound if there is none of this number. A zombie counts as running.
Result<ProcessIdentity> identify_process(pid_t pid);

/// A pidfd on exactly that process; kNotFound if it is gone, or its number now belongs to another.
Result<UniqueFd> open_process(const ProcessIdentity& identity);

}  // namespace cacs
