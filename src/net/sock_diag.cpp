#include "net/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace cacs::net {
namespace {

constexpr std::size_t kBuffer = std::size_t{32} << 10U;
constexpr std::uint32_t kConnected = 0xfffU & ~(1U << TCP_LISTEN | 1U << TCP_TIME_WAIT | 1U << TCP_CLOSE);

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

Error failed(int error) { return errno_error(error, "ask the kernel for TCP connections"); }

TcpEndpoint endpoint(const __be32* words, __be16 port) {
  TcpEndpoint made;
  std::memcpy(made.words.data(), words, sizeof made.words);
  made.port = ntohs(port);
  return made;
}

/// Takes what one datagram holds; whether it was the last.
Result<bool> take(const char* bytes, std::size_t size, std::vector<TcpConnection>& found) {
  for (std::size_t at = 0; size - at >= sizeof(nlmsghdr);) {
    nlmsghdr header{};
    std::memcpy(&header, bytes + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > size - at) return failed(EBADMSG);
    const char* body = bytes + at + NLMSG_HDRLEN;
    const std::size_t length = header.nlmsg_len - std::min<std::size_t>(header.nlmsg_len, NLMSG_HDRLEN);
    if (header.nlmsg_type == NLMSG_DONE) return true;
    if (header.nlmsg_type == NLMSG_ERROR) {
      nlmsgerr error{};
      if (length < sizeof error) return failed(EBADMSG);
      std::memcpy(&error, body, sizeof error);
      return failed(-error.error);
    }
    if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
      inet_diag_msg one{};
      if (length < sizeof one) return failed(EBADMSG);
      std::memcpy(&one, body, sizeof one);
      found.push_back({.local = endpoint(one.id.idiag_src, one.id.idiag_sport),
                       .remote = endpoint(one.id.idiag_dst, one.id.idiag_dport),
                       .inode = one.idiag_inode});
    }
    at += std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), size - at);
  }
  return false;
}

}  // namespace

Result<std::vector<TcpConnection>> tcp_connections(bool v6) {
  const UniqueFd fd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd.valid()) return failed(errno);
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = v6 ? AF_INET6 : AF_INET;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = kConnected;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(fd.get(), &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0) {
    return failed(errno);
  }
  std::vector<TcpConnection> found;
  std::vector<char> buffer(kBuffer);
  while (true) {
    const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return failed(got < 0 ? errno : EPIPE);
    if (static_cast<std::size_t>(got) > buffer.size()) return failed(EMSGSIZE);
    CACS_ASSIGN(const bool last, take(buffer.data(), static_cast<std::size_t>(got), found));
    if (last) return found;
  }
}

}  // namespace cacs::net
