#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "database/database.h"
#include "database/test_directory.h"

namespace cacs::database {
namespace {

TEST(DatabaseThreadsTest, BatchesOfManyThreadsDoNotMix) {
  constexpr int kThreads = 8;
  constexpr std::uint64_t kRounds = 40;
  const TestDirectory directory;
  auto opened = open_sqlite(directory.path() / "db");
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  Database& database = **opened;
  ASSERT_TRUE(database.apply({CreateApplication{{.id = "shared", .version = {}, .state = {}}}}).ok());
  std::atomic<std::uint64_t> won{0};
  std::atomic<std::uint64_t> lost{0};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&database, &won, &lost, thread] {
        for (std::uint64_t round = 0; round < kRounds; ++round) {
          // All try to move the same row, as they last saw it: of those that saw the same version one wins, and the
          // others' second write must not be there.
          const auto seen = database.find_application("shared");
          if (!seen.ok()) return;
          const Status done = database.apply(
              {PutSetting{.key = fmt::format("t{}-{}", thread, round), .value = "won"},
               UpdateApplication{.id = "shared", .expected = seen->version, .owner_epoch = 1, .state = {}}});
          if (done.ok()) {
            ++won;
          } else if (done.error().code == ErrorCode::kStale) {
            ++lost;
            if (database.find_setting(fmt::format("t{}-{}", thread, round)).ok()) return;
          }
        }
      });
    }
  }
  EXPECT_EQ(won + lost, kThreads * kRounds) << "a call failed otherwise, or a lost batch left a row";
  EXPECT_EQ(database.find_application("shared")->version.version, won + 1);
  EXPECT_TRUE(database.health().ok());
}

}  // namespace
}  // namespace cacs::database
