// A cluster on one machine (`cacs server --local-nodes`): applications over several nodes, saved and brought back;
// nodes that are cut off, agents and servers that are killed.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/held_fd.h"
#include "base/io.h"
#include "cloud/local/local_network.h"
#include "e2e/melt.h"
#include "e2e/service.h"
#include "net/netlink.h"

namespace cacs::e2e {
namespace {

class NodesTest : public ServiceTest {
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

TEST_F(NodesTest, AStreamBetweenNodesIsSavedTwiceAndComesBack) {
  const std::string id = submit(stream(120));
  ASSERT_TRUE(wait_output(id, "connect: 8 MiB\n")) << story(id);
  EXPECT_EQ(places(id), (std::vector<std::string>{"local-0", "local-1"}));
  checkpoint(id);
  ASSERT_TRUE(wait_output(id, "connect: 24 MiB\n")) << story(id);
  const std::string newest = checkpoint(id);
  const JsonObject taken = must("GET", "/coordinators/" + id + "/checkpoints/" + newest);
  EXPECT_EQ(json_find_array(taken, "pods")->size(), 2U) << boost::json::serialize(taken);
  EXPECT_GE(kill_program(id, "cacs-init"), 2);
  wait_state(id, "COMPLETED", std::chrono::seconds(180));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 2);
  expect_streamed(id);
}

TEST_F(NodesTest, LammpsOverFourPodsOnTwoNodes) {
  constexpr int kBlocks = 60;
  ASSERT_TRUE(write_file_durably(dir_ / "in.melt", melt_in_blocks(kBlocks, "0")).ok());
  const auto reference =
      run_command({.argv = {"env", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMP_NUM_THREADS=1",
                            "mpirun", "--oversubscribe", "--mca", "btl", "tcp,self", "-np", "4", "lmp", "-in",
                            (dir_ / "in.melt").string(), "-log", "none"},
                   .cwd = "/tmp"},
                  std::chrono::seconds(120));
  ASSERT_TRUE(reference.ok() && reference->status.success()) << (reference ? reference->err : "");
  const std::string id =
      submit({{"command", JsonArray{"mpirun", "-np", "4", "lmp", "-in", "/job/in.melt", "-log", "none"}},
              {"env", JsonObject{{"OMP_NUM_THREADS", "1"}}},
              {"files", JsonArray{JsonObject{{"path", "/job/in.melt"}, {"content", melt_in_blocks(kBlocks, "0.5")}}}},
              {"workdir", "/job"},
              {"pods", 4},
              {"nodes", JsonObject{{"count", 2}}}});
  ASSERT_TRUE(wait_output(id, "\n     100 ")) << story(id);
  EXPECT_EQ(places(id), (std::vector<std::string>{"local-0", "local-0", "local-1", "local-1"}));
  checkpoint(id);
  ASSERT_TRUE(wait_output(id, "\n     300 ")) << story(id);
  checkpoint(id);
  EXPECT_GE(kill_program(id, "cacs-init"), 4);
  wait_state(id, "COMPLETED", std::chrono::seconds(180));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 2);
  EXPECT_EQ(thermo(output(id)), thermo(reference->out));
  EXPECT_GT(thermo(output(id)).size(), 500U);
}

TEST_F(NodesTest, ANodeThatIsCutOffForAWhileLosesNothing) {
  const std::string id = submit(stream(60));
  ASSERT_TRUE(wait_output(id, "connect: 8 MiB\n")) << story(id);
  set_cable(1, false);
  // Neither half can go on, and none may be saved without the other.
  const JsonObject operation = must("POST", "/coordinators/" + id + "/checkpoints");
  EXPECT_TRUE(wait_until([&] {
    const auto all = checkpoints(id);
    return !all.empty() && json_find_object(all.back(), "problem") != nullptr;
  })) << "that a node does not answer is not noticed";
  EXPECT_EQ(state_of(id), "RUNNING");
  set_cable(1, true);
  JsonObject ended;
  EXPECT_TRUE(wait_until([&] {
    ended = must("GET", "/operations/" + json_string_or(operation, "id", ""));
    return json_string_or(ended, "state", "") != "RUNNING";
  }));
  EXPECT_EQ(json_string_or(ended, "state", ""), "FAILED") << boost::json::serialize(ended);
  checkpoint(id);
  wait_state(id, "COMPLETED", std::chrono::seconds(120));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1) << "nothing had to be brought back";
  expect_streamed(id);
}

TEST_F(NodesTest, ServerAndAgentsMayDieAndTheNetworkIsTheSame) {
  const std::string id = submit(stream(200));
  ASSERT_TRUE(wait_output(id, "connect: 8 MiB\n")) << story(id);
  kill_server();
  for (const int index : {0, 1}) ::kill(agent_of(node(index))->pid, SIGKILL);
  start_server();
  checkpoint(id);
  wait_state(id, "COMPLETED", std::chrono::seconds(180));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1);
  expect_streamed(id);
}

TEST_F(NodesTest, ApplicationsGoWhereThereAreTheFewest) {
  std::vector<std::string> used;
  for (int i = 0; i < 3; ++i) {
    const std::string id = submit({{"command", JsonArray{"sleep", "1000"}}});
    wait_state(id, "RUNNING");
    used.push_back(places(id).at(0));
    checkpoint(id);
  }
  EXPECT_EQ(used, (std::vector<std::string>{"local-0", "local-1", "local-2"}));
}

TEST_F(NodesTest, MoreNodesThanThereAreIsToldWhileItWaits) {
  const std::string id = submit({{"command", JsonArray{"true"}}, {"nodes", JsonObject{{"count", 4}}}});
  EXPECT_TRUE(wait_until([&] {
    return json_string_or(application(id), "reason", "").find("this machine gives 3") != std::string::npos;
  })) << boost::json::serialize(application(id));
  EXPECT_EQ(state_of(id), "QUEUED");
}

}  // namespace
}  // namespace cacs::e2e
