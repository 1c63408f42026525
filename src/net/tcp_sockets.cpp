#include "net/tcp_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <string>

#include <netlink/errno.h>
#include <netlink/handlers.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

namespace cacs::net {

namespace {

/// Half-open ones that were not answered yet; the kernel's own number, which no header for programs has.
constexpr unsigned kNewSynReceived = 12;

constexpr std::uint32_t connected_states() {
  std::uint32_t states = 0;
  for (const unsigned state : {unsigned{TCP_ESTABLISHED}, unsigned{TCP_SYN_SENT}, unsigned{TCP_SYN_RECV},
                               unsigned{TCP_FIN_WAIT1}, unsigned{TCP_FIN_WAIT2}, unsigned{TCP_CLOSE_WAIT},
                               unsigned{TCP_LAST_ACK}, unsigned{TCP_CLOSING}, kNewSynReceived}) {
    states |= std::uint32_t{1} << state;
  }
  return states;
}

Error failed(const std::string& doing, int code) {
  Error error = make_error(ErrorCode::kIo, doing + ": " + nl_geterror(code));
  if (code == -NLE_OBJ_NOTFOUND) error.code = ErrorCode::kNotFound;
  if (code == -NLE_PERM) error.code = ErrorCode::kPermission;
  if (code == -NLE_OPNOTSUPP) {
    error.code = ErrorCode::kUnsupported;
    error.hint = "it takes a kernel with CONFIG_INET_DIAG_DESTROY";
  }
  return error;
}

struct FreeCallbacks {
  void operator()(nl_cb* callbacks) const { nl_cb_put(callbacks); }
};

int keep_socket(nl_msg* message, void* list) {
  const nlmsghdr* const header = nlmsg_hdr(message);
  if (!nlmsg_valid_hdr(header, sizeof(inet_diag_msg))) return NL_SKIP;
  const auto* const found = static_cast<const inet_diag_msg*>(nlmsg_data(header));
  TcpSocket socket;
  socket.v6 = found->idiag_family == AF_INET6;
  std::copy_n(found->id.idiag_src, socket.v6 ? 4 : 1, socket.local.address.begin());
  std::copy_n(found->id.idiag_dst, socket.v6 ? 4 : 1, socket.remote.address.begin());
  socket.local.port = ntohs(found->id.idiag_sport);
  socket.remote.port = ntohs(found->id.idiag_dport);
  socket.interface = found->id.idiag_if;
  socket.inode = found->idiag_inode;
  std::copy_n(found->id.idiag_cookie, 2, socket.cookie.begin());
  static_cast<std::vector<TcpSocket>*>(list)->push_back(socket);
  return NL_OK;
}

}  // namespace

void TcpSockets::CloseSocket::operator()(nl_sock* socket) const { nl_socket_free(socket); }

Result<TcpSockets> TcpSockets::open() {
  TcpSockets sockets(nl_socket_alloc());
  if (!sockets.socket_) return make_error(ErrorCode::kInternal, "open the kernel's socket diagnosis: no memory");
  const int code = nl_connect(sockets.socket_.get(), NETLINK_SOCK_DIAG);
  if (code < 0) return failed("open the kernel's socket diagnosis", code);
  return sockets;
}

Status TcpSockets::list(bool v6, std::vector<TcpSocket>& sockets) {
  inet_diag_req_v2 request{};
  request.sdiag_family = v6 ? AF_INET6 : AF_INET;
  request.sdiag_protocol = IPPROTO_TCP;
  request.idiag_states = connected_states();
  const std::unique_ptr<nl_cb, FreeCallbacks> callbacks(nl_cb_alloc(NL_CB_DEFAULT));
  if (!callbacks) return make_error(ErrorCode::kInternal, "list TCP sockets: no memory");
  nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, keep_socket, &sockets);
  int code = nl_send_simple(socket_.get(), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof request);
  if (code >= 0) code = nl_recvmsgs(socket_.get(), callbacks.get());
  if (code < 0) return failed("list TCP sockets", code);
  return {};
}

Result<std::vector<TcpSocket>> TcpSockets::connected(bool v4, bool v6) {
  std::vector<TcpSocket> sockets;
  if (v4) CACS_TRY(list(false, sockets));
  if (v6) CACS_TRY(list(true, sockets));
  return sockets;
}

Status TcpSockets::reset(const TcpSocket& socket) {
  inet_diag_req_v2 request{};
  request.sdiag_family = socket.v6 ? AF_INET6 : AF_INET;
  request.sdiag_protocol = IPPROTO_TCP;
  std::ranges::copy(socket.local.address, request.id.idiag_src);
  std::ranges::copy(socket.remote.address, request.id.idiag_dst);
  request.id.idiag_sport = htons(socket.local.port);
  request.id.idiag_dport = htons(socket.remote.port);
  request.id.idiag_if = socket.interface;
  std::ranges::copy(socket.cookie, request.id.idiag_cookie);
  int code = nl_send_simple(socket_.get(), SOCK_DESTROY, NLM_F_ACK, &request, sizeof request);
  if (code >= 0) code = nl_wait_for_ack(socket_.get());
  if (code < 0) return failed("reset a TCP connection", code);
  return {};
}

Status TcpSockets::can_reset() {
  // No socket has this name. A kernel that can says that it found none.
  Status tried = reset(TcpSocket{});
  const bool may =
      tried || (tried.error().code != ErrorCode::kUnsupported && tried.error().code != ErrorCode::kPermission);
  return may ? ok_status() : tried;
}

}  // namespace cacs::net
