#include "repository/backend/limited_backend.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "repository/backend/fake_clock.h"
#include "repository/backend/memory_backend.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

using std::chrono::milliseconds;

class LimitedBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> make(LimitOptions options) {
    options.clock = clock_;
    return make_limited_backend(make_memory_backend(store_), std::move(options));
  }
  /// How long `body` took, in milliseconds of the clock, rounded.
  template <typename Body>
  std::int64_t took(const Body& body) {
    const auto begin = clock_->now();
    body();
    return std::chrono::round<milliseconds>(clock_->now() - begin).count();
  }
  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
};

TEST_F(LimitedBackendTest, WritesAtItsRateAfterABurst) {
  const auto backend = make({.upload_rate = 1'000'000, .burst = 500'000});
  const auto put = [&](std::size_t bytes) {
    EXPECT_OK(put_object(*backend, "a", object_bytes(bytes, 1), Overwrite::kYes));
  };
  EXPECT_EQ(took([&] { put(500'000); }), 0);
  EXPECT_EQ(took([&] { put(3'000'000); }), 3000);
  EXPECT_EQ(took([&] {
              for (int i = 0; i < 100; ++i) put(10'000);
            }),
            1000);
  static_cast<void>(clock_->sleep_for(std::chrono::hours(1), {}));
  EXPECT_EQ(took([&] { put(700'000); }), 200) << "a long pause saves up no more than a burst";
  EXPECT_EQ(took([&] { put(0); }), 0);
}

TEST_F(LimitedBackendTest, ReadsAtItsRateAndPaysForWhatThereIs) {
  const auto backend = make({.download_rate = 1'000'000, .burst = 1000});
  EXPECT_EQ(took([&] { EXPECT_OK(put_object(*backend, "a", object_bytes(1'000'000, 1), Overwrite::kNo)); }), 0);
  std::vector<std::byte> out(2'000'000);
  const auto read = [&](const char* name, std::uint64_t offset, std::size_t length) {
    return took([&] { static_cast<void>(backend->read(name, offset, std::span(out).first(length)).ok()); });
  };
  EXPECT_EQ(read("a", 0, 501'000), 0);
  EXPECT_EQ(read("a", 900'000, 2'000'000), 500) << "for the one before";
  EXPECT_EQ(read("b", 0, 2'000'000), 100) << "for what there was";
  EXPECT_EQ(read("a", 0, 300'000), 0) << "nothing was found";
  EXPECT_EQ(read("a", 0, 1), 300);
}

TEST_F(LimitedBackendTest, ManyThreadsShareTheRate) {
  const auto backend = make({.upload_rate = 1'000'000, .burst = 1});
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_OK(put_object(*backend, std::to_string(t), object_bytes(10'000, 1), Overwrite::kYes));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_GE(clock_->now(), std::chrono::milliseconds(3999));  // 4 MB
}

TEST_F(LimitedBackendTest, WithoutLimitsNothingWaits) {
  const auto backend = make({});
  EXPECT_EQ(took([&] {
              EXPECT_OK(put_object(*backend, "a", object_bytes(10'000'000, 1), Overwrite::kNo));
              EXPECT_OK(get_object(*backend, "a", 10'000'000));
            }),
            0);
}

/// Counts who is in it at once, and keeps everybody until as many have come as were asked for.
class Gate final : public Backend {
 public:
  Gate(std::unique_ptr<Backend> inner, unsigned wanted) : inner_(std::move(inner)), wanted_(wanted) {}
  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    return inner_->create(name, overwrite);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++inside_);
    ++came_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return came_ >= wanted_; });
    --inside_;
    return inner_->read(name, offset, out);
  }
  Result<std::uint64_t> size(const std::string& name) override { return inner_->size(name); }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    return inner_->list(prefix, visitor);
  }
  Status remove(const std::string& name) override { return inner_->remove(name); }
  [[nodiscard]] const BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }
  unsigned most() {
    const std::scoped_lock lock(mutex_);
    return most_;
  }

 private:
  std::unique_ptr<Backend> inner_;
  unsigned wanted_;
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned inside_ = 0;
  unsigned came_ = 0;
  unsigned most_ = 0;
};

TEST_F(LimitedBackendTest, NoMoreRequestsThanThatAreUnderWay) {
  ASSERT_OK(put_object(*make_memory_backend(store_), "a", object_bytes(10, 1), Overwrite::kNo));
  auto gate = std::make_unique<Gate>(make_memory_backend(store_), 3);
  Gate& watched = *gate;
  const auto backend = make_limited_backend(std::move(gate), {.requests = 3});
  std::vector<std::thread> threads;
  for (int t = 0; t < 10; ++t) {
    threads.emplace_back([&] {
      std::vector<std::byte> out(10);
      EXPECT_OK(backend->read("a", 0, out));
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(watched.most(), 3U);
}

TEST_F(LimitedBackendTest, OneThreadMayNestWithOneRequestAllowed) {
  const auto backend = make({.requests = 1});
  auto first = backend->create("a", Overwrite::kNo);
  auto second = backend->create("b", Overwrite::kNo);
  ASSERT_OK(first);
  ASSERT_OK(second);
  ASSERT_OK((*first)->commit());
  ASSERT_OK((*second)->commit());
  int removed = 0;
  ASSERT_OK(backend->list("", [&](const ObjectInfo& info) -> Status {
    ++removed;
    return backend->remove(info.name);
  }));
  EXPECT_EQ(removed, 2);
}

}  // namespace
}  // namespace cacs::repository
