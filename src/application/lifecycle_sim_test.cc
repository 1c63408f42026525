// Invariants that every random schedule has to keep (checked in lifecycle_sim_world.cc and lifecycle_sim_server.cc):
//  1. nothing committed is lost: a manifest goes only when the user deletes it, retention allows it, or with its
//     application; an automatic restart takes the newest that is usable, never nothing;
//  2. every node claimed is released exactly once by the end; no pod, cut or checkpoint is left behind;
//  3. never two live copies: no pod starts while one of another incarnation is alive;
//  4. no state without a way out: once failures stop, every run comes to rest, and deletion ends in GONE;
//  5. events of an older incarnation change nothing, and neither do refused requests;
//  6. only what the durable state wants is ever done, or what a state wants that a restart takes for the same;
//  7. restarts without progress stay within max_attempts;
//  8. nothing is torn down for a restart that a user asked for before its checkpoint was found sound;
//  9. an application is not given up for a failure of its command that the death of another pod had brought about;
// 10. what was restored from a checkpoint and died twice is restored from another, where there is one;
// 11. nothing of a pod stays on nodes that are given back; after a restart elsewhere the nodes are those asked for;
// 12. the same seed gives the same run.
// CACS_SIM_ROUNDS sets the number of schedules, CACS_SIM_SEED runs exactly one.
#include "application/lifecycle_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace cacs::application::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kRounds = 5'000;
#else
constexpr std::uint64_t kRounds = 100'000;
#endif

std::uint64_t env_number(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

TEST(LifecycleSimulation, EveryScheduleKeepsTheInvariants) {
  const std::uint64_t only = env_number("CACS_SIM_SEED", 0);
  const std::uint64_t first = only == 0 ? 1 : only;
  const std::uint64_t last = only == 0 ? env_number("CACS_SIM_ROUNDS", kRounds) : only;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    Simulation simulation(seed, Mutation::kNone, DriverFault::kNone);
    const auto violation = simulation.run();
    ASSERT_FALSE(violation) << violation->what << "; replay with CACS_SIM_SEED=" << seed;
  }
}

TEST(LifecycleSimulation, TheSameSeedGivesTheSameRun) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Simulation one(seed, Mutation::kNone, DriverFault::kNone);
    Simulation two(seed, Mutation::kNone, DriverFault::kNone);
    one.run();
    two.run();
    EXPECT_EQ(one.trace(), two.trace()) << seed;
  }
}

/// Only of the thaw a server that starts does not need to have been told.
TEST(LifecycleSimulation, OnlyTheThawNeedNotBeStored) {
  State state = initial_state({});
  state.phase = Phase::kRunning;
  state.nodes = NodesStatus::kHeld;
  state.incarnation = 1;
  state.pods = {{.status = PodStatus::kRunning, .incarnation = 1, .exit = {}}};
  state.checkpoints = {{.id = "c", .incarnation = 1, .problem = {}, .problem_type = {}}};
  state.cut = Cut{.checkpoint = "c", .requester = {}, .pieces = {}};
  const auto after = [](const State& before, EventKind kind) {
    return step(before, {.kind = kind, .checkpoint = "c", .pieces = {"p"}}).state;
  };
  const State thawing = after(state, EventKind::kCutPrepared);
  ASSERT_EQ(thawing.cut->stage, CutStage::kThawing);
  EXPECT_TRUE(recovers_alike(state, thawing));
  const State storing = after(thawing, EventKind::kCutThawed);
  ASSERT_EQ(storing.cut->stage, CutStage::kStoring);
  EXPECT_FALSE(recovers_alike(thawing, storing));
  const State committing = after(storing, EventKind::kCutStored);
  ASSERT_EQ(committing.cut->stage, CutStage::kCommitting);
  EXPECT_FALSE(recovers_alike(storing, committing));
  EXPECT_FALSE(recovers_alike(committing, after(committing, EventKind::kCommitted)));
}

/// The number of schedules until a planted fault is found; 0: it is not.
std::uint64_t rounds_to_find(Mutation mutation, DriverFault fault, std::string& what) {
  for (std::uint64_t seed = 1; seed <= 5'000; ++seed) {
    Simulation simulation(seed, mutation, fault);
    if (const auto violation = simulation.run()) {
      what = violation->what;
      return seed;
    }
  }
  return 0;
}

class PlantedMutation : public testing::TestWithParam<Mutation> {};

TEST_P(PlantedMutation, IsFound) {
  std::string what;
  EXPECT_GT(rounds_to_find(GetParam(), DriverFault::kNone, what), 0U);
  RecordProperty("found", what);
}

INSTANTIATE_TEST_SUITE_P(All, PlantedMutation,
                         testing::Values(Mutation::kIgnoreIncarnation, Mutation::kForgetRelease,
                                         Mutation::kForgetAttempts, Mutation::kDeleteRestoreSource,
                                         Mutation::kStartBeforeDestroyed, Mutation::kDropRetry, Mutation::kForgetAbort,
                                         Mutation::kCommitBeforeStored, Mutation::kRestartFromNothing,
                                         Mutation::kRestartUnchecked, Mutation::kLauncherFirst, Mutation::kOpenEarly,
                                         Mutation::kForgetOpen, Mutation::kForgetWorkers, Mutation::kJudgeAtOnce,
                                         Mutation::kSameAgain, Mutation::kForgetMove, Mutation::kLeaveDead));

class PlantedDriverFault : public testing::TestWithParam<DriverFault> {};

TEST_P(PlantedDriverFault, IsFound) {
  std::string what;
  EXPECT_GT(rounds_to_find(Mutation::kNone, GetParam(), what), 0U);
  RecordProperty("found", what);
}

INSTANTIATE_TEST_SUITE_P(All, PlantedDriverFault,
                         testing::Values(DriverFault::kActBeforePersist, DriverFault::kSkipPersist));

}  // namespace
}  // namespace cacs::application::sim
