#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/process.h"
#include "base/result.h"
#include "pod/spec.h"
#include "pod/switch.h"

namespace cacs::pod {

/// The pod's network: a network namespace that belongs to the shim and the pod, and is gone when both are.
///
/// One pod by itself needs no bridge: eth0 is one end of a veth whose other end stays in the same namespace, so that
/// the address outlives the shim. Several are connected by their node's switch (switch.h), which the shims hold. Where
/// the ASR allows egress, slirp4netns brings traffic to the outside through a tap device without changing anything of
/// the machine (no forwarding, no rules, nothing to leak).
class PodNetwork {
 public:
  /// Makes namespace, loopback, eth0 with the pod's address, MTU 1400; with a switch (its namespace; else invalid) a
  /// port of it, closed. Returns to the namespace it came from. One thread only (it changes the thread's namespace
  /// meanwhile).
  static Result<PodNetwork> create(const PodSpec& spec, UniqueFd switch_space);
  /// The namespace of a running pod, for a shim that adopts it.
  static Result<PodNetwork> adopt(const PodSpec& spec, pid_t init, UniqueFd switch_space);

  /// Between the pod and the other ones, both ways; a pod by itself has nothing to close. Idempotent.
  Status close();
  Status open();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint64_t inode() const { return inode_; }

  /// Starts slirp4netns; it ends with this object. A failure is not fatal to the pod: it has no outside then.
  Status start_egress();
  [[nodiscard]] bool egress_running() const { return egress_.has_value(); }
  /// Readable when slirp4netns has ended; -1 when there is none.
  [[nodiscard]] int egress_pidfd() const { return egress_ ? egress_->pidfd() : -1; }
  [[nodiscard]] pid_t egress_pid() const { return egress_ ? egress_->pid() : -1; }
  /// Reaps it and starts another, unless it ended as soon as it had begun.
  void on_egress_end();

 private:
  UniqueFd fd_;
  std::uint64_t inode_ = 0;
  std::optional<SwitchPort> port_;
  std::optional<Child> egress_;
  std::chrono::steady_clock::time_point egress_since_;
};

/// A connection of a pod to somewhere that is not in the pod's own network.
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

/// Established (or half-open) TCP connections whose other end is outside the pod, from /proc/PID/net/tcp and tcp6. Pure
/// parser of the kernel's table; `own_address` and loopback are inside.
std::vector<OutsideConnection> parse_outside_connections(const std::string& table, bool v6,
                                                         const std::string& own_address, int prefix);
Result<std::vector<OutsideConnection>> outside_connections(pid_t init, const PodSpec& spec);

}  // namespace cacs::pod
