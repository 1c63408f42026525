// The manager with applications over several nodes: parts of checkpoints, nodes that are not heard of, and whose fault
// a failure is.

#include <thread>

#include "application/manager_fixture.h"
#include "application/pod_fact.h"

namespace cacs::application {
namespace {

class ManagerNodesTest : public ManagerFixture {
 protected:
  /// Three pods, the first two of which are on the first node; its id, once it runs.
  std::string run() {
    Asr asr;
    asr.name = "test";
    asr.command = {"program"};
    asr.pods = 3;
    asr.node_count = 2;
    const auto started = manager_->submit({}, asr);
    EXPECT_TRUE(started.ok()) << started.error().to_string();
    EXPECT_TRUE(wait_state(started->id, "RUNNING"));
    return started->id;
  }
  OperationView wait_operation(const std::string& operation) {
    OperationView last;
    EXPECT_TRUE(wait_until([&] {
      const auto view = manager_->get_operation({}, operation);
      if (view.ok()) last = *view;
      return view.ok() && view->state != "RUNNING";
    }));
    return last;
  }
  OperationView checkpoint(const std::string& id) {
    const auto started = manager_->take_checkpoint({}, id);
    EXPECT_TRUE(started.ok()) << started.error().to_string();
    return wait_operation(started->operation);
  }
  void remove(const std::string& id) {
    const auto started = manager_->terminate({}, id);
    ASSERT_TRUE(started.ok());
    EXPECT_EQ(wait_operation(started->operation).state, "SUCCEEDED");
    for (const std::size_t index : {0U, 1U}) {
      EXPECT_EQ(node(index).pods(), 0U);
      EXPECT_TRUE(node(index).checkpoints().empty());
      EXPECT_EQ(node(index).frozen(), 0);
    }
  }
};

TEST_F(ManagerNodesTest, EachNodeHasItsPodsAndItsPartOfACheckpoint) {
  const std::string id = run();
  EXPECT_EQ(node(0).pods(), 2U);
  EXPECT_EQ(node(1).pods(), 1U);
  const std::string saved = checkpoint(id).checkpoint;
  EXPECT_EQ(node(0).checkpoints(), std::set<std::string>{saved});
  EXPECT_EQ(node(1).checkpoints(), std::set<std::string>{saved});
  node(1).exit_pod(pod_uid(id, 2), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_EQ(node(0).pod(pod_uid(id, 0))->restored_from, saved);
  EXPECT_EQ(node(1).pod(pod_uid(id, 2))->restored_from, saved);
  remove(id);
}

TEST_F(ManagerNodesTest, TheTimesOfACheckpointAreThoseOfTheSlowestPodAndTheServersOwn) {
  const std::string id = run();
  const auto view = manager_->get_checkpoint({}, id, checkpoint(id).checkpoint);
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(json_int_or(view->timings, "snapshot_ms", 0), 70);
  ASSERT_TRUE(view->timings.contains("prepare_ms") && view->timings.contains("coordination_ms"));
  const double prepared = view->timings.at("prepare_ms").to_number<double>();
  EXPECT_GE(prepared, 0);
  EXPECT_GE(view->timings.at("coordination_ms").to_number<double>(), prepared);
  remove(id);
}

TEST_F(ManagerNodesTest, NoPartIsLeftWhenAnotherCannotBeCommitted) {
  const std::string id = run();
  const std::string good = checkpoint(id).checkpoint;
  node(1).fail_commits(make_error(ErrorCode::kNoSpace, "the disk is full"));
  const auto failed = checkpoint(id);
  EXPECT_EQ(failed.state, "FAILED");
  EXPECT_NE(failed.problem->message.find("the disk is full"), std::string::npos) << failed.problem->message;
  EXPECT_EQ(node(0).checkpoints(), std::set<std::string>{good});
  EXPECT_EQ(node(1).checkpoints(), std::set<std::string>{good});
  node(1).fail_commits(std::nullopt);
  EXPECT_EQ(checkpoint(id).state, "SUCCEEDED");
  remove(id);
}

TEST_F(ManagerNodesTest, ACheckpointOfWhichAPartIsGoneIsLostAlsoWhenTheServerWasAway) {
  const std::string id = run();
  const std::string older = checkpoint(id).checkpoint;
  const std::string newer = checkpoint(id).checkpoint;
  stop();
  node(1).lose_checkpoint(newer);
  start();
  EXPECT_TRUE(wait_until([&] { return manager_->get_checkpoint({}, id, newer)->state == "FAILED"; }));
  EXPECT_EQ(manager_->get_checkpoint({}, id, older)->state, "AVAILABLE");
  node(0).exit_pod(pod_uid(id, 0), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_EQ(node(1).pod(pod_uid(id, 2))->restored_from, older);
}

TEST_F(ManagerNodesTest, ANodeThatIsNotHeardOfKeepsNoOtherFrozen) {
  const std::string id = run();
  node(0).set_reachable(false);
  const auto started = manager_->take_checkpoint({}, id);
  ASSERT_TRUE(started.ok());
  EXPECT_TRUE(wait_until([&] {
    const auto view = manager_->get_checkpoint({}, id, started->id);
    return view.ok() && view->problem && node(1).frozen() == 0;
  }));
  EXPECT_EQ((*manager_->get({}, id))->state, "RUNNING");
  node(0).set_reachable(true);
  EXPECT_EQ(wait_operation(started->operation).state, "FAILED");
  EXPECT_EQ(checkpoint(id).state, "SUCCEEDED");
  remove(id);
}

TEST_F(ManagerNodesTest, TheCommandIsNotBlamedForTheDeathOfAPodThatIsHeardOfLater) {
  const std::string id = run();
  const std::string saved = checkpoint(id).checkpoint;
  node(1).hold_events(true);
  node(1).exit_pod(pod_uid(id, 2), "signaled", 9);
  node(0).exit_pod(pod_uid(id, 0), "exited", 1);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2)) << (*manager_->get({}, id))->state;
  EXPECT_EQ(node(0).pod(pod_uid(id, 0))->restored_from, saved);
  node(1).hold_events(false);
  remove(id);
}

/// Where the pod's node was told to get its part from.
JsonArray sources_of(const JsonObject& spec) { return spec.at("restore").at("from").as_array(); }

TEST_F(ManagerNodesTest, ARestartOnOtherNodesTakesOverWhatTheyDoNotHave) {
  const std::string id = run();
  const std::string saved = checkpoint(id).checkpoint;
  const auto started = manager_->restart({}, id, saved, NodeWish{.count = 2, .names = {"node-1", "node-0"}});
  ASSERT_TRUE(started.ok()) << started.error().to_string();
  EXPECT_EQ(wait_operation(started->operation).state, "SUCCEEDED");
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  // Pods 0 and 1 were on the first node, pod 2 on the second.
  EXPECT_EQ(sources_of(node(1).spec(pod_uid(id, 0))),
            (JsonArray{JsonObject{{"node", "node-0"}, {"agent", "192.0.2.1:7072"}, {"ticket", "0123abcd"}}}));
  EXPECT_EQ(sources_of(node(0).spec(pod_uid(id, 2))),
            (JsonArray{JsonObject{{"node", "node-1"}, {"agent", "192.0.2.2:7072"}, {"ticket", "0123abcd"}}}));
  EXPECT_EQ(node(0).pods() + node(1).pods(), 3U);
  EXPECT_FALSE(node(0).pod(pod_uid(id, 0))) << "what was there stays on a node that it is not on any more";
  // It stays where it is, and each node has what it needs now.
  node(0).exit_pod(pod_uid(id, 2), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 3));
  EXPECT_TRUE(sources_of(node(0).spec(pod_uid(id, 2))).empty());
  EXPECT_TRUE(sources_of(node(1).spec(pod_uid(id, 0))).empty());
  remove(id);
}

TEST_F(ManagerNodesTest, OnOneNodeInsteadOfTwoAndCheckpointsGoFromBoth) {
  const std::string id = run();
  const std::string saved = checkpoint(id).checkpoint;
  const auto started = manager_->restart({}, id, saved, NodeWish{.count = 1, .names = {"node-1"}});
  ASSERT_TRUE(started.ok()) << started.error().to_string();
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_EQ(node(0).pods(), 0U);
  EXPECT_EQ(node(1).pods(), 3U);
  EXPECT_TRUE(sources_of(node(1).spec(pod_uid(id, 2))).empty());
  EXPECT_EQ(sources_of(node(1).spec(pod_uid(id, 0))).size(), 1U);
  const auto gone = manager_->delete_checkpoint({}, id, saved);
  ASSERT_TRUE(gone.ok());
  EXPECT_EQ(wait_operation(gone->operation).state, "SUCCEEDED");
  EXPECT_TRUE(node(0).checkpoints().empty());
  EXPECT_TRUE(node(1).checkpoints().empty());
  remove(id);
}

TEST_F(ManagerNodesTest, NodesThatCannotBeAreRefusedByName) {
  const std::string id = run();
  const std::string saved = checkpoint(id).checkpoint;
  const auto unknown = manager_->restart({}, id, saved, NodeWish{.count = 1, .names = {"node-9"}});
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("node-9"), std::string::npos) << unknown.error().message;
  const auto many = manager_->restart({}, id, saved, NodeWish{.count = 4, .names = {}});
  ASSERT_FALSE(many.ok());
  EXPECT_NE(many.error().message.find("3 pods"), std::string::npos) << many.error().message;
  EXPECT_EQ((*manager_->get({}, id))->incarnation, 1);
  remove(id);
}

TEST_F(ManagerNodesTest, ACommandThatFailsWithAllPodsAliveHasFailed) {
  const std::string id = run();
  node(0).exit_pod(pod_uid(id, 0), "exited", 3);
  ASSERT_TRUE(wait_state(id, "ERROR"));
  EXPECT_EQ((*manager_->get({}, id))->reason, "exit code 3");
  remove(id);
}

TEST_F(ManagerNodesTest, PodsOfTwoApplicationsAreInTwoNetworksAndSoAreTwoIncarnations) {
  std::set<std::int64_t> ids;
  const auto network = [&](const std::string& uid) {
    const JsonObject spec = node(1).spec(uid);
    const JsonObject& underlay = spec.at("network").at("underlay").as_object();
    EXPECT_EQ(underlay.at("local"), "192.0.2.2");
    EXPECT_EQ(underlay.at("peers"), JsonArray{"192.0.2.1"});
    ids.insert(underlay.at("id").to_number<std::int64_t>());
  };
  const std::string first = run();
  const std::string second = run();
  network(pod_uid(first, 2));
  network(pod_uid(second, 2));
  node(0).exit_pod(pod_uid(first, 0), "signaled", 9);
  ASSERT_TRUE(wait_state(first, "RUNNING", 2));
  network(pod_uid(first, 2));
  stop();
  start();
  const std::string third = run();
  network(pod_uid(third, 2));
  EXPECT_EQ(ids.size(), 4U);
}

}  // namespace
}  // namespace cacs::application
