#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

struct nl_msg;
struct nl_sock;
struct rtnl_link;

namespace cacs::pod {

/// Every link of a pod's way: restored connections fit whatever is below it, an encapsulation included.
inline constexpr unsigned kPodMtu = 1400;

/// What a bridge does with the frames of one of its ports.
enum class PortState { kClosed, kOpen };

/// Links of one network namespace, through rtnetlink (libnl): the one that the calling thread is in when it is opened.
/// One thread at a time. Errors name the link; kNotFound: there is none, kConflict: the name is taken.
class Netlink {
 public:
  static Result<Netlink> open();

  /// Without spanning tree, so that a port forwards as soon as it is opened.
  Status add_bridge(const std::string& name);
  /// A pair: `name` here, `peer` in the network namespace that `peer_namespace` is open on. With `address` (IPv4) the
  /// hardware address here follows from it: nobody's memory of who has it is ever wrong.
  Status add_veth(const std::string& name, const std::string& peer, int peer_namespace,
                  const std::string& address = {});
  /// Encapsulated in UDP between `local` and other nodes (add_flood), made here and moved to `to_namespace`: what is
  /// encapsulated goes on using this namespace.
  Status add_vxlan(const std::string& name, std::uint32_t id, const std::string& local, int to_namespace);
  /// Frames of a VXLAN whose receiver is not known yet go to `node` too.
  Status add_flood(const std::string& vxlan, const std::string& node);
  Status add_address(const std::string& name, const std::string& address, int prefix);
  Status set_up(const std::string& name);
  Status enslave(const std::string& port, const std::string& bridge);
  Status set_port_state(const std::string& port, PortState state);
  Result<PortState> port_state(const std::string& port);
  Status remove(const std::string& name);

 private:
  struct CloseSocket {
    void operator()(nl_sock* socket) const;
  };
  explicit Netlink(nl_sock* socket) : socket_(socket) {}
  Status send(const std::string& doing, nl_msg* message, int code);
  Result<int> index_of(const std::string& name);

  std::unique_ptr<nl_sock, CloseSocket> socket_;
};

/// Runs `work` with the calling thread in the network namespace that `fd` is open on, and brings it back.
Status in_network(int fd, const std::function<Status()>& work);

}  // namespace cacs::pod
