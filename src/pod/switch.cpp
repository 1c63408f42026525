#include "pod/switch.h"

#include "net/netlink.h"

namespace cacs::pod {

using net::in_network;
using net::Netlink;
using net::PortState;

namespace {

constexpr const char* kBridge = "pods";
constexpr const char* kVxlan = "nodes";
constexpr const char* kLink = "eth0";

Status fill_switch() {
  CACS_ASSIGN(Netlink links, Netlink::open());
  CACS_TRY(links.set_up("lo"));
  CACS_TRY(links.add_bridge(kBridge, kPodMtu));
  return links.set_up(kBridge);
}

Status add_port(const std::string& name) {
  CACS_ASSIGN(Netlink links, Netlink::open());
  CACS_TRY(links.enslave(name, kBridge));
  return links.set_up(name);
}

/// Made in the node's namespace, which its packets go through.
Status connect_nodes(int space, const Underlay& underlay) {
  CACS_ASSIGN(Netlink here, Netlink::open());
  CACS_TRY(here.add_vxlan(
      {.name = kVxlan, .id = underlay.network_id, .local = underlay.local, .to_namespace = space, .mtu = kPodMtu}));
  return in_network(space, [&]() -> Status {
    CACS_TRY(add_port(kVxlan));
    CACS_ASSIGN(Netlink links, Netlink::open());
    for (const auto& peer : underlay.peers) CACS_TRY(links.add_flood(kVxlan, peer));
    return {};
  });
}

}  // namespace

Result<UniqueFd> make_switch(const std::optional<Underlay>& underlay) {
  auto made = net::make_network([&](int space, int node) -> Status {
    CACS_TRY(fill_switch());
    return underlay ? in_network(node, [&] { return connect_nodes(space, *underlay); }) : ok_status();
  });
  if (!made) return made.error().with_context("make the network of an application");
  return made;
}

SwitchPort::SwitchPort(UniqueFd space, std::string_view pod) : space_(std::move(space)), name_(pod) {}

Status SwitchPort::connect(const std::string& address, int prefix) {
  CACS_TRY(in_network(space_.get(), [&]() -> Status {
    CACS_ASSIGN(Netlink links, Netlink::open());
    // Of a pod that is gone the kernel takes its end away when it gets round to it.
    const Status removed = links.remove(name_);
    return removed || removed.error().code == ErrorCode::kNotFound ? ok_status() : removed;
  }));
  CACS_ASSIGN(Netlink links, Netlink::open());
  CACS_TRY(links.add_veth(
      {.name = kLink, .peer = name_, .peer_namespace = space_.get(), .mtu = kPodMtu, .address = address}));
  CACS_TRY(in_network(space_.get(), [&] { return add_port(name_); }));
  CACS_TRY(links.set_up(kLink));
  // A bridge opens a port by itself when it is connected at both ends: so it is closed after that, and has its address
  // after that.
  CACS_TRY(close());
  return links.add_address(kLink, address, prefix);
}

Status SwitchPort::close() {
  return in_network(space_.get(), [&]() -> Status {
    CACS_ASSIGN(Netlink links, Netlink::open());
    return links.set_port_state(name_, PortState::kClosed);
  });
}

Status SwitchPort::open() {
  return in_network(space_.get(), [&]() -> Status {
    CACS_ASSIGN(Netlink links, Netlink::open());
    return links.set_port_state(name_, PortState::kOpen);
  });
}

Result<bool> SwitchPort::is_open() {
  bool open = false;
  CACS_TRY(in_network(space_.get(), [&]() -> Status {
    CACS_ASSIGN(Netlink links, Netlink::open());
    CACS_ASSIGN(const PortState state, links.port_state(name_));
    open = state == PortState::kOpen;
    return {};
  }));
  return open;
}

}  // namespace cacs::pod
