// The manager with its threads and a real database against a node in memory: what it starts comes to an end, whatever
// is lost on the way, and when all is deleted nothing is left anywhere.

#include <random>
#include <thread>

#include "application/manager_fixture.h"
#include "application/pod_fact.h"

namespace cacs::application {
namespace {

using std::chrono::milliseconds;

class ManagerTest : public ManagerFixture {
 protected:
  static Asr asr() {
    Asr asr;
    asr.name = "test";
    asr.command = {"program"};
    return asr;
  }
  std::string submit(const Asr& asr) {
    const auto started = manager_->submit({}, asr);
    EXPECT_TRUE(started.ok()) << started.error().to_string();
    return started.ok() ? started->id : "";
  }
  std::string state(const std::string& id) {
    const auto view = manager_->get({}, id);
    return view.ok() ? (*view)->state : "";
  }
  OperationView wait_operation(const std::string& id) {
    OperationView last;
    EXPECT_TRUE(wait_until([&] {
      const auto view = manager_->get_operation({}, id);
      if (view.ok()) last = *view;
      return view.ok() && view->state != "RUNNING";
    })) << "operation "
        << last.kind << " is still in " << last.phase;
    return last;
  }
  OperationView checkpoint(const std::string& id) {
    const auto started = manager_->take_checkpoint({}, id);
    EXPECT_TRUE(started.ok()) << started.error().to_string();
    return started.ok() ? wait_operation(started->operation) : OperationView{};
  }
  void remove(const std::string& id) {
    const auto started = manager_->terminate({}, id);
    ASSERT_TRUE(started.ok()) << started.error().to_string();
    EXPECT_EQ(wait_operation(started->operation).state, "SUCCEEDED");
  }
  void expect_nothing_left() {
    for (const std::size_t index : {0U, 1U}) {
      EXPECT_EQ(node(index).pods(), 0U);
      EXPECT_TRUE(node(index).checkpoints().empty());
      EXPECT_EQ(node(index).frozen(), 0);
    }
    EXPECT_EQ(cloud_.claims(), 0U);
  }
};

TEST_F(ManagerTest, RunsSavesAndCompletes) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const auto saved = checkpoint(id);
  EXPECT_EQ(saved.state, "SUCCEEDED");
  EXPECT_EQ(node().checkpoints(), std::set<std::string>{saved.checkpoint});
  EXPECT_EQ(manager_->get_checkpoint({}, id, "latest")->id, saved.checkpoint);
  node().exit_pod(uid(id), "exited", 0);
  ASSERT_TRUE(wait_state(id, "COMPLETED"));
  remove(id);
  expect_nothing_left();
}

TEST_F(ManagerTest, SeveralPodsComeBackTogetherAndEndWithTheFirst) {
  Asr wanted = asr();
  wanted.pods = 3;
  const std::string id = submit(wanted);
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  EXPECT_EQ(node().pods(), 3U);
  const std::string saved = checkpoint(id).checkpoint;
  node().exit_pod(pod_uid(id, 2), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  for (int pod = 0; pod < 3; ++pod) {
    const auto there = node().pod(pod_uid(id, pod));
    ASSERT_TRUE(there.has_value());
    EXPECT_EQ(there->incarnation, 2);
    EXPECT_EQ(there->restored_from, saved);
    EXPECT_TRUE(there->open);
  }
  node().exit_pod(pod_uid(id, 0), "exited", 0);
  ASSERT_TRUE(wait_state(id, "COMPLETED"));
  EXPECT_TRUE(wait_until([&] { return node().pods() == 1; })) << "the others have nothing to run any more";
  remove(id);
  expect_nothing_left();
}

TEST_F(ManagerTest, ComesBackFromTheNewestCheckpointAndGivesUpInTheEnd) {
  Asr wanted = asr();
  wanted.recovery_max_attempts = 2;
  const std::string id = submit(wanted);
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  checkpoint(id);
  const std::string newest = checkpoint(id).checkpoint;
  node().exit_pod(uid(id), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_EQ(node().pod(uid(id))->restored_from, newest);
  node().exit_pod(uid(id), "signaled", 11);
  ASSERT_TRUE(wait_state(id, "RUNNING", 3));
  node().exit_pod(uid(id), "signaled", 11);
  ASSERT_TRUE(wait_state(id, "ERROR"));
  EXPECT_EQ(node().checkpoints().size(), 2U);
  remove(id);
  expect_nothing_left();
}

TEST_F(ManagerTest, AFailedCheckpointSaysWhyAndLosesNothing) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const std::string good = checkpoint(id).checkpoint;
  node().fail_cuts(make_error(ErrorCode::kUnsupported, "it holds a device"));
  const auto failed = checkpoint(id);
  EXPECT_EQ(failed.state, "FAILED");
  ASSERT_TRUE(failed.problem.has_value());
  EXPECT_NE(failed.problem->message.find("it holds a device"), std::string::npos) << failed.problem->message;
  EXPECT_EQ(state(id), "RUNNING");
  EXPECT_EQ(node().frozen(), 0);
  node().fail_cuts(std::nullopt);
  EXPECT_EQ(checkpoint(id).state, "SUCCEEDED");
  EXPECT_EQ(node().checkpoints().count(good), 1U);
}

TEST_F(ManagerTest, AProgramThatSavesItselfIsAskedEverywhereBeforeItIsFrozen) {
  const auto wanted = parse_asr(parse_json_object(R"({"command": ["x"], "engine": "app", "pods": 2,
    "engine_options": {"file": "/save", "files": ["/state"]}})",
                                                  "asr")
                                    .value());
  ASSERT_TRUE(wanted.ok()) << wanted.error().to_string();
  const std::string id = submit(*wanted);
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  EXPECT_EQ(checkpoint(id).state, "SUCCEEDED");
  EXPECT_EQ(node().asked_and_cut(), (std::vector<std::string>{"ask", "ask", "cut", "cut"}));
  node().fail_asks(make_error(ErrorCode::kTimeout, "it did not answer"));
  const auto failed = checkpoint(id);
  EXPECT_EQ(failed.state, "FAILED");
  ASSERT_TRUE(failed.problem.has_value());
  EXPECT_NE(failed.problem->message.find("it did not answer"), std::string::npos) << failed.problem->message;
  EXPECT_EQ(node().asked_and_cut().size(), 6U) << "nothing was cut";
  EXPECT_EQ(node().frozen(), 0);
  EXPECT_EQ(state(id), "RUNNING");
  // It is started anew in the order of a start: the command is not to find pods missing that it launches in.
  node().exit_pod(uid(id), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_FALSE(node().pod(uid(id))->restored_from.empty());
  EXPECT_EQ(node().started().back(), uid(id));
}

TEST_F(ManagerTest, OnlyOneOfTwoRestartsAtOnce) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const std::string saved = checkpoint(id).checkpoint;
  std::vector<Result<Started>> answers;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto answer = manager_->restart({}, id, saved, {});
      const std::lock_guard lock(mutex);
      answers.push_back(std::move(answer));
    });
  }
  for (auto& thread : threads) thread.join();
  int begun = 0;
  for (const auto& answer : answers) {
    if (answer.ok()) {
      ++begun;
      EXPECT_EQ(wait_operation(answer->operation).state, "SUCCEEDED");
    } else {
      EXPECT_EQ(answer.error().code, ErrorCode::kConflict) << answer.error().to_string();
    }
  }
  EXPECT_GE(begun, 1);
  ASSERT_TRUE(wait_state(id, "RUNNING", 1 + begun));
  EXPECT_EQ(node().pod(uid(id))->restored_from, saved);
}

TEST_F(ManagerTest, ARestartFromADamagedCheckpointIsRefusedAndAnIntactOneOffered) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const std::string intact = checkpoint(id).checkpoint;
  const std::string damaged = checkpoint(id).checkpoint;
  const std::string newest = checkpoint(id).checkpoint;
  node().damage_checkpoint(damaged);
  node().damage_checkpoint(newest);
  const auto answer = manager_->restart({}, id, newest, {});
  ASSERT_TRUE(answer.ok());
  const OperationView refused = wait_operation(answer->operation);
  EXPECT_EQ(refused.state, "FAILED");
  ASSERT_TRUE(refused.problem.has_value());
  EXPECT_EQ(refused.problem->code, ErrorCode::kCorrupt);
  EXPECT_NE(refused.problem->message.find(newest), std::string::npos) << refused.problem->message;
  EXPECT_NE(refused.problem->hint.find(intact), std::string::npos) << refused.problem->hint;
  EXPECT_EQ(refused.problem->hint.find(damaged), std::string::npos) << refused.problem->hint;
  EXPECT_EQ(state(id), "RUNNING");
  EXPECT_EQ(node().pod(uid(id))->incarnation, 1);
  const auto again = manager_->restart({}, id, intact, {});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(wait_operation(again->operation).state, "SUCCEEDED");
  EXPECT_EQ(node().pod(uid(id))->restored_from, intact);
}

TEST_F(ManagerTest, DeletionDoesNotWaitForADump) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  node().hold_cuts(true);
  const auto saving = manager_->take_checkpoint({}, id);
  ASSERT_TRUE(saving.ok());
  ASSERT_TRUE(wait_until([&] { return node().frozen() == 1; }));
  remove(id);
  EXPECT_EQ(manager_->get_operation({}, saving->operation)->state, "FAILED");
  node().hold_cuts(false);
  expect_nothing_left();
}

TEST_F(ManagerTest, ADeathDuringADumpIsRecoveredFrom) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const std::string saved = checkpoint(id).checkpoint;
  node().hold_cuts(true);
  const auto saving = manager_->take_checkpoint({}, id);
  ASSERT_TRUE(saving.ok());
  ASSERT_TRUE(wait_until([&] { return node().frozen() == 1; }));
  node().exit_pod(uid(id), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_EQ(node().pod(uid(id))->restored_from, saved);
  EXPECT_EQ(wait_operation(saving->operation).state, "FAILED");
  node().hold_cuts(false);
}

TEST_F(ManagerTest, ATaintedPodIsNeitherSavedNorResumed) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const std::string saved = checkpoint(id).checkpoint;
  node().taint_pod(uid(id));
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_EQ(node().pod(uid(id))->restored_from, saved);
}

TEST_F(ManagerTest, ARebootOfTheNodeIsSurvived) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const std::string saved = checkpoint(id).checkpoint;
  node().reboot();
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_EQ(node().pod(uid(id))->restored_from, saved);
}

TEST_F(ManagerTest, APodThatBelongsToNobodyIsRemoved) {
  stop();
  ASSERT_TRUE(node().put_pod("01900000-0000-7000-8000-000000000000.pod-0", {{"incarnation", 1}}).ok());
  start();
  EXPECT_TRUE(wait_until([&] { return node().pods() == 0; }));
}

TEST_F(ManagerTest, TheProgramIsToldOfTheCheckpointItAskedFor) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  node().ask_for_checkpoint(uid(id), "7", true);
  ASSERT_TRUE(wait_until([&] { return !node().outcomes().empty(); }));
  const JsonObject told = node().outcomes().front();
  EXPECT_EQ(json_string_or(told, "request", ""), "7");
  EXPECT_EQ(json_string_or(told, "result", ""), "committed");
  EXPECT_EQ(node().checkpoints().count(json_string_or(told, "checkpoint", "")), 1U);
}

TEST_F(ManagerTest, WhatThePodSaysOfItselfIsShown) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  node().tell("pod.progress", uid(id), {{"value", 42}});
  EXPECT_TRUE(wait_until([&] { return (*manager_->get({}, id))->progress == 42; }));
  node().tell("pod.base_changed", uid(id), {{"path", "/usr/lib/x.so"}, {"what", "it could not be kept"}});
  const auto told = [&] {
    const auto events = manager_->events({}, id, 0, 100, milliseconds(0));
    for (const EventView& event : *events) {
      if (event.kind == "application.base_changed") return event.message;
    }
    return std::string();
  };
  EXPECT_TRUE(wait_until([&] { return !told().empty(); }));
  EXPECT_NE(told().find("/usr/lib/x.so"), std::string::npos) << told();
  node().exit_pod(uid(id), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_FALSE((*manager_->get({}, id))->progress.has_value());
}

TEST_F(ManagerTest, TheRemoteLevelIsRefusedWhereThereIsNone) {
  Asr wanted = asr();
  wanted.checkpoint_levels = {"local", "remote"};
  const auto refused = manager_->submit({}, wanted);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().message.find("checkpoint.levels"), std::string::npos);
  EXPECT_EQ(node().pods(), 0U);
  stop();
  options_.offers.remote_level = true;
  start();
  ASSERT_TRUE(wait_state(submit(wanted), "RUNNING"));
}

TEST_F(ManagerTest, TheLevelsThatACheckpointHasReachedAreShown) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const std::string saved = checkpoint(id).checkpoint;
  const std::vector<std::string> both = {"local", "remote"};
  EXPECT_EQ(manager_->get_checkpoint({}, id, saved)->levels, std::vector<std::string>{"local"});
  node().tell("checkpoint.levels", "",
              {{"application", id}, {"checkpoint", saved}, {"levels", JsonArray{"local", "remote"}}});
  EXPECT_TRUE(wait_until([&] { return manager_->get_checkpoint({}, id, saved)->levels == both; }));
  // Of one that nobody knows nothing is shown, and nothing breaks.
  node().tell("checkpoint.levels", "", {{"application", id}, {"checkpoint", "x"}, {"levels", JsonArray{"remote"}}});
  node().tell("checkpoint.levels", "", {{"application", "x"}, {"checkpoint", saved}});
  EXPECT_EQ(checkpoint(id).state, "SUCCEEDED");
}

TEST_F(ManagerTest, BeforeTheTimeLimitItIsSavedAndSuspended) {
  Asr wanted = asr();
  wanted.time_limit = milliseconds(600);
  const std::string id = submit(wanted);
  ASSERT_TRUE(wait_state(id, "SUSPENDED"));
  EXPECT_EQ(node().checkpoints().size(), 1U);
  EXPECT_TRUE(wait_until([&] { return node().pods() == 0 && cloud_.claims() == 0; }));
}

TEST_F(ManagerTest, PeriodicCheckpointsKeepTheirRhythmOverARestartOfTheServer) {
  Asr wanted = asr();
  wanted.checkpoint_interval = std::chrono::minutes(10);
  const std::string id = submit(wanted);
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const auto due = (*manager_->get({}, id))->next_checkpoint_at;
  ASSERT_TRUE(due.has_value());
  std::this_thread::sleep_for(milliseconds(300));
  stop();
  start();
  ASSERT_TRUE(wait_until([&] { return (*manager_->get({}, id))->next_checkpoint_at.has_value(); }));
  EXPECT_LT(*(*manager_->get({}, id))->next_checkpoint_at - *due, milliseconds(200));
}

TEST_F(ManagerTest, TheAutomaticIntervalFollowsCostAndFailures) {
  Asr wanted = asr();
  wanted.checkpoint_interval_auto = true;
  const std::string id = submit(wanted);
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const auto left = [&] { return *(*manager_->get({}, id))->next_checkpoint_at - wall_now(); };
  // A second of cost and one failure a day are assumed at first.
  EXPECT_GT(left(), std::chrono::minutes(5));
  EXPECT_LT(left(), std::chrono::minutes(10));
  node().exit_pod(uid(id), "signaled", 9);
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  // It failed after less than a second: as often as may be.
  EXPECT_LE(left(), std::chrono::seconds(10));
}

TEST_F(ManagerTest, ACheckpointThatIsGoneIsNotRestoredFrom) {
  const std::string id = submit(asr());
  ASSERT_TRUE(wait_state(id, "RUNNING"));
  const std::string older = checkpoint(id).checkpoint;
  const std::string newer = checkpoint(id).checkpoint;
  stop();
  node().lose_checkpoint(newer);
  node().exit_pod(uid(id), "signaled", 9);
  start();
  ASSERT_TRUE(wait_state(id, "RUNNING", 2));
  EXPECT_EQ(node().pod(uid(id))->restored_from, older);
}

/// Many clients at once while answers get lost, programs die, the node goes away and comes back, and the server is
/// ended and started again: in the end everything can be deleted, and nothing is left.
TEST_F(ManagerTest, WhateverHappensEverythingComesToAnEnd) {
  std::mt19937 random(20261120);
  constexpr int kApplications = 6;
  constexpr int kRounds = 60;
  std::vector<std::string> ids;
  Asr wanted = asr();
  wanted.recovery_max_attempts = 1'000;
  wanted.checkpoint_keep = 2;
  for (int i = 0; i < kApplications; ++i) ids.push_back(submit(wanted));
  node().lose_answers(7);
  for (int round = 0; round < kRounds; ++round) {
    const std::string& id = ids[random() % ids.size()];
    switch (random() % 8) {
      case 0:
        node().exit_pod(uid(id), "signaled", 9);
        break;
      case 1:
        node().taint_pod(uid(id));
        break;
      case 2:
        node().set_reachable(false);
        std::this_thread::sleep_for(milliseconds(random() % 20));
        node().set_reachable(true);
        break;
      case 3:
        node().reboot();
        break;
      case 4:
        stop();
        start();
        break;
      case 5:
        node().ask_for_checkpoint(uid(id), std::to_string(round), true);
        break;
      default: {
        // Refused while the application is coming back; what matters is that it is answered.
        std::thread reader([&] {
          EXPECT_TRUE(manager_->list({}, {}).ok());
          EXPECT_TRUE(manager_->events({}, id, 0, 10, milliseconds(0)).ok());
        });
        const auto started = manager_->take_checkpoint({}, id);
        EXPECT_TRUE(started.ok() || started.error().code == ErrorCode::kConflict) << started.error().to_string();
        reader.join();
      }
    }
  }
  node().lose_answers(0);
  for (const auto& id : ids) EXPECT_TRUE(wait_state(id, "RUNNING")) << id << " is " << state(id);
  for (const auto& id : ids) {
    // RUNNING may be what was before the node's last death was heard of: in the end it can be saved.
    EXPECT_TRUE(wait_until([&] {
      const auto started = manager_->take_checkpoint({}, id);
      return started.ok() && wait_operation(started->operation).state == "SUCCEEDED";
    })) << id
        << " is " << state(id);
    const auto list = manager_->list_checkpoints({}, id, {});
    ASSERT_TRUE(list.ok());
    for (const auto& each : list->items) {
      EXPECT_TRUE(each.state != "AVAILABLE" || node().checkpoints().count(each.id) == 1) << each.id;
    }
    remove(id);
  }
  expect_nothing_left();
}

}  // namespace
}  // namespace cacs::application
