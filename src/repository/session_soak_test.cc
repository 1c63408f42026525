// Real repositories on a simulated store (sim_world.h). After every run: each committed checkpoint reads back as it was
// stored, also while collections go on; what was refused or deleted is not there; check() finds nothing; and in the
// calm collections leave no garbage. CACS_SIM_ROUNDS sets the number of runs, CACS_SIM_SEED runs exactly one.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstdlib>

#include "repository/sim_world.h"

namespace cacs::repository {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kRounds = 20;
#else
constexpr std::uint64_t kRounds = 100;
#endif

std::uint64_t env_number(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

TEST(SessionRepository, NothingIsLostWhateverHappens) {
  spdlog::set_level(spdlog::level::off);  // of the killed
  const std::uint64_t only = env_number("CACS_SIM_SEED", 0);
  const std::uint64_t first = only == 0 ? 1 : only;
  const std::uint64_t last = only == 0 ? env_number("CACS_SIM_ROUNDS", kRounds) : only;
  SimCounts all;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SimWorld world(seed, SessionFault::kNone);
    const auto wrong = world.run();
    ASSERT_FALSE(wrong) << *wrong << "; replay with CACS_SIM_SEED=" << seed;
    all.committed += world.counts().committed;
    all.refused += world.counts().refused;
    all.unknown += world.counts().unknown;
    all.deleted += world.counts().deleted;
    all.read += world.counts().read;
    all.packs_removed += world.counts().packs_removed;
    all.packs_written += world.counts().packs_written;
    all.kills += world.counts().kills;
  }
  RecordProperty("committed", std::to_string(all.committed));
  RecordProperty("packs_removed", std::to_string(all.packs_removed));
  const std::uint64_t rounds = last - first + 1;
  if (rounds < 20) return;
  EXPECT_GT(all.committed, rounds);
  EXPECT_GT(all.refused, rounds / 20) << "hardly ever fenced: the schedules do not try it";
  EXPECT_GT(all.unknown, rounds / 5);
  EXPECT_GT(all.deleted, rounds);
  EXPECT_GT(all.read, rounds);
  EXPECT_GT(all.packs_removed, rounds);
  EXPECT_GT(all.packs_written, rounds / 5);
  EXPECT_GT(all.kills, rounds / 10);
}

class PlantedFault : public testing::TestWithParam<SessionFault> {};

TEST_P(PlantedFault, IsFound) {
  spdlog::set_level(spdlog::level::off);
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SimWorld world(seed, GetParam());
    if (const auto wrong = world.run()) {
      RecordProperty("rounds", std::to_string(seed));
      RecordProperty("found", *wrong);
      return;
    }
  }
  ADD_FAILURE() << "500 runs do not find it";
}

// Not kTrustMemory and kTakePieces: these take schedules too rare to come upon; session_reference_test.cc makes them.
INSTANTIATE_TEST_SUITE_P(All, PlantedFault,
                         testing::Values(SessionFault::kReferCondemned, SessionFault::kIgnoreFence,
                                         SessionFault::kTrustListing));

}  // namespace
}  // namespace cacs::repository
