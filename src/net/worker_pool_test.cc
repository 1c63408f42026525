#include "net/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

namespace cacs::net {
namespace {

TEST(WorkerPool, RefusesWhatDoesNotFit) {
  std::latch started(2);
  std::latch release(1);
  std::atomic<int> done = 0;
  WorkerPool pool(2, 1);
  const auto task = [&] {
    started.count_down();
    release.wait();
    ++done;
  };
  ASSERT_TRUE(pool.submit(task));
  ASSERT_TRUE(pool.submit(task));
  started.wait();
  EXPECT_TRUE(pool.submit([&] { ++done; }));
  EXPECT_FALSE(pool.submit([&] { ++done; }));
  release.count_down();
  pool.stop();
  EXPECT_EQ(done, 3);
  EXPECT_FALSE(pool.submit([&] { ++done; }));
}

TEST(WorkerPool, RunsAllThatItTook) {
  std::atomic<int> done = 0;
  int taken = 0;
  {
    WorkerPool pool(4, 64);
    for (int i = 0; i < 1'000; ++i) {
      if (pool.submit([&] { ++done; })) ++taken;
    }
  }
  EXPECT_EQ(done, taken);
  EXPECT_GE(taken, 64);
}

}  // namespace
}  // namespace cacs::net
