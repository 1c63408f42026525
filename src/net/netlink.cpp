#include "net/netlink.h"

#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "base/fd.h"
#include "base/io.h"

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/link/vxlan.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

namespace cacs::net {

namespace {

/// IANA's port of VXLAN; the kernel's own default is another.
constexpr std::uint16_t kVxlanPort = 4789;

struct FreeLink {
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
using Link = std::unique_ptr<rtnl_link, FreeLink>;
struct FreeAddress {
  void operator()(nl_addr* address) const { nl_addr_put(address); }
};
using Address = std::unique_ptr<nl_addr, FreeAddress>;

Error failed(const std::string& doing, int code) {
  Error error = make_error(ErrorCode::kIo, doing + ": " + nl_geterror(code));
  if (code == -NLE_EXIST) error.code = ErrorCode::kConflict;
  if (code == -NLE_OBJ_NOTFOUND || code == -NLE_NODEV) error.code = ErrorCode::kNotFound;
  if (code == -NLE_PERM) error.code = ErrorCode::kPermission;
  return error;
}

Status check(const std::string& doing, int code) {
  if (code >= 0) return {};
  return failed(doing, code);
}

Result<Address> parse_address(const std::string& text) {
  nl_addr* parsed = nullptr;
  if (nl_addr_parse(text.c_str(), AF_INET, &parsed) < 0) {
    return make_error(ErrorCode::kInvalidArgument, "'" + text + "' is not an IPv4 address");
  }
  return Address(parsed);
}

struct FreeMessage {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, FreeMessage>;

Link new_link(const std::string& name) {
  Link link(rtnl_link_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  return link;
}

}  // namespace

void Netlink::CloseSocket::operator()(nl_sock* socket) const { nl_socket_free(socket); }

Result<Netlink> Netlink::open() {
  Netlink netlink(nl_socket_alloc());
  if (!netlink.socket_) return make_error(ErrorCode::kInternal, "open rtnetlink: no memory");
  CACS_TRY(check("open rtnetlink", nl_connect(netlink.socket_.get(), NETLINK_ROUTE)));
  return netlink;
}

/// `code`: what making the message came to. Waits for the kernel's answer.
Status Netlink::send(const std::string& doing, nl_msg* message, int code) {
  if (code >= 0) code = nl_send_auto(socket_.get(), message);
  if (code >= 0) code = nl_wait_for_ack(socket_.get());
  return check(doing, code);
}

Result<int> Netlink::index_of(const std::string& name) {
  rtnl_link* found = nullptr;
  const int code = rtnl_link_get_kernel(socket_.get(), 0, name.c_str(), &found);
  if (code < 0) return failed("find link " + name, code);
  const Link link(found);
  return rtnl_link_get_ifindex(found);
}

Status Netlink::add_bridge(const std::string& name, unsigned mtu) {
  const Link link(rtnl_link_bridge_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  rtnl_link_set_mtu(link.get(), mtu);
  return check("make bridge " + name, rtnl_link_add(socket_.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL));
}

Status Netlink::add_veth(const Veth& veth) {
  std::array<unsigned char, ETH_ALEN> hardware{0x02, 0xca};  // administered locally
  if (!veth.address.empty()) {
    CACS_ASSIGN(const Address parsed, parse_address(veth.address));
    std::memcpy(hardware.data() + 2, nl_addr_get_binary_addr(parsed.get()), hardware.size() - 2);
  }
  rtnl_link* const link = rtnl_link_veth_alloc();
  rtnl_link* const other = rtnl_link_veth_get_peer(link);
  rtnl_link_set_name(link, veth.name.c_str());
  rtnl_link_set_mtu(link, veth.mtu);
  if (!veth.address.empty()) {
    const Address own(nl_addr_build(AF_LLC, hardware.data(), hardware.size()));
    rtnl_link_set_addr(link, own.get());
  }
  rtnl_link_set_name(other, veth.peer.c_str());
  rtnl_link_set_mtu(other, veth.mtu);
  rtnl_link_set_ns_fd(other, veth.peer_namespace);
  const int code = rtnl_link_add(socket_.get(), link, NLM_F_CREATE | NLM_F_EXCL);
  rtnl_link_put(other);
  rtnl_link_veth_release(link);
  return check("make the pair " + veth.name + ", " + veth.peer, code);
}

Status Netlink::add_vxlan(const Vxlan& vxlan) {
  CACS_ASSIGN(const Address address, parse_address(vxlan.local));
  const Link link(rtnl_link_vxlan_alloc());
  rtnl_link_set_name(link.get(), vxlan.name.c_str());
  rtnl_link_set_mtu(link.get(), vxlan.mtu);
  rtnl_link_set_ns_fd(link.get(), vxlan.to_namespace);
  const std::string doing = "make VXLAN " + vxlan.name;
  CACS_TRY(check(doing, rtnl_link_vxlan_set_id(link.get(), vxlan.id)));
  CACS_TRY(check(doing, rtnl_link_vxlan_set_local(link.get(), address.get())));
  CACS_TRY(check(doing, rtnl_link_vxlan_set_port(link.get(), kVxlanPort)));
  CACS_TRY(check(doing, rtnl_link_vxlan_enable_learning(link.get())));
  return check(doing, rtnl_link_add(socket_.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL));
}

/// By hand: libnl's neighbours have an address of one family for what they are and where they are.
Status Netlink::add_flood(const std::string& vxlan, const std::string& node) {
  CACS_ASSIGN(const int index, index_of(vxlan));
  CACS_ASSIGN(const Address destination, parse_address(node));
  ndmsg entry{};
  entry.ndm_family = AF_BRIDGE;
  entry.ndm_ifindex = index;
  entry.ndm_state = NUD_NOARP | NUD_PERMANENT;
  entry.ndm_flags = NTF_SELF;
  const std::array<unsigned char, ETH_ALEN> everyone{};
  const Message message(nlmsg_alloc_simple(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_APPEND));
  int code = nlmsg_append(message.get(), &entry, sizeof entry, NLMSG_ALIGNTO);
  if (code >= 0) code = nla_put(message.get(), NDA_LLADDR, everyone.size(), everyone.data());
  if (code >= 0) code = nla_put_addr(message.get(), NDA_DST, destination.get());
  return send("let " + vxlan + " reach " + node, message.get(), code);
}

Status Netlink::add_address(const std::string& name, const std::string& address, int prefix) {
  CACS_ASSIGN(const int index, index_of(name));
  CACS_ASSIGN(const Address parsed, parse_address(address));
  nl_addr_set_prefixlen(parsed.get(), prefix);
  rtnl_addr* const entry = rtnl_addr_alloc();
  rtnl_addr_set_ifindex(entry, index);
  int code = rtnl_addr_set_local(entry, parsed.get());
  if (code >= 0) code = rtnl_addr_add(socket_.get(), entry, 0);
  rtnl_addr_put(entry);
  return check("give " + name + " the address " + address, code);
}

Status Netlink::add_default_route(const std::string& gateway) {
  CACS_ASSIGN(const Address via, parse_address(gateway));
  CACS_ASSIGN(const Address all, parse_address("0.0.0.0/0"));
  rtnl_route* const route = rtnl_route_alloc();
  rtnl_nexthop* const hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_gateway(hop, via.get());
  rtnl_route_add_nexthop(route, hop);  // which is the route's from here on
  int code = rtnl_route_set_dst(route, all.get());
  if (code >= 0) code = rtnl_route_add(socket_.get(), route, NLM_F_CREATE | NLM_F_REPLACE);
  rtnl_route_put(route);
  return check("make the route over " + gateway, code);
}

Status Netlink::set_flags(const std::string& name, unsigned set, unsigned unset) {
  CACS_ASSIGN(const int index, index_of(name));
  const Link link = new_link(name);
  rtnl_link_set_ifindex(link.get(), index);
  const Link change(rtnl_link_alloc());
  rtnl_link_set_flags(change.get(), set);
  rtnl_link_unset_flags(change.get(), unset);
  return check("set up or down " + name, rtnl_link_change(socket_.get(), link.get(), change.get(), 0));
}

Status Netlink::set_up(const std::string& name) { return set_flags(name, IFF_UP, 0); }
Status Netlink::set_down(const std::string& name) { return set_flags(name, 0, IFF_UP); }

Status Netlink::enslave(const std::string& port, const std::string& bridge) {
  CACS_ASSIGN(const int port_index, index_of(port));
  CACS_ASSIGN(const int bridge_index, index_of(bridge));
  return check("make " + port + " a port of " + bridge,
               rtnl_link_enslave_ifindex(socket_.get(), bridge_index, port_index));
}

/// By hand: libnl changes links by RTM_NEWLINK, where the kernel passes over what is said of a bridge's port.
Status Netlink::set_port_state(const std::string& port, PortState state) {
  CACS_ASSIGN(const int index, index_of(port));
  ifinfomsg link{};
  link.ifi_family = AF_BRIDGE;
  link.ifi_index = index;
  const Message message(nlmsg_alloc_simple(RTM_SETLINK, 0));
  int code = nlmsg_append(message.get(), &link, sizeof link, NLMSG_ALIGNTO);
  nlattr* const port_info = nla_nest_start(message.get(), IFLA_PROTINFO | NLA_F_NESTED);
  if (port_info == nullptr) code = -NLE_NOMEM;
  const int kernel_state = state == PortState::kOpen ? BR_STATE_FORWARDING : BR_STATE_DISABLED;
  if (code >= 0) code = nla_put_u8(message.get(), IFLA_BRPORT_STATE, static_cast<std::uint8_t>(kernel_state));
  if (code >= 0) nla_nest_end(message.get(), port_info);
  return send("close or open " + port, message.get(), code);
}

Result<PortState> Netlink::port_state(const std::string& port) {
  CACS_ASSIGN(const int index, index_of(port));
  // Of bridge ports the kernel tells only when it is asked for all of them.
  nl_cache* cache = nullptr;
  const int code = rtnl_link_alloc_cache(socket_.get(), AF_BRIDGE, &cache);
  if (code < 0) return failed("look at " + port, code);
  rtnl_link* const found = rtnl_link_get(cache, index);
  const int state = found == nullptr ? -NLE_OBJ_NOTFOUND : rtnl_link_bridge_get_port_state(found);
  if (found != nullptr) rtnl_link_put(found);
  nl_cache_free(cache);
  if (state < 0) return failed("look at " + port, state);
  return state == BR_STATE_FORWARDING ? PortState::kOpen : PortState::kClosed;
}

Status Netlink::remove(const std::string& name) {
  CACS_ASSIGN(const int index, index_of(name));
  const Link link = new_link(name);
  rtnl_link_set_ifindex(link.get(), index);
  return check("remove " + name, rtnl_link_delete(socket_.get(), link.get()));
}

Result<UniqueFd> make_network(const std::function<Status(int fd, int before)>& fill) {
  UniqueFd made;
  Status done;
  // A thread of its own: a namespace is entered for ever, and only by the thread that makes it.
  std::thread([&] {
    const auto before = open_file("/proc/thread-self/ns/net", O_RDONLY);
    if (!before) {
      done = before.error();
      return;
    }
    if (::unshare(CLONE_NEWNET) != 0) {
      done = errno_error(errno, "make a network namespace");
      return;
    }
    auto opened = open_file("/proc/thread-self/ns/net", O_RDONLY);
    done = opened ? fill(opened->get(), before->get()) : Status(opened.error());
    if (done) made = *std::move(opened);
  }).join();
  if (!done) return done.error();
  return made;
}

Status in_network(int fd, const std::function<Status()>& work) {
  CACS_ASSIGN(const UniqueFd before, open_file("/proc/thread-self/ns/net", O_RDONLY));
  if (::setns(fd, CLONE_NEWNET) != 0) return errno_error(errno, "enter a network namespace");
  Status done = work();
  if (::setns(before.get(), CLONE_NEWNET) != 0) return errno_error(errno, "return to the network namespace before");
  return done;
}

}  // namespace cacs::net
