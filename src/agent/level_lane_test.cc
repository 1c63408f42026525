#include "agent/level_lane.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>

#include "base/io.h"
#include "base/uuid.h"
#include "repository/levels/open_place.h"
#include "repository/unlock.h"

namespace cacs::agent {
namespace {

using repository::Manifest;
using repository::Repository;
using namespace std::chrono_literals;

#define ASSERT_OK(expression)                                                   \
  do {                                                                          \
    const auto& assert_ok_status = (expression);                                \
    ASSERT_TRUE(assert_ok_status.ok()) << assert_ok_status.error().to_string(); \
  } while (false)

const std::string kFirst = "01900000-0000-7000-8000-000000000001";
const std::string kSecond = "01900000-0000-7000-8000-000000000002";

/// A node's repository, and a directory for its remote level that can be away.
class LevelLaneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(directory_);
    auto repository = repository::open_or_create_local(directory_ / "repository", directory_ / "key");
    ASSERT_OK(repository);
    repository_ = *std::move(repository);
    const auto place = repository::remote_place((directory_ / "far").string(), {});
    ASSERT_OK(place);
    const auto guarded = [this, connect = place->connect]() -> Result<std::unique_ptr<repository::Backend>> {
      if (away_) {
        ++tries_;
        tries_.notify_all();
        return make_error(ErrorCode::kUnavailable, "the store does not answer");
      }
      return connect();
    };
    levels_ = std::make_unique<repository::Levels>(
        *repository_, std::make_shared<repository::RemoteLevel>(
                          repository_->core(), repository::RemotePlace{.connect = guarded, .name = place->name}));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void commit(const std::string& id, bool far) {
    const auto writer = repository_->begin("test");
    ASSERT_OK(writer);
    const auto blob = (*writer)->put_bytes("what " + id + " holds");
    ASSERT_OK(blob);
    ASSERT_OK((*writer)->commit(
        {.checkpoint = id, .application = "app", .meta = {{"far", far}}, .entries = {{"entry", *blob}}}));
  }

  std::unique_ptr<LevelLane> lane() {
    return std::make_unique<LevelLane>(
        *levels_, LevelLaneOptions{.wanted = [](const Manifest& head) { return json_bool_or(head.meta, "far", false); },
                                   .changed =
                                       [this](const std::string& checkpoint) {
                                         const std::lock_guard lock(mutex_);
                                         ++told_[checkpoint];
                                         changed_.notify_all();
                                       },
                                   .first_wait = 5ms,
                                   .longest_wait = 20ms});
  }
  bool wait_until_told(const std::string& checkpoint) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 60s, [&] { return told_.contains(checkpoint); });
  }
  [[nodiscard]] std::vector<std::string> levels_of(const std::string& checkpoint) const {
    const auto levels = levels_->levels_of(checkpoint);
    return levels ? *levels : std::vector<std::string>{levels.error().to_string()};
  }

  const std::filesystem::path directory_ = std::filesystem::temp_directory_path() / ("cacs-lane-" + new_uuid());
  std::unique_ptr<Repository> repository_;
  std::unique_ptr<repository::Levels> levels_;
  std::atomic<bool> away_ = false;
  std::atomic<int> tries_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> told_;
};

const std::vector<std::string> kBoth = {"local", "remote"};
const std::vector<std::string> kLocalOnly = {"local"};

TEST_F(LevelLaneTest, WhatAnEarlierAgentLeftIsFoundAtTheStart) {
  commit(kFirst, true);
  commit(kSecond, false);
  const auto lane_of_test = lane();
  ASSERT_TRUE(wait_until_told(kFirst));
  EXPECT_EQ(levels_of(kFirst), kBoth);
  EXPECT_EQ(levels_of(kSecond), kLocalOnly);
}

TEST_F(LevelLaneTest, ALaterStartTellsWhatHasBeenReached) {
  commit(kFirst, true);
  { ASSERT_OK(levels_->copy(kFirst)); }
  away_ = true;  // nothing has to be asked
  const auto lane_of_test = lane();
  EXPECT_TRUE(wait_until_told(kFirst));
}

TEST_F(LevelLaneTest, ANewCheckpointIsCopiedWhenTheStoreIsBack) {
  away_ = true;
  const auto lane_of_test = lane();
  commit(kFirst, true);
  lane_of_test->copy(kFirst);
  for (int seen = tries_; seen < 3; seen = tries_) tries_.wait(seen);
  EXPECT_EQ(levels_of(kFirst), kLocalOnly);
  EXPECT_TRUE(lane_of_test->view().at("problem").is_string());
  away_ = false;
  ASSERT_TRUE(wait_until_told(kFirst));
  EXPECT_EQ(levels_of(kFirst), kBoth);
}

TEST_F(LevelLaneTest, ADeletedCheckpointIsNotCopiedAndTheOthersAre) {
  away_ = true;
  const auto lane_of_test = lane();
  commit(kFirst, true);
  commit(kSecond, true);
  lane_of_test->copy(kFirst);
  lane_of_test->copy(kSecond);
  for (int seen = tries_; seen < 2; seen = tries_) tries_.wait(seen);
  ASSERT_OK(levels_->remove(kFirst));
  lane_of_test->remove(kFirst);
  away_ = false;
  ASSERT_TRUE(wait_until_told(kSecond));
  EXPECT_EQ(levels_of(kSecond), kBoth);
  EXPECT_TRUE(levels_of(kFirst).empty());
  const std::lock_guard lock(mutex_);
  EXPECT_FALSE(told_.contains(kFirst));
}

TEST_F(LevelLaneTest, ItEndsWhileItWaits) {
  away_ = true;
  commit(kFirst, true);
  {
    const auto lane_of_test = lane();
    for (int seen = tries_; seen < 1; seen = tries_) tries_.wait(seen);
  }
  EXPECT_EQ(levels_of(kFirst), kLocalOnly);
}

}  // namespace
}  // namespace cacs::agent
