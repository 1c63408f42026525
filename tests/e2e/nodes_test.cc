// A cluster on one machine (`cacs server --local-nodes`): applications over several nodes, saved and brought back;
// nodes that are cut off, agents and servers that are killed.

#include "e2e/nodes.h"

#include <signal.h>

#include "base/io.h"
#include "e2e/melt.h"

namespace cacs::e2e {
namespace {

class NodesTest : public NodesFixture {};

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
  const auto reference = run_melt(dir_ / "in.melt", kBlocks);
  ASSERT_TRUE(reference.ok()) << reference.error().to_string();
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
  EXPECT_EQ(thermo(output(id)), thermo(*reference));
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
