#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/tcp_sockets.h"
#include "pod/spec.h"

/// Connections of a pod to somewhere that is not in its application's own network. Of TCP alone: there is nothing
/// between two ends that only send datagrams, so sockets of UDP are left as they are.
namespace cacs::pod {

/// Whether a connection of these two ends leads outside. Inside are: loopback, the network of the application's pods
/// (`own_address`, `prefix`), either of them mapped into IPv6, and the address of the near end itself: a program that
/// is connected with one of its own pod, whatever the address is. Pure.
bool is_outside(bool v6, const net::TcpEnd& local, const net::TcpEnd& remote, const std::string& own_address,
                int prefix);

struct OutsideConnection {
  std::string protocol;  ///< "tcp", "tcp6"
  std::string local;
  std::string remote;
  std::uint64_t inode = 0;  ///< of the socket: who holds it is found by it
};

/// Whether a network namespace has TCP sockets of a family that may be connections, from /proc/PID/net/sockstat and
/// sockstat6 (empty: the kernel has no IPv6): to list them takes the kernel a walk over the machine's whole table. True
/// for what cannot be understood. Pure.
bool may_have_connections(const std::string& sockstat, const std::string& sockstat6, bool v6);

/// Established or half-open ones among a table of the kernel's (/proc/PID/net/tcp or tcp6). Pure.
std::vector<OutsideConnection> parse_outside_connections(const std::string& table, bool v6,
                                                         const std::string& own_address, int prefix);
/// Those of a running pod. Any thread; it enters the pod's network namespace meanwhile.
Result<std::vector<OutsideConnection>> outside_connections(pid_t init, const PodSpec& spec);

/// Whether connections in the network namespace that `network` is open on can be reset; kUnsupported where the kernel
/// cannot. The calling thread enters the namespace meanwhile.
Status can_reset_connections(int network);
/// Resets all that lead outside, and holds that none is left; how many there were. For a pod whose processes do not
/// run. The calling thread enters the namespace meanwhile.
Result<std::size_t> reset_outside_connections(int network, const PodSpec& spec);

}  // namespace cacs::pod
