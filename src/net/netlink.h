#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

struct nl_msg;
struct nl_sock;
struct rtnl_link;

namespace cacs::net {

/// What a bridge does with the frames of one of its ports.
enum class PortState { kClosed, kOpen };

/// Two ends of a cable.
struct Veth {
  std::string name;         ///< of the end in the namespace of the calling thread
  std::string peer;         ///< of the other end
  int peer_namespace = -1;  ///< open on the network namespace that the other end is in
  unsigned mtu = 1500;
  std::string address;  ///< IPv4; where set the hardware address here follows from it: nobody's memory of it is wrong
};

/// Encapsulated in UDP between `local` and other nodes (Netlink::add_flood).
struct Vxlan {
  std::string name;
  std::uint32_t id = 0;
  std::string local;      ///< this node's address
  int to_namespace = -1;  ///< it is made here and moved there: what is encapsulated goes on using this namespace
  unsigned mtu = 1500;
};

/// Links of one network namespace, through rtnetlink (libnl): the one that the calling thread is in when it is opened.
/// One thread at a time. Errors name the link; kNotFound: there is none, kConflict: the name is taken.
class Netlink {
 public:
  static Result<Netlink> open();

  /// Without spanning tree, so that a port forwards as soon as it is opened.
  Status add_bridge(const std::string& name, unsigned mtu);
  Status add_veth(const Veth& veth);
  Status add_vxlan(const Vxlan& vxlan);
  /// Frames of a VXLAN whose receiver is not known yet go to `node` too.
  Status add_flood(const std::string& vxlan, const std::string& node);
  Status add_address(const std::string& name, const std::string& address, int prefix);
  /// Where all else goes (IPv4).
  Status add_default_route(const std::string& gateway);
  Status set_up(const std::string& name);
  Status set_down(const std::string& name);
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
  Status set_flags(const std::string& name, unsigned set, unsigned unset);

  std::unique_ptr<nl_sock, CloseSocket> socket_;
};

/// A new network namespace. `fill` is run in it, with a descriptor of it and one of the calling thread's namespace.
Result<UniqueFd> make_network(const std::function<Status(int fd, int before)>& fill);

/// Runs `work` with the calling thread in the network namespace that `fd` is open on, and brings it back.
Status in_network(int fd, const std::function<Status()>& work);

}  // namespace cacs::net
