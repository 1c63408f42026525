#include "repository/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "repository/test_support.h"

namespace cacs::repository {
namespace {

using namespace std::chrono_literals;

constexpr GateTurns kShort{.first = 5ms, .longest = 40ms};

/// Both kinds; a gate of a directory is opened by each user for itself, as by another process.
class GateTest : public testing::TestWithParam<bool> {
 public:
  std::shared_ptr<Gate> open(GateTurns turns = kShort) {
    if (GetParam()) return make_file_gate(directory_.path(), turns);
    if (!process_) process_ = make_process_gate(turns);
    return process_;
  }

 private:
  TemporaryDirectory directory_;
  std::shared_ptr<Gate> process_;
};

TEST_P(GateTest, WritersAreManyAndACollectorIsAlone) {
  const auto gate = open();
  auto first = gate->enter(GateMode::kShared, GateWait::kBlock);
  auto second = open()->enter(GateMode::kShared, GateWait::kFail);
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(open()->enter(GateMode::kExclusive, GateWait::kFail).error().code, ErrorCode::kUnavailable);
  first->reset();
  EXPECT_EQ(open()->enter(GateMode::kExclusive, GateWait::kFail).error().code, ErrorCode::kUnavailable);
  second->reset();
  auto alone = open()->enter(GateMode::kExclusive, GateWait::kFail);
  ASSERT_TRUE(alone.ok());
  EXPECT_EQ(gate->enter(GateMode::kShared, GateWait::kFail).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(gate->enter(GateMode::kExclusive, GateWait::kFail).error().code, ErrorCode::kUnavailable);
  alone->reset();
  EXPECT_TRUE(gate->enter(GateMode::kShared, GateWait::kFail).ok());
}

TEST_P(GateTest, ACollectorGetsInThoughThereIsAlwaysAWriter) {
  // The next writer is in before the one before it leaves: nobody ever sees the gate free.
  constexpr GateTurns kLonger{.first = 300ms, .longest = 600ms};
  const auto gate = open(kLonger);
  std::atomic<bool> collected = false;
  std::atomic<int> entered = 0;
  const auto write = [&] {
    const auto own = open(kLonger);
    while (!collected) {
      const auto pass = own->enter(GateMode::kShared, GateWait::kBlock);
      ASSERT_TRUE(pass.ok());
      const int before = ++entered;
      // Until another came, or is kept out.
      for (int i = 0; i < 100 && entered == before && !collected; ++i) std::this_thread::sleep_for(1ms);
    }
  };
  std::jthread one(write);
  std::jthread two(write);
  while (entered < 10) std::this_thread::sleep_for(1ms);
  const auto pass = open(kLonger)->enter(GateMode::kExclusive, GateWait::kBlock);
  EXPECT_TRUE(pass.ok());
  collected = true;
}

TEST_P(GateTest, AWriterThatAnotherWaitsForIsNotKeptOutForEver) {
  const auto gate = open();
  auto outer = gate->enter(GateMode::kShared, GateWait::kBlock);
  ASSERT_TRUE(outer.ok());
  std::atomic<bool> in = false;
  std::jthread collector([&] {
    const auto pass = open()->enter(GateMode::kExclusive, GateWait::kBlock);
    EXPECT_TRUE(pass.ok());
    in = true;
  });
  for (int i = 0; i < 50; ++i) {  // again and again while the collector has its turns
    const auto inner = gate->enter(GateMode::kShared, GateWait::kBlock);
    ASSERT_TRUE(inner.ok());
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_FALSE(in);
  outer->reset();
  collector.join();
  EXPECT_TRUE(in);
}

TEST_P(GateTest, TwoCollectorsThatWaitBothGetIn) {
  const auto gate = open();
  auto writer = gate->enter(GateMode::kShared, GateWait::kBlock);
  ASSERT_TRUE(writer.ok());
  std::atomic<int> inside = 0;
  std::vector<std::jthread> collectors(2);
  for (auto& each : collectors) {
    each = std::jthread([&] {
      const auto pass = open()->enter(GateMode::kExclusive, GateWait::kBlock);
      ASSERT_TRUE(pass.ok());
      EXPECT_EQ(++inside, 1);
      std::this_thread::sleep_for(5ms);
      --inside;
    });
  }
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(inside, 0);
  writer->reset();
}

TEST_P(GateTest, ACollectorThatWaitsCanBeStopped) {
  const auto gate = open();
  auto writer = gate->enter(GateMode::kShared, GateWait::kBlock);
  ASSERT_TRUE(writer.ok());
  std::stop_source stop;
  std::jthread collector([&] {
    const auto pass = open()->enter(GateMode::kExclusive, GateWait::kBlock, stop.get_token());
    ASSERT_FALSE(pass.ok());
    EXPECT_EQ(pass.error().code, ErrorCode::kAborted);
  });
  std::this_thread::sleep_for(20ms);
  stop.request_stop();
  collector.join();
  EXPECT_TRUE(gate->enter(GateMode::kShared, GateWait::kBlock).ok());
  writer->reset();
  EXPECT_TRUE(gate->enter(GateMode::kExclusive, GateWait::kFail).ok());
}

INSTANTIATE_TEST_SUITE_P(Gates, GateTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Directory" : "Process"; });

}  // namespace
}  // namespace cacs::repository
