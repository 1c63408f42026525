#include "inspect/mount.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "base/io.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "base/uuid.h"
#include "inspect/fuse_files.h"

namespace cacs::inspect {

namespace {

/// Blocks the signals that end a mount, and has them as a descriptor.
class EndSignals {
 public:
  static Result<EndSignals> take() {
    sigset_t set;
    sigset_t before;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
    if (const int problem = ::pthread_sigmask(SIG_BLOCK, &set, &before); problem != 0) {
      return errno_error(problem, "block signals");
    }
    UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    const int problem = errno;
    EndSignals signals(std::move(fd), before);
    if (!signals.fd_.valid()) return errno_error(problem, "make a descriptor of signals");
    return signals;
  }
  EndSignals(EndSignals&& other) noexcept
      : fd_(std::move(other.fd_)), before_(other.before_), ours_(std::exchange(other.ours_, false)) {}
  EndSignals(const EndSignals&) = delete;
  EndSignals& operator=(const EndSignals&) = delete;
  EndSignals& operator=(EndSignals&&) = delete;
  ~EndSignals() {
    if (!ours_) return;
    signalfd_siginfo taken{};
    while (fd_.valid() && ::read(fd_.get(), &taken, sizeof taken) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  EndSignals(UniqueFd fd, const sigset_t& before) : fd_(std::move(fd)), before_(before) {}
  UniqueFd fd_;
  sigset_t before_;
  bool ours_ = true;
};

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "make a pipe");
  return Pipe{.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

/// Whether the mount of this name is in the system's list.
Result<bool> is_mounted(const std::string& source) {
  CACS_ASSIGN(const std::string mounts, read_text_file("/proc/self/mountinfo"));
  return mounts.find(' ' + source + ' ') != std::string::npos;
}

/// Takes our own mount away, if it is still there, whoever has files open in it: their reads fail from now on.
Status take_away(const std::filesystem::path& mountpoint, const std::string& source) {
  CACS_ASSIGN(const bool there, is_mounted(source));
  if (!there) return {};
  if (::umount2(mountpoint.c_str(), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return {};
  if (errno != EPERM) return errno_error(errno, "unmount " + mountpoint.string());
  Command command;
  command.argv = {"fusermount3", "-u", "-z", "--", mountpoint.string()};
  CACS_ASSIGN(const Captured ended, run_command(command));
  if (ended.status.success()) return {};
  return make_error(ErrorCode::kIo, "unmount " + mountpoint.string() + ": " + printable(trim(ended.err)));
}

/// Waits for the other end of a pipe to be closed.
void wait_for_end(int fd) {
  pollfd watched{.fd = fd, .events = POLLIN};
  while (::poll(&watched, 1, -1) < 0 && errno == EINTR) {
  }
}

struct ServerEnds {
  Pipe ready;  ///< a byte when it is mounted, or the error
  Pipe life;   ///< held open by the one who watches, for as long as it lives
};

/// The process that serves. Never returns.
[[noreturn]] void run_server(repository::Repository& repository, const MountOptions& options, const std::string& source,
                             const ReportProblem& report, ServerEnds ends) {
  ends.ready.read.reset();
  ends.life.write.reset();
  Catalogue catalogue(repository);
  std::thread watcher;
  const Status status = serve_files(catalogue, options, source, report, [&] {
    (void)write_full(ends.ready.write.get(), std::string_view("+"));
    ends.ready.write.reset();
    watcher = std::thread([&] {
      wait_for_end(ends.life.read.get());
      (void)take_away(options.mountpoint, source);
    });
  });
  if (!status && ends.ready.write.valid()) {
    (void)write_full(ends.ready.write.get(), boost::json::serialize(error_to_json(status.error())));
  }
  ::_exit(status ? 0 : 1);
}

/// What the server said when it was ready: nothing if it is.
Status read_readiness(int fd) {
  std::string said(4096, '\0');
  CACS_ASSIGN(const std::size_t size, read_full(fd, std::as_writable_bytes(std::span(said))));
  said.resize(size);
  if (said == "+") return {};
  const auto json = parse_json_object(said, "the server's answer");
  if (json) return error_from_json(*json);
  return make_error(ErrorCode::kIo, "mount checkpoints: the process that was to serve them has ended");
}

Status check_mountpoint(const std::filesystem::path& mountpoint) {
  std::error_code problem;
  if (!std::filesystem::is_directory(mountpoint, problem)) {
    return make_error(ErrorCode::kNotFound, "mount checkpoints: " + mountpoint.string() + " is not a directory",
                      "make it first (mkdir), or name another");
  }
  const bool empty = std::filesystem::is_empty(mountpoint, problem);
  if (problem) return errno_error(problem.value(), "look into " + mountpoint.string());
  if (empty) return {};
  return make_error(ErrorCode::kConflict, "mount checkpoints: " + mountpoint.string() + " is not empty",
                    "name an empty directory");
}

/// Waits for the server's end or a signal; true for the server.
Result<bool> wait_for_server(int pidfd, int signals) {
  std::array<pollfd, 2> watched{{{.fd = pidfd, .events = POLLIN}, {.fd = signals, .events = POLLIN}}};
  while (::poll(watched.data(), watched.size(), -1) < 0) {
    if (errno != EINTR) return errno_error(errno, "wait for the mount's end");
  }
  return watched[0].revents != 0;
}

/// Reaps the server, which has nothing to serve any more; kills it when it does not end.
Result<ExitStatus> reap(pid_t pid, int pidfd) {
  constexpr int kPatienceMs = 10'000;
  pollfd watched{.fd = pidfd, .events = POLLIN};
  if (::poll(&watched, 1, kPatienceMs) == 0) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return errno_error(errno, "wait for the process that served");
  }
  return ExitStatus::from_wait(status);
}

}  // namespace

Status check_fuse() {
  const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (device.valid()) return {};
  const int problem = errno;
  const std::string why = errno_error(problem, "open /dev/fuse").message;
  return make_error(ErrorCode::kUnsupported, "mount checkpoints: FUSE cannot be used here: " + why,
                    "load the module (modprobe fuse), or in a container give it /dev/fuse; without, use "
                    "`cacs checkpoint ls-files` and `cacs checkpoint cat`");
}

Status serve_mount(repository::Repository& repository, const MountOptions& options, const ReportProblem& report,
                   const std::function<void()>& mounted) {
  CACS_TRY(check_fuse());
  CACS_TRY(check_mountpoint(options.mountpoint));
  MountOptions absolute = options;
  std::error_code problem;
  absolute.mountpoint = std::filesystem::canonical(options.mountpoint, problem);
  if (problem) return errno_error(problem.value(), "look at " + options.mountpoint.string());
  const std::string source = "cacs-" + new_uuid();
  CACS_ASSIGN(const EndSignals signals, EndSignals::take());
  ServerEnds ends;
  CACS_ASSIGN(ends.ready, make_pipe());
  CACS_ASSIGN(ends.life, make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return errno_error(errno, "start a process that serves the mount");
  if (pid == 0) run_server(repository, absolute, source, report, std::move(ends));
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ends.ready.write.reset();
  ends.life.read.reset();
  const Status ready = read_readiness(ends.ready.read.get());
  Result<bool> ended = true;
  if (ready) {
    mounted();
    ended = wait_for_server(pidfd.get(), signals.fd());
  }
  // Whatever happened: the mount goes, then its server, which ends when nothing is left to serve.
  const Status gone = take_away(absolute.mountpoint, source);
  ends.life.write.reset();
  CACS_ASSIGN(const ExitStatus status, reap(pid, pidfd.get()));
  CACS_TRY(ready);
  if (!ended) return ended.error();
  CACS_TRY(gone);
  if (*ended && !status.success()) {
    return make_error(ErrorCode::kIo, "the process that served " + absolute.mountpoint.string() + " ended with " +
                                          status.to_string() + "; the mount was taken away");
  }
  return {};
}

}  // namespace cacs::inspect
