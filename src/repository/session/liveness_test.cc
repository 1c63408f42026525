#include "repository/session/liveness.h"

#include <gtest/gtest.h>

#include "repository/backend/fake_clock.h"

namespace cacs::repository {
namespace {

JudgedRegister judged(std::uint64_t seat, std::uint64_t version, bool open) {
  JudgedRegister result{seat, {}};
  result.content.version = version;
  if (open) result.content.open = {{1, {}, {}}};
  return result;
}

TEST(Liveness, GoesByWhatItHasSeenItself) {
  const auto clock = std::make_shared<FakeClock>();
  Liveness liveness({.silent = std::chrono::minutes(15), .idle = std::chrono::hours(48)}, clock,
                    [](const WriterHost&) { return false; });
  const auto pass = [&](std::chrono::nanoseconds time) { static_cast<void>(clock->sleep_for(time, {})); };
  const std::vector<JudgedRegister> first = {judged(1, 1, true), judged(2, 1, false), judged(3, 0, false)};
  EXPECT_TRUE(liveness.judge(first).empty()) << "nobody is dead at first sight";
  pass(std::chrono::minutes(14));
  EXPECT_TRUE(liveness.judge({judged(1, 2, true), judged(2, 1, false), judged(3, 0, false)}).empty());
  pass(std::chrono::minutes(14));
  EXPECT_EQ(liveness.judge({judged(1, 2, true), judged(2, 1, false), judged(3, 0, false)}),
            (std::vector<std::uint64_t>{3}))
      << "1 moved, 2 holds up nothing, 3 has shown nothing for 28 minutes";
  pass(std::chrono::minutes(1));
  EXPECT_EQ(liveness.judge({judged(1, 2, true), judged(2, 1, false)}), (std::vector<std::uint64_t>{1}));
  pass(std::chrono::hours(48));
  EXPECT_EQ(liveness.judge({judged(2, 1, false)}), (std::vector<std::uint64_t>{2}));
}

TEST(Liveness, ALaterProcessOfTheSameNameReplacesTheEarlier) {
  const auto clock = std::make_shared<FakeClock>();
  Liveness liveness({}, clock, [](const WriterHost& host) { return host.pid == 9; });
  auto one = judged(1, 5, true);
  auto two = judged(2, 1, true);
  one.content.name = two.content.name = "agent";
  EXPECT_TRUE(liveness.judge({one, two}).empty()) << "two instances of one process";
  two.content.host.pid = 7;
  EXPECT_EQ(liveness.judge({one, two}), (std::vector<std::uint64_t>{1}));
  two.content.host.pid = 9;
  one.content.name.clear();
  EXPECT_EQ(liveness.judge({one, two}), (std::vector<std::uint64_t>{2})) << "known to be gone";
}

}  // namespace
}  // namespace cacs::repository
