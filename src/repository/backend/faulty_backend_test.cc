#include "repository/backend/faulty_backend.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "repository/backend/fake_clock.h"
#include "repository/backend/memory_backend.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

class FaultyBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<FaultyBackend> make(std::uint64_t seed, const Faults& faults) {
    return std::make_unique<FaultyBackend>(make_memory_backend(store_), seed, faults, clock_);
  }
  static std::string listed(Backend& backend) {
    std::string names;
    EXPECT_OK(backend.list("", [&](const ObjectInfo& info) -> Status {
      names += info.name + ":" + std::to_string(info.size) + " ";
      return {};
    }));
    return names;
  }

  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
};

TEST_F(FaultyBackendTest, IsTheSameForTheSameSeed) {
  const auto history = [&](std::uint64_t seed) {
    const auto backend = make(seed, {.error = 0.3, .lost_answer = 0.2});
    std::string answers;
    for (int i = 0; i < 200; ++i) {
      const auto status = i % 3 == 0 ? backend->remove("a") : put_object(*backend, "a", {}, Overwrite::kYes);
      answers += status ? "." : std::string(error_code_name(status.error().code)).substr(0, 1);
    }
    static_cast<void>(store_->remove("a"));
    return answers;
  };
  const auto once = history(1);
  EXPECT_EQ(once, history(1));
  EXPECT_NE(once, history(2));
  for (const char answer : {'.', 'u', 't'}) EXPECT_GT(std::ranges::count(once, answer), 20) << answer;
}

TEST_F(FaultyBackendTest, AnErrorHasNoEffectAndALostAnswerHas) {
  const auto failing = make(1, {.error = 1});
  EXPECT_CODE(failing->create("a", Overwrite::kNo), ErrorCode::kUnavailable);
  const auto backend = make(1, {});
  auto writer = backend->create("a", Overwrite::kNo);
  ASSERT_OK(writer);
  backend->fail_at(2, ErrorCode::kUnavailable);
  ASSERT_OK((*writer)->append({}));
  EXPECT_CODE((*writer)->commit(), ErrorCode::kUnavailable);
  EXPECT_CODE((*writer)->commit(), ErrorCode::kInternal);
  EXPECT_EQ(store_->get("a"), nullptr);
  backend->fail_at(3, ErrorCode::kTimeout, true);
  EXPECT_CODE(put_object(*backend, "a", {}, Overwrite::kNo), ErrorCode::kTimeout);
  EXPECT_NE(store_->get("a"), nullptr);
  backend->fail_at(1, ErrorCode::kTimeout, true);
  EXPECT_CODE(backend->remove("a"), ErrorCode::kTimeout);
  EXPECT_EQ(store_->get("a"), nullptr);
}

TEST_F(FaultyBackendTest, IgnoresConditions) {
  const auto backend = make(1, {.ignore_conditions = true});
  EXPECT_FALSE(backend->traits().exclusive_create);
  ASSERT_OK(put_object(*backend, "a", object_bytes(1, 1), Overwrite::kNo));
  ASSERT_OK(put_object(*backend, "a", object_bytes(2, 1), Overwrite::kNo));
  EXPECT_EQ(store_->get("a")->size(), 2U);
}

TEST_F(FaultyBackendTest, ListsLate) {
  const auto backend = make(1, {.late_listing = 3});
  EXPECT_FALSE(backend->traits().current_listing);
  ASSERT_OK(put_object(*make_memory_backend(store_), "old", object_bytes(1, 1), Overwrite::kNo));
  ASSERT_OK(put_object(*backend, "a", object_bytes(1, 1), Overwrite::kNo));
  EXPECT_EQ(listed(*backend), "old:1 ");
  EXPECT_OK(backend->size("a"));  // by name it is there at once
  EXPECT_EQ(listed(*backend), "a:1 old:1 ");
  ASSERT_OK(put_object(*backend, "a", object_bytes(2, 1), Overwrite::kYes));
  ASSERT_OK(backend->remove("old"));
  EXPECT_EQ(listed(*backend), "a:1 old:1 ");
  EXPECT_EQ(listed(*backend), "a:2 old:1 ");
  EXPECT_EQ(listed(*backend), "a:2 ");
  EXPECT_EQ(listed(*backend), "a:2 ");
}

TEST_F(FaultyBackendTest, BreaksListingsAndIsSlow) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK(put_object(*make_memory_backend(store_), std::to_string(i), {}, Overwrite::kNo));
  }
  const auto backend = make(1, {.broken_list = 1, .slow = 1, .delay = std::chrono::seconds(2)});
  std::size_t shown = 0;
  for (int i = 0; i < 10; ++i) {
    EXPECT_CODE(backend->list("",
                              [&](const ObjectInfo&) -> Status {
                                ++shown;
                                return {};
                              }),
                ErrorCode::kUnavailable);
  }
  EXPECT_GT(shown, 20U);
  EXPECT_LT(shown, 180U);
  EXPECT_EQ(clock_->now(), std::chrono::seconds(20));
}

}  // namespace
}  // namespace cacs::repository
