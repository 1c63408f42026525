#include "checkpoint/policy.h"

#include <gtest/gtest.h>

#include <array>

namespace cacs::checkpoint {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr WallTime kStart{hours(1000)};

TEST(PolicyTest, PeriodicCheckpointsKeepTheirRhythm) {
  EXPECT_EQ(next_periodic({.running_since = kStart}), std::nullopt);
  PeriodicInput input{.interval = minutes(10), .running_since = kStart};
  EXPECT_EQ(next_periodic(input), kStart + minutes(10));
  input.last_begun = kStart + minutes(10);
  EXPECT_EQ(next_periodic(input), kStart + minutes(20));
  input.running_since = kStart + minutes(15);  // restored since
  EXPECT_EQ(next_periodic(input), kStart + minutes(25));
}

TEST(PolicyTest, FailuresSpaceAttemptsOutButNeverStopThem) {
  PeriodicInput input{.interval = minutes(1), .running_since = kStart, .failures_in_a_row = 1};
  EXPECT_EQ(next_periodic(input), kStart + minutes(2));
  input.failures_in_a_row = 1000;
  EXPECT_EQ(next_periodic(input), kStart + minutes(2));
}

TEST(PolicyTest, TheWaitIsBoundedWhateverTheClockSays) {
  const PeriodicInput input{.interval = minutes(10), .running_since = kStart};
  EXPECT_EQ(periodic_delay({.running_since = kStart}, kStart), std::nullopt);
  EXPECT_EQ(periodic_delay(input, kStart + minutes(3)), Milliseconds(minutes(7)));
  EXPECT_EQ(periodic_delay(input, kStart + hours(5)), Milliseconds(minutes(5))) << "overdue";
  EXPECT_EQ(periodic_delay(input, kStart - hours(5)), Milliseconds(minutes(20))) << "the clock was set back";
}

TEST(PolicyTest, AutomaticIntervalFollowsCostAndFailures) {
  // sqrt(2 * 10 s * 10000 s) = 447.2 s; Daly's correction with C/2M = 0.0005: * 1.00751 - 10 s.
  const Milliseconds interval = young_daly_interval(seconds(10), seconds(10'000));
  EXPECT_NEAR(static_cast<double>(interval.count()), 440'569, 500);
  EXPECT_LT(young_daly_interval(seconds(1), hours(1)), young_daly_interval(seconds(4), hours(1)));
  EXPECT_LT(young_daly_interval(seconds(4), hours(1)), young_daly_interval(seconds(4), hours(5)));
  EXPECT_EQ(young_daly_interval(Milliseconds(0), Milliseconds(0)), seconds(10));
  EXPECT_EQ(young_daly_interval(hours(5), std::nullopt), hours(1));
  EXPECT_EQ(
      next_periodic({.automatic = true, .running_since = kStart, .cost = seconds(10), .mean_failure = seconds(10'000)}),
      kStart + interval);
}

TEST(PolicyTest, TheLastChanceLeavesTimeForTheCheckpoint) {
  const std::array durations{Milliseconds(seconds(20)), Milliseconds(seconds(90)), Milliseconds(seconds(30))};
  EXPECT_EQ(last_chance(kStart, Milliseconds(0), durations), std::nullopt);
  EXPECT_EQ(last_chance(kStart, hours(1), durations), kStart + hours(1) - seconds(180));
  EXPECT_EQ(last_chance(kStart, hours(1), {}), kStart + hours(1) - seconds(10));
  EXPECT_EQ(last_chance(kStart, hours(1), durations, minutes(5)), kStart + hours(1) - minutes(5));
  EXPECT_EQ(last_chance(kStart, seconds(6), durations), kStart + seconds(3));
}

}  // namespace
}  // namespace cacs::checkpoint
