#pragma once

#include <string>
#include <vector>

#include "base/held_fd.h"
#include "cloud/local/local_network.h"
#include "e2e/service.h"
#include "net/netlink.h"

namespace cacs::e2e {

/// A service with three nodes on this machine, whose cables can be pulled out.
class NodesFixture : public ServiceTest {
 protected:
  void make_place() override { server_arguments_ = {"--local-nodes", "3"}; }

  std::filesystem::path node(int index) { return dir_ / "state/nodes" / cloud::LocalNetwork::node_name(index); }

  /// The cable of a node, at its router: as somebody who pulls it out, and puts it back.
  void set_cable(int index, bool up) {
    const auto agent = agent_of(node(index));
    ASSERT_TRUE(agent);
    const auto router = borrow_fd(*agent, cloud::LocalNetwork::kRouterFd);
    ASSERT_TRUE(router.ok()) << router.error().to_string();
    const Status set = net::in_network(router->get(), [&]() -> Status {
      CACS_ASSIGN(net::Netlink links, net::Netlink::open());
      const std::string port = cloud::LocalNetwork::node_name(index);
      return up ? links.set_up(port) : links.set_down(port);
    });
    ASSERT_TRUE(set.ok()) << set.error().to_string();
  }

  std::string story(const std::string& id) { return output(id) + output(id, "stderr"); }

  /// Where each pod of it is.
  std::vector<std::string> places(const std::string& id) {
    std::vector<std::string> places;
    const JsonObject view = application(id);
    if (const JsonArray* pods = json_find_array(view, "pods")) {
      for (const auto& pod : *pods) places.push_back(json_string_or(pod.as_object(), "node", ""));
    }
    return places;
  }

  /// A stream between two pods on two nodes, each byte of which is checked.
  JsonObject stream(int mib) {
    const std::string program = ServiceTest::program("stream");
    const std::string size = std::to_string(mib);
    const std::string command = "/.cacs/cacs-rsh pod-1 " + program + " serve 7001 " + size + " & " + program +
                                " connect pod-1 7001 " + size + " && wait $!";
    return {{"command", JsonArray{"sh", "-c", command}}, {"nodes", JsonObject{{"count", 2}}}};
  }
  void expect_streamed(const std::string& id) {
    EXPECT_NE(output(id).find("connect: result ok"), std::string::npos) << story(id);
    EXPECT_NE(output(id).find("serve: result ok"), std::string::npos) << story(id);
  }
};

}  // namespace cacs::e2e
