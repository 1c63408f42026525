#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/result.h"

namespace cacs::net {

/// Four words in network order, of which IPv4 has the first.
struct TcpEndpoint {
  std::array<std::uint32_t, 4> words{};
  std::uint16_t port = 0;
};

struct TcpConnection {
  TcpEndpoint local;
  TcpEndpoint remote;
  std::uint64_t inode = 0;  ///< of its socket; 0: it has none any more
};

/// TCP connections of one family in the calling thread's network namespace, half-open ones too; not what listens, is
/// closed or waits after its end. One walk over the kernel's table, where /proc/net/tcp takes two slower ones.
/// kNotFound, kUnsupported: the kernel cannot say (no tcp_diag).
Result<std::vector<TcpConnection>> tcp_connections(bool v6);

}  // namespace cacs::net
