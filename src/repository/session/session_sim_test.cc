// Invariants that every random schedule has to keep (session_sim_check.cc), looked at after every single operation:
//  1. a root that counts has everything that it references, in the generation that whoever looks now would read;
//  2. a root reported as committed counts until somebody deletes it;
//  3. a root whose writer was told that it was fenced is not there, and never comes back;
//  4. a deleted root is not there, and never comes back;
//  5. no collector ever finds what it is removing referenced;
//  6. once failures stop and writers have ended, one collector leaves nothing but what counts after a few runs: no
//  pack,
//     slot, generation, late root, seat, licence, register, state or catalogue (terms stay, see docs/collection.md);
//  7. the same seed gives the same run.
// CACS_SIM_ROUNDS sets the number of schedules, CACS_SIM_SEED runs exactly one.
#include "repository/session/session_sim.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace cacs::repository::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kRounds = 400;
#else
constexpr std::uint64_t kRounds = 2'000;
#endif

std::uint64_t env_number(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

TEST(SessionSimulation, EveryScheduleKeepsTheInvariants) {
  const std::uint64_t only = env_number("CACS_SIM_SEED", 0);
  const std::uint64_t first = only == 0 ? 1 : only;
  const std::uint64_t last = only == 0 ? env_number("CACS_SIM_ROUNDS", kRounds) : only;
  std::map<std::string, std::uint64_t> counts;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    Simulation simulation(seed, SessionMutation::kNone, DriverFault::kNone);
    const auto violation = simulation.run();
    ASSERT_FALSE(violation) << violation->what << "; replay with CACS_SIM_SEED=" << seed;
    for (const auto& [name, count] : simulation.counts()) counts[name] += count;
  }
  for (const auto& [name, count] : counts) RecordProperty(name, std::to_string(count));
  const std::uint64_t rounds = last - first + 1;
  if (rounds < 300) return;
  for (const char* name : {"committed", "fenced", "doubtful", "deletions", "deduplicated", "shared", "not shared",
                           "packs removed", "packs rewritten", "writers settled", "superseded", "terms lost",
                           "writers killed", "collectors killed", "failures"}) {
    EXPECT_GT(counts[name], rounds / 50) << name << " hardly ever happens: the schedules do not try it";
  }
}

TEST(SessionSimulation, TheSameSeedGivesTheSameRun) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Simulation one(seed, SessionMutation::kNone, DriverFault::kNone);
    Simulation two(seed, SessionMutation::kNone, DriverFault::kNone);
    one.run();
    two.run();
    EXPECT_EQ(one.trace(), two.trace()) << seed;
  }
}

/// The number of schedules until a planted fault is found; 0: it is not.
std::uint64_t rounds_to_find(SessionMutation mutation, DriverFault fault, std::string& what) {
  for (std::uint64_t seed = 1; seed <= 20'000; ++seed) {
    Simulation simulation(seed, mutation, fault);
    if (const auto violation = simulation.run()) {
      what = violation->what;
      return seed;
    }
  }
  return 0;
}

class PlantedMutation : public testing::TestWithParam<SessionMutation> {};

TEST_P(PlantedMutation, IsFound) {
  std::string what;
  const auto rounds = rounds_to_find(GetParam(), DriverFault::kNone, what);
  EXPECT_GT(rounds, 0U);
  RecordProperty("rounds", std::to_string(rounds));
  RecordProperty("found", what);
}

// kForgetLineage is not here: 20,000 schedules do not find it, so nothing shows yet that the rule it leaves out is
// needed (docs/repository.md, *Limits*).
INSTANTIATE_TEST_SUITE_P(All, PlantedMutation,
                         testing::Values(SessionMutation::kNoFenceCheck, SessionMutation::kCondemnAndRemove,
                                         SessionMutation::kCondemnUnderOldState, SessionMutation::kIgnoreOpenSessions,
                                         SessionMutation::kTrustListing, SessionMutation::kRegisterBeforeFence,
                                         SessionMutation::kRaiseSeen, SessionMutation::kNoSuccessorCheck,
                                         SessionMutation::kReuseSpoiledRegister, SessionMutation::kForgetUnconfirmed,
                                         SessionMutation::kSeatUnchecked, SessionMutation::kRemoveBeforePublish,
                                         SessionMutation::kDropDoubtful, SessionMutation::kStateRetry,
                                         SessionMutation::kAcceptAll, SessionMutation::kNoWait));

class PlantedDriverFault : public testing::TestWithParam<DriverFault> {};

TEST_P(PlantedDriverFault, IsFound) {
  std::string what;
  const auto rounds = rounds_to_find(SessionMutation::kNone, GetParam(), what);
  EXPECT_GT(rounds, 0U);
  RecordProperty("rounds", std::to_string(rounds));
  RecordProperty("found", what);
}

// kPinnedParent is found too, but it takes a minute of schedules: too long for every run of the tests.
INSTANTIATE_TEST_SUITE_P(All, PlantedDriverFault,
                         testing::Values(DriverFault::kRootBeforePacks, DriverFault::kReferenceCondemned,
                                         DriverFault::kKeepMemory, DriverFault::kShareUnchecked,
                                         DriverFault::kReuseRootKey));

}  // namespace
}  // namespace cacs::repository::sim
