#include "cloud/local/local_network.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "base/held_fd.h"
#include "base/io.h"
#include "net/netlink.h"

namespace cacs::cloud {
namespace {

constexpr unsigned kMtu = 1500;  // room for what pods' frames are wrapped in between nodes
constexpr int kPrefix = 24;

std::string gateway(int index) { return fmt::format("10.78.{}.1", index); }

/// Those that may hold a node's namespaces: its agent, and the shims of its pods.
std::vector<std::filesystem::path> holders(const std::filesystem::path& node) {
  std::vector<std::filesystem::path> files = {node / "agent.pid"};
  std::error_code none;  // no pods yet
  for (const auto& pod : std::filesystem::directory_iterator(node / "pods", none)) {
    files.push_back(pod.path() / "shim.json");
  }
  return files;
}

Status fill_router() {
  CACS_ASSIGN(net::Netlink links, net::Netlink::open());
  CACS_TRY(links.set_up("lo"));
  // Of the namespace of the thread that opens it.
  CACS_ASSIGN(const UniqueFd forward, open_file("/proc/sys/net/ipv4/ip_forward", O_WRONLY));
  return write_full(forward.get(), std::string_view("1"));
}

Status fill_node() {
  CACS_ASSIGN(net::Netlink links, net::Netlink::open());
  return links.set_up("lo");
}

/// The node's cable, seen from the router.
Status add_port(int index, int node) {
  CACS_ASSIGN(net::Netlink links, net::Netlink::open());
  const std::string port = LocalNetwork::node_name(index);
  // Of a node that is gone the kernel takes its end away when it gets round to it.
  if (Status removed = links.remove(port); !removed && removed.error().code != ErrorCode::kNotFound) {
    return removed;
  }
  CACS_TRY(
      links.add_veth({.name = port, .peer = "eth0", .peer_namespace = node, .mtu = kMtu, .address = gateway(index)}));
  CACS_TRY(links.add_address(port, gateway(index), kPrefix));
  return links.set_up(port);
}

Status configure_node(int index) {
  CACS_ASSIGN(net::Netlink links, net::Netlink::open());
  CACS_TRY(links.add_address("eth0", LocalNetwork::address(index), kPrefix));
  CACS_TRY(links.set_up("eth0"));
  return links.add_default_route(gateway(index));
}

}  // namespace

std::string LocalNetwork::node_name(int index) { return fmt::format("local-{}", index); }
std::string LocalNetwork::address(int index) { return fmt::format("10.78.{}.2", index); }

Result<std::unique_ptr<LocalNetwork>> LocalNetwork::open(const std::filesystem::path& nodes, int count) {
  std::unique_ptr<LocalNetwork> network(new LocalNetwork);
  network->nodes_.resize(static_cast<std::size_t>(count));
  for (int index = 0; index < kMaxNodes; ++index) network->find(nodes, index);
  if (!network->router_.valid()) CACS_TRY(network->make_router().context("make the router of the nodes"));
  for (int index = 0; index < count; ++index) {
    if (network->nodes_[static_cast<std::size_t>(index)].valid()) continue;
    CACS_TRY(network->make_node(index).context("make the network of " + node_name(index)));
  }
  return network;
}

/// Also of nodes that this server does not give: the router is the same for all.
void LocalNetwork::find(const std::filesystem::path& nodes, int index) {
  for (const auto& file : holders(nodes / node_name(index))) {
    const auto text = read_text_file(file, 65536);
    const auto object = text ? parse_json_object(*text, file.string()) : Result<JsonObject>(text.error());
    const auto holder = object ? identity_from_json(*object) : Result<ProcessIdentity>(object.error());
    if (!holder) continue;  // none there, or being written
    auto router = borrow_fd(*holder, kRouterFd);
    auto node = borrow_fd(*holder, kNodeFd);
    if (!router || !node) continue;
    if (!router_.valid()) router_ = *std::move(router);
    if (static_cast<std::size_t>(index) < nodes_.size()) nodes_[static_cast<std::size_t>(index)] = *std::move(node);
    return;
  }
}

Status LocalNetwork::make_router() {
  CACS_ASSIGN(router_, net::make_network([](int, int) { return fill_router(); }));
  return {};
}

Status LocalNetwork::make_node(int index) {
  CACS_ASSIGN(UniqueFd node, net::make_network([](int, int) { return fill_node(); }));
  CACS_TRY(net::in_network(router_.get(), [&] { return add_port(index, node.get()); }));
  CACS_TRY(net::in_network(node.get(), [&] { return configure_node(index); }));
  nodes_[static_cast<std::size_t>(index)] = std::move(node);
  return {};
}

}  // namespace cacs::cloud
