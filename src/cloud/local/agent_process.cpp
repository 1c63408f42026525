#include "cloud/local/agent_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/held_fd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"

namespace cacs::cloud {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kStopLimit{10'000};
/// An agent that lived for so long did not die at once: the next start comes without a long wait.
constexpr milliseconds kLivedWell{10'000};
constexpr milliseconds kLogCheck{30'000};
constexpr std::int64_t kMaxLogBytes = std::int64_t{8} << 20U;
constexpr std::int64_t kKeptLogBytes = std::int64_t{1} << 20U;

/// Waits until `pidfd` tells of the end, at most `limit`.
bool ended_within(int pidfd, milliseconds limit) {
  pollfd waiting{pidfd, POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(limit.count())) > 0;
}

Status signal_process(int pidfd, int number) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0U) == 0 || errno == ESRCH) return {};
  return errno_error(errno, "signal the agent");
}

/// The process that listens on a unix socket; kNotFound when none does.
Result<ProcessIdentity> listener_of(const std::filesystem::path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket.string();
  if (path.size() >= sizeof address.sun_path) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{}: a socket's path may have {} bytes at most", path, sizeof address.sun_path - 1),
                      "choose a state directory with a shorter path");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno_error(errno, "socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return make_error(ErrorCode::kNotFound, "nobody listens on " + path);
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return errno_error(errno, "SO_PEERCRED");
  return identify_process(peer.pid);
}

Status write_identity(const std::filesystem::path& path, const ProcessIdentity& identity) {
  return write_file_durably(path, boost::json::serialize(identity_to_json(identity)));
}

Result<ProcessIdentity> read_identity(const std::filesystem::path& path) {
  CACS_ASSIGN(const std::string text, read_text_file(path, 4096));
  CACS_ASSIGN(const JsonObject object, parse_json_object(text, path.string()));
  return identity_from_json(object);
}

/// The last `size` bytes of a file; empty when it cannot be read.
std::string tail_of(const std::filesystem::path& path, std::int64_t size) {
  const auto fd = open_file(path, O_RDONLY);
  struct stat info {};
  if (!fd.ok() || ::fstat(fd->get(), &info) != 0) return {};
  const std::int64_t length = std::min<std::int64_t>(size, info.st_size);
  std::string text(static_cast<std::size_t>(length), '\0');
  const auto got = pread_full(fd->get(), std::as_writable_bytes(std::span(text.data(), text.size())),
                              static_cast<std::uint64_t>(info.st_size - length));
  text.resize(got.ok() ? *got : 0);
  return text;
}

}  // namespace

AgentProcess::AgentProcess(AgentProcessOptions options)
    : options_(std::move(options)),
      client_(options_.client ? std::make_shared<agent::Client>(*options_.client)
                              : std::make_shared<agent::Client>(options_.directory / "agent.sock")),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

AgentProcess::~AgentProcess() {
  watcher_.request_stop();
  if (watcher_.joinable()) watcher_.join();
  if (running_ && running_->child) running_->child->release();
}

Result<std::shared_ptr<agent::Client>> AgentProcess::ensure() {
  const std::scoped_lock lock(mutex_);
  if (running_ && !ended_within(running_->pidfd.get(), milliseconds(0))) return client_;
  if (backing_off_) return *backing_off_;
  // Between its death and the watcher's turn: the same as a start.
  CACS_TRY(start_or_find());
  begin_watching();
  return client_;
}

std::optional<ProcessIdentity> AgentProcess::identity() {
  const std::scoped_lock lock(mutex_);
  if (!running_ || ended_within(running_->pidfd.get(), milliseconds(0))) return std::nullopt;
  return running_->identity;
}

Status AgentProcess::start_or_find() {
  running_.reset();
  CACS_TRY(make_directories(options_.directory, 0700));
  // Two servers on one directory must not start two agents.
  CACS_ASSIGN(const UniqueFd start_lock, take_start_lock());
  CACS_ASSIGN(std::optional<Running> found, find());
  if (!found) {
    CACS_ASSIGN(found, start());
  }
  running_ = std::move(*found);
  Status answers = wait_until_it_answers(*running_);
  if (!answers.ok()) {
    // A child of ours that never answered would stay in the way of the next try.
    running_.reset();
    return answers;
  }
  return write_identity(options_.directory / "agent.pid", running_->identity);
}

Result<UniqueFd> AgentProcess::take_start_lock() {
  CACS_ASSIGN(UniqueFd fd, open_file(options_.directory / "start.lock", O_RDWR | O_CREAT, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  return make_error(ErrorCode::kUnavailable,
                    fmt::format("another process starts the agent of {}", options_.directory.string()),
                    "try again in a moment");
}

/// The agent that an earlier server left running: by the identity it wrote down, or by who listens on the socket.
Result<std::optional<AgentProcess::Running>> AgentProcess::find() {
  Result<ProcessIdentity> identity = read_identity(options_.directory / "agent.pid");
  Result<UniqueFd> pidfd = identity.ok() ? open_process(*identity) : Result<UniqueFd>(identity.error());
  if (!pidfd.ok() || ended_within(pidfd->get(), milliseconds(0))) {
    identity = listener_of(options_.directory / "agent.sock");
    if (!identity.ok()) {
      if (identity.error().code == ErrorCode::kNotFound) return std::optional<Running>();
      return identity.error();
    }
    pidfd = open_process(*identity);
    if (!pidfd.ok()) return std::optional<Running>();
  }
  return std::optional<Running>(Running{
      .identity = *std::move(identity), .pidfd = *std::move(pidfd), .child = std::nullopt, .since = Clock::now()});
}

Result<AgentProcess::Running> AgentProcess::start() {
  CACS_ASSIGN(const UniqueFd log, open_log());
  std::vector<std::pair<int, int>> fds = {{log.get(), 1}, {log.get(), 2}};
  fds.insert(fds.end(), options_.fds.begin(), options_.fds.end());
  CACS_ASSIGN(
      Child child,
      spawn({.argv = options_.command, .env = std::nullopt, .cwd = "/", .fds = std::move(fds), .new_session = true}));
  CACS_ASSIGN(ProcessIdentity identity, identify_process(child.pid()));
  CACS_TRY(write_identity(options_.directory / "agent.pid", identity));
  CACS_ASSIGN(UniqueFd pidfd, open_process(identity));
  return Running{
      .identity = std::move(identity), .pidfd = std::move(pidfd), .child = std::move(child), .since = Clock::now()};
}

Status AgentProcess::wait_until_it_answers(Running& running) {
  const Clock::time_point end = Clock::now() + options_.start_limit;
  while (true) {
    const auto info = client_->info();
    if (info.ok()) return {};
    // The end of the process is the event waited for; the time is only when to knock again.
    if (ended_within(running.pidfd.get(), milliseconds(20))) {
      std::string how = "ended";
      if (running.child) {
        const auto status = running.child->wait();
        if (status.ok()) how = "ended with " + status->to_string();
      }
      return with_log(make_error(ErrorCode::kUnavailable, fmt::format("the agent {} before it answered", how)));
    }
    if (Clock::now() >= end) {
      return with_log(make_error(ErrorCode::kUnavailable, fmt::format("the agent (process {}) does not answer: {}",
                                                                      running.identity.pid, info.error().message)));
    }
  }
}

Error AgentProcess::with_log(Error error) const {
  const std::filesystem::path log = options_.directory / "agent.log";
  std::string lines = tail_of(log, 600);
  if (!lines.empty()) error.message += "; its last lines: " + printable(trim(lines), 600);
  error.hint = "the whole log is " + log.string();
  return error;
}

Result<UniqueFd> AgentProcess::open_log() {
  bound_log();
  return open_file(options_.directory / "agent.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
}

/// The agent writes with O_APPEND, so a file made shorter under it goes on from its new end.
void AgentProcess::bound_log() const {
  const std::filesystem::path log = options_.directory / "agent.log";
  struct stat info {};
  if (::stat(log.c_str(), &info) != 0 || info.st_size <= kMaxLogBytes) return;
  std::filesystem::path old = log;
  old += ".1";
  const Status kept = write_file_durably(old, tail_of(log, kKeptLogBytes));
  if (!kept.ok()) spdlog::warn("keep the end of {}: {}", log.string(), kept.error().to_string());
  if (::truncate(log.c_str(), 0) != 0)
    spdlog::warn("truncate {}: {}", log.string(), errno_error(errno, "truncate").message);
}

void AgentProcess::begin_watching() {
  if (watcher_.joinable()) return;
  eventfd_t ignored = 0;  // what woke a watcher before this one
  ::eventfd_read(wake_.get(), &ignored);
  watcher_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

/// True: the process has ended. False: told to stop.
bool AgentProcess::wait_for_end(int pidfd, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> waiting{pollfd{pidfd, POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
    const int ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(kLogCheck.count()));
    if (ready > 0 && waiting[0].revents != 0) return !stop.stop_requested();
    if (ready == 0) bound_log();
  }
  return false;
}

/// False: told to stop.
bool AgentProcess::wait_out(milliseconds time, const std::stop_token& stop) const {
  pollfd waiting{wake_.get(), POLLIN, 0};
  ::poll(&waiting, 1, static_cast<int>(time.count()));
  return !stop.stop_requested();
}

void AgentProcess::watch(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { ::eventfd_write(wake_.get(), 1); });
  milliseconds backoff = options_.first_backoff;
  while (!stop.stop_requested()) {
    UniqueFd pidfd;
    {
      const std::scoped_lock lock(mutex_);
      if (running_) pidfd.reset(::fcntl(running_->pidfd.get(), F_DUPFD_CLOEXEC, 3));
    }
    if (pidfd.valid() && !wait_for_end(pidfd.get(), stop)) return;
    {
      const std::scoped_lock lock(mutex_);
      // ensure() may have been faster, and have started the next one.
      if (running_ && !ended_within(running_->pidfd.get(), milliseconds(0))) continue;
      const bool lived_well = running_ && Clock::now() - running_->since > kLivedWell;
      if (lived_well) backoff = options_.first_backoff;
      if (running_)
        backing_off_ = with_log(make_error(ErrorCode::kUnavailable, "the agent has ended and is started again"));
      running_.reset();
      spdlog::warn("node {}: the agent has ended; it is started again in {}", options_.directory.filename().string(),
                   format_duration(backoff));
    }
    if (!wait_out(backoff, stop)) return;
    backoff = std::min(backoff * 2, options_.last_backoff);
    const std::scoped_lock lock(mutex_);
    backing_off_.reset();
    const Status started = start_or_find();
    if (!started.ok()) backing_off_ = started.error();
  }
}

Status AgentProcess::stop() {
  std::jthread watcher;
  {
    const std::scoped_lock lock(mutex_);
    watcher = std::move(watcher_);
  }
  watcher.request_stop();
  if (watcher.joinable()) watcher.join();
  const std::scoped_lock lock(mutex_);
  backing_off_.reset();
  if (!running_) {
    CACS_ASSIGN(std::optional<Running> found, find());
    if (!found) return {};
    running_ = std::move(*found);
  }
  CACS_TRY(signal_process(running_->pidfd.get(), SIGTERM));
  if (!ended_within(running_->pidfd.get(), kStopLimit)) {
    CACS_TRY(signal_process(running_->pidfd.get(), SIGKILL));
    if (!ended_within(running_->pidfd.get(), kStopLimit)) {
      return make_error(ErrorCode::kTimeout,
                        fmt::format("the agent (process {}) does not end", running_->identity.pid));
    }
  }
  running_.reset();
  std::error_code ignored;  // a stale identity is recognised as one
  std::filesystem::remove(options_.directory / "agent.pid", ignored);
  return {};
}

}  // namespace cacs::cloud
