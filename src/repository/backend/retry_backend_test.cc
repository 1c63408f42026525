#include "repository/backend/retry_backend.h"

#include <gtest/gtest.h>

#include <set>

#include "repository/backend/fake_clock.h"
#include "repository/backend/faulty_backend.h"
#include "repository/backend/memory_backend.h"
#include "repository/backend/replay_buffer.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RetryBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> make(const Faults& faults = {}, RetryOptions options = {}) {
    auto faulty = std::make_unique<FaultyBackend>(make_memory_backend(store_), 1, faults, clock_);
    faulty_ = faulty.get();
    options.clock = clock_;
    if (!options.random) options.random = [] { return 1.0; };
    if (!options.on_retry) {
      options.on_retry = [this](const Error&, std::chrono::nanoseconds delay) { delays_.push_back(delay); };
    }
    return make_retry_backend(std::move(faulty), std::move(options));
  }
  bool holds(const std::string& name, const std::vector<std::byte>& bytes) {
    const auto object = store_->get(name);
    return object && *object == bytes;
  }

  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  std::vector<std::chrono::nanoseconds> delays_;
  FaultyBackend* faulty_ = nullptr;
  TemporaryDirectory directory_;
};

TEST_F(RetryBackendTest, WaitsTwiceAsLongEachTimeUpToABound) {
  const auto backend = make({.error = 1}, {.attempts = 7,
                                           .first_delay = milliseconds(100),
                                           .longest_delay = milliseconds(900),
                                           .give_up_after = seconds(60)});
  const auto failed = backend->size("a");
  EXPECT_CODE(failed, ErrorCode::kUnavailable);
  EXPECT_NE(failed.error().message.find("7 attempts"), std::string::npos) << failed.error().message;
  EXPECT_EQ(faulty_->operations(), 7U);
  EXPECT_EQ(delays_, (std::vector<std::chrono::nanoseconds>{milliseconds(100), milliseconds(200), milliseconds(400),
                                                            milliseconds(800), milliseconds(900), milliseconds(900)}));
}

TEST_F(RetryBackendTest, WaitsARandomPartOfThat) {
  double next = 0;
  const auto backend = make({.error = 1}, {.attempts = 4, .first_delay = milliseconds(100), .random = [&] {
                                             next += 0.25;
                                             return next;
                                           }});
  EXPECT_CODE(backend->remove("a"), ErrorCode::kUnavailable);
  EXPECT_EQ(delays_, (std::vector<std::chrono::nanoseconds>{milliseconds(25), milliseconds(100), milliseconds(300)}));
}

TEST_F(RetryBackendTest, ItsOwnRandomWaitsDiffer) {
  RetryOptions options{.attempts = 50, .first_delay = seconds(1), .longest_delay = seconds(1)};
  options.give_up_after = seconds(1000);
  options.clock = clock_;
  std::set<std::chrono::nanoseconds> delays;
  options.on_retry = [&](const Error&, std::chrono::nanoseconds delay) { delays.insert(delay); };
  const auto backend = make_retry_backend(
      std::make_unique<FaultyBackend>(make_memory_backend(store_), 1, Faults{.error = 1}), std::move(options));
  EXPECT_CODE(backend->size("a"), ErrorCode::kUnavailable);
  EXPECT_GT(delays.size(), 45U);
  EXPECT_LT(*delays.begin(), milliseconds(300));
  EXPECT_GT(*delays.rbegin(), milliseconds(700));
}

TEST_F(RetryBackendTest, GivesUpAfterATime) {
  const auto backend =
      make({.error = 1, .slow = 1, .delay = seconds(3)},
           {.attempts = 1000, .first_delay = seconds(1), .longest_delay = seconds(2), .give_up_after = seconds(20)});
  EXPECT_CODE(backend->size("a"), ErrorCode::kUnavailable);
  EXPECT_GE(clock_->now(), seconds(20));
  EXPECT_LE(clock_->now(), seconds(26));
}

TEST_F(RetryBackendTest, StopsWhenTold) {
  std::stop_source stop;
  RetryOptions options{.attempts = 10, .stop = stop.get_token()};
  options.on_retry = [&](const Error&, std::chrono::nanoseconds) { stop.request_stop(); };
  const auto backend = make({.error = 1}, std::move(options));
  EXPECT_CODE(backend->size("a"), ErrorCode::kUnavailable);
  EXPECT_EQ(faulty_->operations(), 1U);
}

TEST_F(RetryBackendTest, TriesAgainOnlyWhatPasses) {
  for (const ErrorCode code : {ErrorCode::kNotFound, ErrorCode::kConflict, ErrorCode::kPermission, ErrorCode::kNoSpace,
                               ErrorCode::kCorrupt, ErrorCode::kIo, ErrorCode::kInvalidArgument}) {
    const auto backend = make({.error = 1, .code = code});
    EXPECT_CODE(backend->size("a"), code);
    EXPECT_CODE(backend->remove("a"), code);
    EXPECT_CODE(backend->create("a", Overwrite::kNo), code);
    EXPECT_EQ(faulty_->operations(), 3U);
  }
  EXPECT_TRUE(delays_.empty());
}

/// Whichever operation of writing an object fails, by an error or a lost answer, it is there in the end, once.
TEST_F(RetryBackendTest, WritesAnewWhateverFails) {
  const auto bytes = object_bytes(3'000'000, 1);
  for (const Overwrite overwrite : {Overwrite::kNo, Overwrite::kYes}) {
    for (const bool lost : {false, true}) {
      for (std::uint64_t at = 1;; ++at) {
        SCOPED_TRACE(at);
        static_cast<void>(store_->remove("a"));
        const auto backend = make({}, {.memory_bytes = 1'000'000, .spool_directory = directory_.path()});
        faulty_->fail_at(at, lost ? ErrorCode::kTimeout : ErrorCode::kUnavailable, lost);
        auto writer = backend->create("a", overwrite);
        ASSERT_OK(writer);
        for (std::size_t i = 0; i < 3; ++i) {
          ASSERT_OK((*writer)->append(std::span(bytes).subspan(i * 1'000'000, 1'000'000)));
        }
        ASSERT_OK((*writer)->commit());
        EXPECT_TRUE(holds("a", bytes));
        if (faulty_->operations() < at) break;
        EXPECT_GT(faulty_->operations(), at);
      }
    }
  }
  EXPECT_GE(delays_.size(), 2U * (5 + 4));  // create's answer cannot be lost
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(RetryBackendTest, AConflictAfterALostAnswerIsSuccessOnlyIfTheBytesAreOurs) {
  const auto bytes = object_bytes(5000, 1);
  {
    const auto backend = make();
    ASSERT_OK(put_object(*backend, "taken", bytes, Overwrite::kNo));
    EXPECT_CODE(put_object(*backend, "taken", bytes, Overwrite::kNo), ErrorCode::kConflict);  // no answer was lost
  }
  for (const std::size_t other_size : {std::size_t{4999}, std::size_t{5000}, std::size_t{5001}}) {
    // The answer to a commit that was refused is lost too: another client has created it.
    const auto other = object_bytes(other_size, 2);
    static_cast<void>(store_->remove("a"));
    const auto backend = make();
    auto writer = backend->create("a", Overwrite::kNo);
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->append(bytes));
    ASSERT_OK(put_object(*make_memory_backend(store_), "a", other, Overwrite::kNo));
    faulty_->fail_at(1, ErrorCode::kTimeout);
    EXPECT_CODE((*writer)->commit(), ErrorCode::kConflict);
    EXPECT_TRUE(holds("a", other));
  }
}

TEST_F(RetryBackendTest, WhatIsTooLongToBeKeptFailsOnceAndIsNotTorn) {
  const auto bytes = object_bytes(3000, 1);
  for (const bool spool : {false, true}) {
    for (std::uint64_t at = 3; at <= 5; ++at) {
      RetryOptions options{.memory_bytes = 1000};
      if (spool) options.spool_directory = directory_.path();
      options.spool_bytes = 500;
      const auto backend = make({}, std::move(options));
      faulty_->fail_at(at, ErrorCode::kUnavailable);
      auto writer = backend->create("a", Overwrite::kNo);
      ASSERT_OK(writer);
      Status status;
      for (std::size_t i = 0; i < 3 && status; ++i) {
        status = (*writer)->append(std::span(bytes).subspan(i * 1000, 1000));
      }
      if (status) status = (*writer)->commit();
      EXPECT_CODE(status, ErrorCode::kUnavailable);
      EXPECT_CODE((*writer)->commit(), ErrorCode::kInternal);
      EXPECT_EQ(store_->get("a"), nullptr);
    }
  }
  EXPECT_TRUE(delays_.empty());
}

TEST_F(RetryBackendTest, ARemovalThatTookPlaceIsSuccess) {
  const auto backend = make();
  ASSERT_OK(put_object(*backend, "a", {}, Overwrite::kNo));
  faulty_->fail_at(1, ErrorCode::kTimeout, true);
  EXPECT_OK(backend->remove("a"));
  EXPECT_CODE(backend->remove("a"), ErrorCode::kNotFound);
}

TEST_F(RetryBackendTest, AListingThatBreaksIsPassedOnOnceAndWhole) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(put_object(*make_memory_backend(store_), "packs/" + std::to_string(i), {}, Overwrite::kNo));
  }
  const auto backend = make({.broken_list = 0.7}, {.attempts = 100, .give_up_after = seconds(10'000)});
  for (int round = 0; round < 10; ++round) {
    std::multiset<std::string> names;
    ASSERT_OK(backend->list("packs/", [&](const ObjectInfo& info) -> Status {
      names.insert(info.name);
      return {};
    }));
    EXPECT_EQ(names.size(), 50U);
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 50U);
  }
  EXPECT_FALSE(delays_.empty());
  // An error of the visitor is no failure of the store.
  delays_.clear();
  EXPECT_CODE(backend->list("", [](const ObjectInfo&) -> Status { return make_error(ErrorCode::kUnavailable, "x"); }),
              ErrorCode::kUnavailable);
}

TEST_F(RetryBackendTest, RandomFaultsAreNotSeenAbove) {
  const auto backend =
      make({.error = 0.2, .lost_answer = 0.2, .broken_list = 0.2}, {.attempts = 60, .give_up_after = seconds(100'000)});
  std::mt19937_64 random(3);
  std::map<std::string, std::vector<std::byte>> model;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const std::string name = "o" + std::to_string(random() % 10);
    const auto bytes = object_bytes(random() % 3000, i);
    switch (random() % 4) {
      case 0: {
        const auto status = put_object(*backend, name, bytes, Overwrite::kNo);
        EXPECT_EQ(status.ok(), !model.contains(name));
        if (status) model[name] = bytes;
        break;
      }
      case 1:
        ASSERT_OK(put_object(*backend, name, bytes, Overwrite::kYes));
        model[name] = bytes;
        break;
      case 2: {
        // Where nothing is, an attempt that failed may have removed it for all that is known.
        const auto status = backend->remove(name);
        EXPECT_TRUE(status.ok() || (status.error().code == ErrorCode::kNotFound && !model.contains(name)));
        model.erase(name);
        break;
      }
      default: {
        const auto got = get_object(*backend, name, 3000);
        ASSERT_EQ(got.ok(), model.contains(name));
        if (got) {
          EXPECT_TRUE(*got == model[name]);
        }
      }
    }
  }
  EXPECT_GT(delays_.size(), 500U);
}

TEST(ReplayBuffer, GivesBackWhatItGotAcrossMemoryAndFile) {
  const TemporaryDirectory directory;
  const auto bytes = object_bytes(5'000'000, 1);
  for (const std::size_t memory : {0U, 1U, 1'000'000U, 4'999'999U, 5'000'000U}) {
    ReplayBuffer buffer(memory, directory.path(), 5'000'000);
    std::mt19937_64 random(memory);
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t count = std::min<std::size_t>(random() % 700'000, bytes.size() - at);
      buffer.append(std::span(bytes).subspan(at, count));
      at += count;
    }
    EXPECT_TRUE(buffer.whole());
    EXPECT_EQ(buffer.size(), bytes.size());
    for (int round = 0; round < 2; ++round) {
      std::vector<std::byte> back;
      EXPECT_OK(buffer.replay([&](std::span<const std::byte> piece) -> Status {
        EXPECT_LE(piece.size(), 1U << 20U);
        back.insert(back.end(), piece.begin(), piece.end());
        return {};
      }));
      EXPECT_TRUE(back == bytes);
    }
  }
}

}  // namespace
}  // namespace cacs::repository
