#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"

struct nl_sock;

namespace cacs::net {

/// One end of a TCP connection: the address as the kernel has it (network byte order; IPv4 in the first word), and the
/// port as a number.
struct TcpEnd {
  std::array<std::uint32_t, 4> address{};
  std::uint16_t port = 0;

  friend bool operator==(const TcpEnd&, const TcpEnd&) = default;
};

/// A connected TCP socket as the kernel's socket diagnosis names it.
struct TcpSocket {
  bool v6 = false;  ///< of the socket; its peer may have an IPv4 address nevertheless, mapped
  TcpEnd local;
  TcpEnd remote;
  std::uint32_t interface = 0;            ///< that it is bound to; 0: none
  std::uint32_t inode = 0;                ///< who holds it is found by it; 0: nobody does
  std::array<std::uint32_t, 2> cookie{};  ///< the kernel's own name of it, never given to another
};

/// The TCP sockets of one network namespace, through the kernel's socket diagnosis (sock_diag over netlink): the one
/// that the calling thread is in when it is opened. One thread at a time.
class TcpSockets {
 public:
  static Result<TcpSockets> open();

  /// Those that have another end: in any state but LISTEN, TIME_WAIT and CLOSE. Accepted or not. Of one family or of
  /// both: each takes the kernel a walk over the machine's whole table (/proc/net/tcp takes it four).
  Result<std::vector<TcpSocket>> connected(bool v4 = true, bool v6 = true);
  /// Ends it at once: whoever reads or writes it, now or later, gets ECONNABORTED (data that had come can be read
  /// first), and the other end a reset, if there is one. kNotFound: it is gone; kUnsupported: see can_reset.
  Status reset(const TcpSocket& socket);
  /// Whether this kernel resets sockets for others: CONFIG_INET_DIAG_DESTROY. kUnsupported where it does not.
  Status can_reset();

 private:
  struct CloseSocket {
    void operator()(nl_sock* socket) const;
  };
  explicit TcpSockets(nl_sock* socket) : socket_(socket) {}
  Status list(bool v6, std::vector<TcpSocket>& sockets);

  std::unique_ptr<nl_sock, CloseSocket> socket_;
};

}  // namespace cacs::net
