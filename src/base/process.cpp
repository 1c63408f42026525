#include "base/process.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/io.h"
#include "base/text.h"

namespace cacs {

namespace {

constexpr std::size_t kMaxCapture = std::size_t{1} << 20U;

int pidfd_open(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)); }

std::vector<char*> to_pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (auto& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// A cgroup v2, open; invalid for any other directory.
UniqueFd open_v2_group(const std::filesystem::path& directory) {
  struct statfs system {};
  if (::statfs(directory.c_str(), &system) != 0 || system.f_type != CGROUP2_SUPER_MAGIC) return {};
  return UniqueFd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/// fork() into a cgroup v2. To join one takes the kernel many milliseconds, as all of the machine's tasks have to agree
/// to a move; to begin in one takes nothing. Kernels before 5.7 cannot: -1.
pid_t fork_into(int group) {
  struct clone_args arguments {};
  arguments.flags = CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = static_cast<__u64>(group);
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
}

/// What the child needs, laid out before the fork: after it only async-signal-safe calls are allowed.
struct Prepared {
  std::vector<std::string> argv_text;
  std::vector<std::string> env_text;
  std::vector<char*> argv;
  std::vector<char*> env;
  std::vector<std::string> candidates;  ///< paths to try, in order
  std::string cwd;
  std::vector<std::string> cgroup_files;  ///< of those that it joins by itself
  std::vector<std::pair<int, int>> fds;
  int error_fd = -1;
};

std::vector<std::string> find_in_path(const std::string& name) {
  if (name.find('/') != std::string::npos) return {name};
  const char* path = ::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): we never call setenv
  std::vector<std::string> candidates;
  for (const auto& dir : split(path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ':')) {
    candidates.push_back((dir.empty() ? "." : dir) + "/" + name);
  }
  return candidates;
}

[[noreturn]] void fail_child(int error_fd, int error) {
  // The parent reads the errno from the pipe; if even this write fails it sees an early exit with 127.
  [[maybe_unused]] const ssize_t put = ::write(error_fd, &error, sizeof error);
  ::_exit(127);
}

[[noreturn]] void run_child(const Prepared& prepared, bool new_session, bool die_with_parent, pid_t parent) {
  const int error_fd = prepared.error_fd;
  if (new_session && ::setsid() < 0) fail_child(error_fd, errno);
  if (die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
  }
  // First lift every source above all targets, so that no dup2 overwrites a descriptor that is still to be copied.
  std::array<int, 16> lifted{};
  int floor = 3;
  for (const auto& [ours, theirs] : prepared.fds) floor = std::max(floor, theirs + 1);
  const int moved_error = ::fcntl(error_fd, F_DUPFD_CLOEXEC, floor);
  if (moved_error < 0) fail_child(error_fd, errno);
  for (std::size_t i = 0; i < prepared.fds.size(); ++i) {
    lifted.at(i) = ::fcntl(prepared.fds[i].first, F_DUPFD_CLOEXEC, floor);
    if (lifted.at(i) < 0) fail_child(moved_error, errno);
  }
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) fail_child(moved_error, errno);
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(null, fd) < 0) fail_child(moved_error, errno);
  }
  ::syscall(SYS_close_range, 3U, ~0U, 1U << 2U);  // CLOSE_RANGE_CLOEXEC: only what is dup2'ed below stays open
  for (std::size_t i = 0; i < prepared.fds.size(); ++i) {
    if (::dup2(lifted.at(i), prepared.fds[i].second) < 0) fail_child(moved_error, errno);
  }
  for (const auto& file : prepared.cgroup_files) {
    const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ::write(fd, "0", 1) != 1) fail_child(moved_error, errno);
    ::close(fd);
  }
  if (!prepared.cwd.empty() && ::chdir(prepared.cwd.c_str()) != 0) fail_child(moved_error, errno);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < 32; ++number) ::signal(number, SIG_DFL);
  int error = ENOENT;
  for (const auto& candidate : prepared.candidates) {
    ::execve(candidate.c_str(), prepared.argv.data(), prepared.env.data());
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
  }
  fail_child(moved_error, error);
}

}  // namespace

std::string ExitStatus::to_string() const {
  if (!signaled) return "exit code " + std::to_string(value);
  const char* name = ::sigdescr_np(value);
  return "signal " + std::to_string(value) + (name != nullptr ? " (" + std::string(name) + ")" : "");
}

ExitStatus ExitStatus::from_wait(int wait_status) {
  if (WIFSIGNALED(wait_status)) return {true, WTERMSIG(wait_status)};
  return {false, WEXITSTATUS(wait_status)};
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    kill_and_reap();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

Child::~Child() { kill_and_reap(); }

void Child::kill_and_reap() {
  if (pid_ < 0) return;
  [[maybe_unused]] const auto sent = signal(SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

Status Child::signal(int number) const {
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0U) != 0) {
    return errno_error(errno, "signal process " + std::to_string(pid_));
  }
  return {};
}

Result<ExitStatus> Child::wait(std::optional<std::chrono::milliseconds> limit) {
  if (pid_ < 0) return make_error(ErrorCode::kInternal, "wait for a process that was already reaped or released");
  const auto end = std::chrono::steady_clock::now() + limit.value_or(std::chrono::milliseconds(0));
  while (limit) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd waiting{pidfd_.get(), POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready > 0) break;
    if (ready < 0 && errno != EINTR) return errno_error(errno, "wait for process " + std::to_string(pid_));
    if (ready == 0) {
      return make_error(ErrorCode::kTimeout,
                        "process " + std::to_string(pid_) + " did not end within " + format_duration(*limit));
    }
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) return errno_error(errno, "wait for process " + std::to_string(pid_));
  }
  pid_ = -1;
  return ExitStatus::from_wait(status);
}

void Child::release() {
  pid_ = -1;
  pidfd_.reset();
}

Result<Child> spawn(const Command& command) {
  if (command.argv.empty()) return make_error(ErrorCode::kInternal, "spawn without a program");
  if (command.fds.size() > 16) return make_error(ErrorCode::kInternal, "spawn with more than 16 descriptors");
  std::array<int, 2> pipe_fds{};
  if (::pipe2(pipe_fds.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  const UniqueFd read_end(pipe_fds[0]);
  UniqueFd write_end(pipe_fds[1]);

  Prepared prepared;
  prepared.argv_text = command.argv;
  prepared.argv = to_pointers(prepared.argv_text);
  if (command.env) {
    prepared.env_text = *command.env;
    prepared.env = to_pointers(prepared.env_text);
  } else {
    for (char** entry = environ; *entry != nullptr; ++entry) prepared.env.push_back(*entry);
    prepared.env.push_back(nullptr);
  }
  prepared.candidates = find_in_path(command.argv[0]);
  prepared.cwd = command.cwd.string();
  UniqueFd group;
  std::string group_file;
  for (const auto& cgroup : command.cgroups) {
    std::string file = (cgroup / "cgroup.procs").string();
    if (!group.valid()) {
      group = open_v2_group(cgroup);
      if (group.valid()) {
        group_file = std::move(file);
        continue;
      }
    }
    prepared.cgroup_files.push_back(std::move(file));
  }
  prepared.fds = command.fds;
  prepared.error_fd = write_end.get();

  const pid_t parent = ::getpid();
  pid_t pid = group.valid() ? fork_into(group.get()) : -1;
  if (pid < 0) {
    if (group.valid()) prepared.cgroup_files.push_back(group_file);
    pid = ::fork();
  }
  if (pid < 0) return errno_error(errno, "fork for " + command.argv[0]);
  if (pid == 0) run_child(prepared, command.new_session, command.die_with_parent, parent);
  write_end.reset();
  Child child(pid, UniqueFd(pidfd_open(pid)));
  int error = 0;
  auto got = read_full(read_end.get(), std::as_writable_bytes(std::span(&error, 1)));
  if (got && *got == sizeof error) {
    return errno_error(error, "run " + printable(command.argv[0]));  // ~Child reaps the failed child
  }
  if (!child.pidfd_.valid()) return errno_error(errno, "pidfd_open");
  return child;
}

Result<Captured> run_command(const Command& command, std::chrono::milliseconds limit) {
  std::array<int, 2> out_pipe{};
  std::array<int, 2> err_pipe{};
  if (::pipe2(out_pipe.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  std::array<UniqueFd, 2> out{UniqueFd(out_pipe[0]), UniqueFd(out_pipe[1])};
  if (::pipe2(err_pipe.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  std::array<UniqueFd, 2> err{UniqueFd(err_pipe[0]), UniqueFd(err_pipe[1])};
  Command with_pipes = command;
  with_pipes.fds.emplace_back(out[1].get(), 1);
  with_pipes.fds.emplace_back(err[1].get(), 2);
  CACS_ASSIGN(Child child, spawn(with_pipes));
  out[1].reset();
  err[1].reset();

  Captured captured;
  const auto end = std::chrono::steady_clock::now() + limit;
  std::array<pollfd, 2> waiting{pollfd{out[0].get(), POLLIN, 0}, pollfd{err[0].get(), POLLIN, 0}};
  const std::array<std::string*, 2> sinks{&captured.out, &captured.err};
  std::vector<char> block(std::size_t{64} << 10U);
  while (waiting[0].fd >= 0 || waiting[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const int ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready < 0 && errno != EINTR) return errno_error(errno, "poll");
    if (ready == 0) {
      return make_error(ErrorCode::kTimeout, command.argv[0] + " did not end within " + format_duration(limit));
    }
    for (std::size_t i = 0; ready > 0 && i < waiting.size(); ++i) {
      if (waiting.at(i).fd < 0 || waiting.at(i).revents == 0) continue;
      const ssize_t got = ::read(waiting.at(i).fd, block.data(), block.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        waiting.at(i).fd = -1;
        continue;
      }
      const std::size_t room = kMaxCapture - std::min(kMaxCapture, sinks.at(i)->size());
      sinks.at(i)->append(block.data(), std::min(room, static_cast<std::size_t>(got)));
    }
  }
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  CACS_ASSIGN(captured.status, child.wait(std::max(left, std::chrono::milliseconds(1))));
  return captured;
}

Result<std::string> read_boot_id() {
  CACS_ASSIGN(const std::string text, read_text_file("/proc/sys/kernel/random/boot_id", 128));
  return std::string(trim(text));
}

Result<ProcessIdentity> identify_process(pid_t pid) {
  ProcessIdentity identity;
  identity.pid = pid;
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  CACS_ASSIGN(const std::string text, read_text_file(path, 8192));
  // The name in parentheses may itself hold spaces and parentheses: fields are counted from the last one.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return make_error(ErrorCode::kIo, path + " has no process name");
  const auto fields = split(trim(std::string_view(text).substr(name_end + 1)), ' ');
  constexpr std::size_t kStartTime = 19;  // field 22 of proc(5), counted from field 3
  if (fields.size() <= kStartTime) return make_error(ErrorCode::kIo, path + " has too few fields");
  identity.start_time = std::strtoull(fields[kStartTime].c_str(), nullptr, 10);
  CACS_ASSIGN(identity.boot_id, read_boot_id());
  return identity;
}

Result<UniqueFd> open_process(const ProcessIdentity& identity) {
  UniqueFd fd(pidfd_open(identity.pid));
  if (!fd.valid()) return errno_error(errno, "process " + std::to_string(identity.pid));
  // The pidfd pins whatever has the number now; only then is comparing its start time free of a race.
  CACS_ASSIGN(const ProcessIdentity now, identify_process(identity.pid));
  if (!(now == identity)) {
    return make_error(ErrorCode::kNotFound, "process " + std::to_string(identity.pid) + " is another one by now");
  }
  return fd;
}

}  // namespace cacs
