// Restarts on other nodes than those that an application was saved on: its pods' parts of the checkpoint are taken over
// from the nodes that have them, or from the remote level of one that does not answer.

#include "base/io.h"
#include "e2e/melt.h"
#include "e2e/nodes.h"

namespace cacs::e2e {
namespace {

class MovingTest : public NodesFixture {
 protected:
  std::string restart(const std::string& id, const std::string& checkpoint, const JsonObject& nodes) {
    const JsonObject answer = must("POST", "/coordinators/" + id + "/checkpoints/" + checkpoint,
                                   boost::json::serialize(JsonObject{{"nodes", nodes}}));
    return json_string_or(answer, "id", "");
  }
  void wait_incarnation(const std::string& id, int incarnation) {
    EXPECT_TRUE(wait_until(
        [&] {
          const JsonObject view = application(id);
          return json_int_or(view, "incarnation", 0) == incarnation && json_string_or(view, "state", "") == "RUNNING";
        },
        std::chrono::seconds(90)))
        << boost::json::serialize(application(id));
  }
  /// Manifests in a node's repository.
  int manifests(int index) {
    int count = 0;
    std::error_code none;  // no repository: no manifests
    for (const auto& file : std::filesystem::directory_iterator(node(index) / "repository/manifests", none)) {
      count += file.is_regular_file() ? 1 : 0;
    }
    return count;
  }
};

TEST_F(MovingTest, AStreamGoesOnBetweenOtherNodes) {
  const std::string id = submit(stream(200));
  ASSERT_TRUE(wait_output(id, "connect: 8 MiB\n")) << story(id);
  ASSERT_EQ(places(id), (std::vector<std::string>{"local-0", "local-1"}));
  const std::string saved = checkpoint(id);
  // The second pod goes where the first one was, and the first one where nothing of it was.
  restart(id, saved, {{"names", JsonArray{"local-2", "local-0"}}});
  wait_incarnation(id, 2);
  EXPECT_EQ(places(id), (std::vector<std::string>{"local-2", "local-0"}));
  EXPECT_EQ(manifests(2), 1) << "the part was not taken over";
  ASSERT_TRUE(wait_output(id, "connect: 24 MiB\n")) << story(id);
  const std::string newest = checkpoint(id);
  EXPECT_GE(kill_program(id, "cacs-init"), 2);
  wait_state(id, "COMPLETED", std::chrono::seconds(180));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 3);
  expect_streamed(id);
  // What a node has that is the application's no more goes with the checkpoint.
  const auto deleted = request("DELETE", "/coordinators/" + id + "/checkpoints/" + saved);
  ASSERT_TRUE(deleted.ok() && deleted->status < 300);
  EXPECT_TRUE(wait_until([&] { return manifests(0) == 1 && manifests(1) == 0 && manifests(2) == 1; }))
      << manifests(0) << manifests(1) << manifests(2);
}

TEST_F(MovingTest, LammpsOnOneNodeInsteadOfTwoAndOnTwoAgain) {
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
  const std::string saved = checkpoint(id);
  restart(id, saved, {{"names", JsonArray{"local-1"}}});
  wait_incarnation(id, 2);
  EXPECT_EQ(places(id), std::vector<std::string>(4, "local-1"));
  // What was taken over makes one part with what was there.
  const JsonObject there = must("GET", "/coordinators/" + id + "/checkpoints/" + saved);
  EXPECT_EQ(json_find_array(there, "pods")->size(), 4U) << boost::json::serialize(there);
  ASSERT_TRUE(wait_output(id, "\n     200 ")) << story(id);
  const std::string newest = checkpoint(id);
  restart(id, newest, {{"names", JsonArray{"local-2", "local-0"}}});
  wait_incarnation(id, 3);
  EXPECT_EQ(places(id), (std::vector<std::string>{"local-2", "local-2", "local-0", "local-0"}));
  wait_state(id, "COMPLETED", std::chrono::seconds(180));
  EXPECT_EQ(thermo(output(id)), thermo(*reference));
  EXPECT_GT(thermo(output(id)).size(), 500U);
}

TEST_F(MovingTest, NodesThatThereAreNotAreRefused) {
  const std::string id = submit({{"command", JsonArray{"sleep", "1000"}}});
  wait_state(id, "RUNNING");
  const std::string saved = checkpoint(id);
  const auto refuse = [&](const char* nodes, const char* word) {
    const auto answer =
        request("POST", "/coordinators/" + id + "/checkpoints/" + saved, std::string(R"({"nodes": )") + nodes + "}");
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer->status, 400) << answer->body;
    EXPECT_NE(answer->body.find(word), std::string::npos) << answer->body;
  };
  refuse(R"({"names": ["local-7"]})", "local-7");
  refuse(R"({"count": 2})", "1 pods");
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1);
}

class MovingFromRemoteTest : public MovingTest {
 protected:
  void make_place() override {
    MovingTest::make_place();
    server_arguments_.emplace_back("--remote");
    server_arguments_.emplace_back((dir_ / "remote").string());
  }
};

TEST_F(MovingFromRemoteTest, ANodeThatDoesNotAnswerIsNotNeededWhereTheRemoteLevelHasTheCheckpoint) {
  const std::string count = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; sleep 0.05; done";
  const std::string id = submit({{"command", JsonArray{"sh", "-c", count}},
                                 {"time_limit", "15s"},
                                 {"checkpoint", JsonObject{{"levels", JsonArray{"local", "remote"}}}}});
  wait_state(id, "SUSPENDED");
  ASSERT_EQ(places(id), std::vector<std::string>{"local-0"});
  EXPECT_TRUE(wait_until([&] {
    const auto all = checkpoints(id);
    const JsonArray* levels = all.empty() ? nullptr : json_find_array(all.back(), "levels");
    return levels != nullptr && levels->size() == 2;
  }));
  set_cable(0, false);
  restart(id, "latest", {{"names", JsonArray{"local-1"}}});
  wait_incarnation(id, 2);
  EXPECT_EQ(places(id), std::vector<std::string>{"local-1"});
  // Each time it is suspended again before its time is over.
  const auto at_rest = [&] { return state_of(id) == "COMPLETED" || state_of(id) == "SUSPENDED"; };
  for (int round = 0; round < 10; ++round) {
    ASSERT_TRUE(wait_until(at_rest, std::chrono::seconds(90))) << boost::json::serialize(application(id));
    if (state_of(id) == "COMPLETED") break;
    must("POST", "/coordinators/" + id + "/checkpoints/latest");
    ASSERT_TRUE(wait_until([&] { return !at_rest(); })) << boost::json::serialize(application(id));
  }
  set_cable(0, true);
  std::string all;
  for (int i = 1; i <= 300; ++i) all += std::to_string(i) + "\n";
  EXPECT_EQ(output(id), all);
}

}  // namespace
}  // namespace cacs::e2e
