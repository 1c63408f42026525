#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

/// What connects the pods of one application in one incarnation: on each node a network namespace with a bridge in it
/// (the switch), where every pod has a port, and between the nodes a VXLAN of its own. Nothing of it is in the
/// machine's own network namespace but the sockets of the VXLAN, and all of it is gone when the last process that holds
/// the namespace is.
namespace cacs::pod {

/// Of every link on a pod's way: restored connections fit whatever is below it, an encapsulation included.
inline constexpr unsigned kPodMtu = 1400;

/// Over what the switches of several nodes are connected.
struct Underlay {
  std::uint32_t network_id = 0;    ///< 1 to 2^24 - 1, the application's and the incarnation's alone
  std::string local;               ///< this node's address in the network of the nodes
  std::vector<std::string> peers;  ///< of the other nodes that have pods of the application
};

/// Makes a switch; the descriptor is its namespace. Any thread.
Result<UniqueFd> make_switch(const std::optional<Underlay>& underlay = {});

/// A pod's port of its switch.
class SwitchPort {
 public:
  /// `space` is the switch's namespace, which the port keeps; `pod` a pod's name ("pod-3").
  SwitchPort(UniqueFd space, std::string_view pod);

  /// Makes eth0 with `address` (IPv4) in the namespace that the calling thread is in, connected to the port, which is
  /// closed. A port that is left of an earlier try is replaced.
  Status connect(const std::string& address, int prefix);
  /// No frame passes any more, either way; nothing that the pod can see changes. Idempotent.
  Status close();
  Status open();
  Result<bool> is_open();

  [[nodiscard]] int space() const { return space_.get(); }

 private:
  UniqueFd space_;
  std::string name_;
};

}  // namespace cacs::pod
