#include "cli/embedded.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/settings.h"

namespace cacs::cli {

namespace {

constexpr int kReadyFd = 3;
constexpr std::size_t kLogTail = 2000;

Result<sockaddr_un> socket_address(const std::filesystem::path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket.string();
  if (path.size() >= sizeof address.sun_path) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("the socket's path is longer than {} bytes: {}", sizeof address.sun_path - 1, path),
                      "choose a shorter state directory with --state or CACS_STATE");
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.data(), path.size());
  return address;
}

/// What the log got since it was `from` bytes long: its last lines.
std::string log_tail(const std::filesystem::path& log, std::uint64_t from) {
  const auto fd = open_file(log, O_RDONLY);
  if (!fd) return {};
  const off_t end = ::lseek(fd->get(), 0, SEEK_END);
  if (end < 0) return {};
  const auto size = static_cast<std::uint64_t>(end);
  const std::uint64_t start = std::max(from, size - std::min<std::uint64_t>(size, kLogTail));
  std::string text(size > start ? size - start : 0, '\0');
  const auto got = pread_full(fd->get(), std::as_writable_bytes(std::span(text)), start);
  text.resize(got ? *got : 0);
  std::string line;
  for (const auto& part : split(trim(text), '\n')) line += (line.empty() ? "" : " | ") + std::string(trim(part));
  return line;
}

Error start_failed(std::string_view why, const std::filesystem::path& log, std::uint64_t from) {
  const std::string tail = log_tail(log, from);
  return make_error(ErrorCode::kUnavailable,
                    fmt::format("start an embedded server: {}{}", why, tail.empty() ? "" : "; it said: " + tail),
                    "its log is " + log.string() + "; `cacs check` tells whether this machine has what is needed")
      .with_type("unreachable");
}

/// Waits for the one byte. EOF: the server ended before it was ready.
Result<bool> wait_ready(int fd, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready == 0) return make_error(ErrorCode::kTimeout, "not ready after " + format_duration(limit));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return errno_error(errno, "poll");
    char byte = 0;
    const ssize_t got = ::read(fd, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "read");
    return got == 1;
  }
}

}  // namespace

std::filesystem::path embedded_socket(const std::filesystem::path& state) { return state / "server.sock"; }

Result<bool> socket_answers(const std::filesystem::path& socket) {
  CACS_ASSIGN(const sockaddr_un address, socket_address(socket));
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_error(errno, "socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR) return false;
  const bool forbidden = errno == EACCES || errno == EPERM;
  const Error error = errno_error(errno, "connect to " + socket.string());
  return forbidden ? error.with_hint(
                         "it belongs to another user: run this as that user (sudo), or name a server with --server or "
                         "CACS_SERVER")
                   : error;
}

Result<std::string> token_beside(const std::filesystem::path& socket) {
  auto token = read_token_file(socket.parent_path() / "token");
  if (!token && token.error().code == ErrorCode::kNotFound) return std::string();
  return token;
}

Result<ServerEndpoint> SpawnedServer::ensure_running(const std::filesystem::path& state) {
  if (state.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "no place for the state of an embedded server: HOME is not set",
                      "name one with --state or CACS_STATE");
  }
  CACS_TRY(make_directories(state, 0700));
  const auto lock_path = state / "start.lock";
  CACS_ASSIGN(const UniqueFd lock, open_file(lock_path, O_RDWR | O_CREAT, 0600));
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return errno_error(errno, "lock " + lock_path.string());
  }
  const auto socket = embedded_socket(state);
  CACS_ASSIGN(const bool running, socket_answers(socket));
  if (!running) CACS_TRY(start(state));
  CACS_ASSIGN(std::string token, token_beside(socket));
  return ServerEndpoint{"unix:" + socket.string(), std::move(token)};
}

Status SpawnedServer::start(const std::filesystem::path& state) {
  const auto log_path = state / "server.log";
  CACS_ASSIGN(const UniqueFd log, open_file(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600));
  const off_t log_end = ::lseek(log.get(), 0, SEEK_END);
  const auto log_start = static_cast<std::uint64_t>(std::max<off_t>(0, log_end));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  const UniqueFd ready(ends[0]);
  UniqueFd theirs(ends[1]);
  Command command;
  command.argv = {program_.string(),
                  "server",
                  "--embedded",
                  "--state",
                  state.string(),
                  "--listen",
                  "unix:" + embedded_socket(state).string(),
                  "--ready-fd",
                  std::to_string(kReadyFd)};
  command.cwd = "/";  // it must not keep the user's directory busy
  command.fds = {{log.get(), 1}, {log.get(), 2}, {theirs.get(), kReadyFd}};
  command.new_session = true;
  CACS_ASSIGN(Child child, spawn(command));
  theirs.reset();
  const auto got = wait_ready(ready.get(), limit_);
  // Not ready in time: ~Child kills it, so that no half-started server stays.
  if (!got) return start_failed(got.error().message, log_path, log_start);
  if (!*got) {
    const auto ended = child.wait(std::chrono::seconds(5));
    const std::string how = ended ? "it ended with " + ended->to_string() : "it closed its ready descriptor";
    return start_failed(how + " before it was ready", log_path, log_start);
  }
  child.release();
  return {};
}

}  // namespace cacs::cli
