#include "pod/init_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/text.h"
#include "init/protocol.h"

namespace cacs::pod {

namespace {

Status wait_readable(int fd, std::chrono::steady_clock::time_point end, const char* doing) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready > 0) return {};
    if (ready == 0) return make_error(ErrorCode::kTimeout, std::string(doing) + ": the pod's init does not answer");
    if (errno != EINTR) return errno_error(errno, doing);
  }
}

std::string join_nul(const std::vector<std::string>& texts) {
  std::string block;
  for (const auto& text : texts) {
    block += text;
    block += '\0';
  }
  return block;
}

}  // namespace

Result<InitLink> InitLink::connect(pid_t init, std::chrono::milliseconds limit) {
  InitLink link;
  link.fd_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!link.fd_.valid()) return errno_error(errno, "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/" + std::to_string(init) + "/root" CACS_INIT_SOCKET;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(link.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error(errno, "connect to the pod's init");
  }
  CACS_TRY(link.send("cacs 1 shim"));
  const auto end = std::chrono::steady_clock::now() + limit;
  bool closed = false;
  while (!closed) {
    CACS_TRY(wait_readable(link.fd_.get(), end, "greet the pod's init"));
    std::array<char, 1> byte{};
    const ssize_t got = ::recv(link.fd_.get(), byte.data(), 1, 0);
    if (got <= 0) break;
    if (byte[0] != '\n') {
      link.pending_ += byte[0];
      if (link.pending_.size() > 100) break;
      continue;
    }
    if (!link.pending_.starts_with("cacs ")) break;
    link.pending_.clear();
    return link;
  }
  return make_error(ErrorCode::kUnavailable, "the pod's init refused the shim: '" + printable(link.pending_) + "'");
}

Status InitLink::send(const std::string& line) const {
  const std::string text = line + "\n";
  if (::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
    return errno_error(errno, "talk to the pod's init");
  }
  return {};
}

Status InitLink::send_exec(std::uint64_t id, const std::string& user, const std::string& cwd,
                           const std::vector<std::string>& env, const std::vector<std::string>& argv) const {
  const std::string cwd_block = cwd + '\0';
  const std::string env_block = join_nul(env);
  const std::string arg_block = join_nul(argv);
  if (cwd_block.size() > CACS_INIT_MAX_EXEC || env_block.size() > CACS_INIT_MAX_EXEC ||
      arg_block.size() > CACS_INIT_MAX_EXEC) {
    return make_error(ErrorCode::kTooLarge, "the command to run is longer than 1 MiB");
  }
  CACS_TRY(send("exec " + std::to_string(id) + " " + user + " " + std::to_string(cwd_block.size()) + " " +
                std::to_string(env_block.size()) + " " + std::to_string(arg_block.size())));
  return write_full(fd_.get(), cwd_block + env_block + arg_block);
}

Result<std::vector<std::string>> InitLink::receive(bool& closed) {
  closed = false;
  std::array<char, 4096> block{};
  const ssize_t got = ::recv(fd_.get(), block.data(), block.size(), MSG_DONTWAIT);
  std::vector<std::string> lines;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return lines;
  if (got <= 0) {
    closed = true;
    return lines;
  }
  pending_.append(block.data(), static_cast<std::size_t>(got));
  std::size_t start = 0;
  for (std::size_t end = pending_.find('\n'); end != std::string::npos; end = pending_.find('\n', start)) {
    lines.push_back(pending_.substr(start, end - start));
    start = end + 1;
  }
  pending_.erase(0, start);
  if (pending_.size() > CACS_INIT_MAX_LINE) {
    return make_error(ErrorCode::kTooLarge, "the pod's init sent a line without end");
  }
  return lines;
}

Status InitLink::quiesce(std::chrono::milliseconds limit) {
  CACS_TRY(send("quiesce"));
  const auto end = std::chrono::steady_clock::now() + limit;
  bool closed = false;
  while (!closed) {
    CACS_TRY(wait_readable(fd_.get(), end, "part from the pod's init"));
    CACS_TRY(receive(closed));
  }
  fd_.reset();
  return {};
}

}  // namespace cacs::pod
