#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "repository/codec/compression_policy.h"

namespace cacs::repository {
namespace {

TEST(CompressionPolicyThreads, ManyChooseAndTellAtOnce) {
  constexpr std::size_t kSegment = 65536;
  constexpr int kThreads = 4;
  constexpr int kSegments = 2000;
  CompressionPolicy policy;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&policy, t] {
      const std::vector<std::byte> sample(4096, static_cast<std::byte>(t));
      for (int i = 0; i < kSegments; ++i) {
        const auto choice = policy.choose(static_cast<DataStream>(t % 3), kSegment, sample);
        policy.compressed(choice, kSegment, kSegment / 10, 1e-4);
        policy.prepared(kSegment, 1e-5);
        policy.uploaded(kSegment / 10, 1e-4);
        static_cast<void>(policy.report());
        static_cast<void>(policy.estimate(choice.stream, choice.texture, choice.candidate));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t chosen = 0;
  for (const auto count : policy.report().chosen) chosen += count;
  EXPECT_EQ(chosen, std::uint64_t{kThreads} * kSegments);
}

}  // namespace
}  // namespace cacs::repository
