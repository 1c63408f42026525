#include "repository/codec/compression_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace cacs::repository {
namespace {

constexpr std::size_t kSegment = std::size_t{256} << 10U;
constexpr std::size_t kWays = kCompressionWays.size();

/// What compressing and storing truly take: of one kind of data and one store.
struct World {
  std::array<double, kWays> seconds{};  ///< a raw byte
  std::array<double, kWays> ratio{};
  double upload = 0;  ///< seconds a stored byte
  double noise = 0;   ///< of each compression: up to so many times longer

  [[nodiscard]] double cost(std::size_t way) const { return seconds.at(way) + ratio.at(way) * upload; }
};

/// From the slowest network to a disk as fast as sealing, from what does not shrink to zeros: each way slower than the
/// one before, and mostly smaller.
World random_world(std::mt19937_64& random) {
  const auto between = [&](double low, double high) {
    return low * std::pow(high / low, std::uniform_real_distribution<>(0, 1)(random));
  };
  World world;
  world.upload = between(0.4e-9, 200e-9);
  world.seconds[0] = 0.05e-9;
  world.ratio[0] = 1;
  world.seconds[1] = between(0.3e-9, 4e-9);
  world.ratio[1] = between(0.05, 1);
  for (std::size_t way = 2; way < kWays; ++way) {
    world.seconds[way] = world.seconds[way - 1] * between(1.1, 3.5);
    world.ratio[way] = std::min(1.0, world.ratio[way - 1] * between(0.7, 1.02));
  }
  world.noise = between(0.01, 1);
  return world;
}

/// Seconds of storing so many segments as the policy says.
double run(CompressionPolicy& policy, const World& world, std::size_t segments, std::mt19937_64& random) {
  double total = 0;
  double commit = 0;
  for (std::size_t i = 0; i < segments; ++i) {
    const std::size_t way = policy.choose(0, kSegment);
    const double late = 1 + world.noise * std::pow(std::uniform_real_distribution<>(0, 1)(random), 8);
    const double compress = world.seconds.at(way) * late * kSegment;
    const double stored = world.ratio.at(way) * kSegment;
    policy.compressed(0, way, kSegment, static_cast<std::size_t>(stored), compress);
    policy.uploaded(static_cast<std::size_t>(stored), 0.7 * stored * world.upload);
    commit += 0.3 * stored * world.upload;  // the rest shows at the end of a pack
    if (i % 128 == 127) policy.uploaded(0, std::exchange(commit, 0));
    total += compress + stored * world.upload;
  }
  return total;
}

/// The same with one way.
double run_fixed(const World& world, std::size_t way, std::size_t segments) {
  const double late = 1 + world.noise / 9;  // the mean of what run() draws
  return static_cast<double>(segments) * kSegment * (world.seconds.at(way) * late + world.ratio.at(way) * world.upload);
}

TEST(CompressionPolicyTest, IsNeverMuchSlowerThanTheBetterOfAlwaysAndNever) {
  std::vector<double> ratios;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    std::mt19937_64 random(seed);
    const World world = random_world(random);
    CompressionPolicy policy(1, 1 / 300e6);
    constexpr std::size_t kSegments = 4096;  // 1 GiB
    const double mixed = run(policy, world, kSegments, random);
    const double better = std::min(run_fixed(world, 0, kSegments), run_fixed(world, 2, kSegments));
    ratios.push_back(mixed / better);
    EXPECT_LT(mixed, 1.05 * better) << "seed " << seed << ", store " << 1e-6 / world.upload << " MB/s";
  }
  std::ranges::sort(ratios);
  EXPECT_LT(ratios[ratios.size() / 2], 1.0) << "and mostly it is faster than both";
}

TEST(CompressionPolicyTest, ComesToTheBestWayThatANeighbourLeadsTo) {
  // Speeds and sizes of real memory: what is best depends on the store alone.
  World world{.seconds = {0.05e-9, 1e-9, 3e-9, 5e-9, 14e-9}, .ratio = {1, 0.62, 0.5, 0.46, 0.43}};
  for (const auto& [rate, best] : {std::pair{4e9, 0U}, {300e6, 1U}, {40e6, 2U}, {12e6, 3U}, {2e6, 4U}}) {
    world.upload = 1 / rate;
    std::size_t cheapest = 0;
    for (std::size_t way = 0; way < kWays; ++way) {
      if (world.cost(way) < world.cost(cheapest)) cheapest = way;
    }
    ASSERT_EQ(cheapest, best) << "the world of this test at " << rate;
    CompressionPolicy policy(1, 1 / 300e6);
    std::mt19937_64 random(7);
    run(policy, world, 2048, random);
    std::array<std::size_t, kWays> chosen{};
    for (std::size_t i = 0; i < 1000; ++i) {
      const auto way = policy.choose(0, kSegment);
      ++chosen.at(way);
      policy.compressed(0, way, kSegment, static_cast<std::size_t>(world.ratio.at(way) * kSegment),
                        world.seconds.at(way) * kSegment);
    }
    EXPECT_GT(chosen.at(best), 950U) << rate;
  }
}

TEST(CompressionPolicyTest, FollowsTheDataAndTheStore) {
  const World text{
      .seconds = {0.05e-9, 1.6e-9, 3e-9, 5e-9, 14e-9}, .ratio = {1, 0.5, 0.35, 0.32, 0.3}, .upload = 10e-9};
  World noise = text;
  noise.ratio = {1, 1, 1, 1, 1};
  noise.seconds = {0.05e-9, 0.5e-9, 1e-9, 2e-9, 9e-9};
  World slow = text;
  slow.upload = 100e-9;
  CompressionPolicy policy(1, 1 / 300e6);
  std::mt19937_64 random(3);
  for (int round = 0; round < 3; ++round) {
    for (const World* world : std::initializer_list<const World*>{&text, &noise, &slow}) {
      run(policy, *world, 1024, random);  // 256 MiB to come round: the store is 10 times slower or faster
      constexpr std::size_t kSegments = 1024;
      const double mixed = run(policy, *world, kSegments, random);
      const double better = std::min(run_fixed(*world, 0, kSegments), run_fixed(*world, 2, kSegments));
      EXPECT_LT(mixed, 1.03 * better) << "round " << round << " world " << (world->upload);
    }
  }
}

TEST(CompressionPolicyTest, KeepsStreamsApart) {
  CompressionPolicy policy(2, 1 / 50e6);
  for (int i = 0; i < 2000; ++i) {
    const auto first = policy.choose(0, kSegment);
    policy.compressed(0, first, kSegment, kSegment / 10, 1e-9 * kSegment);
    const auto second = policy.choose(1, kSegment);
    policy.compressed(1, second, kSegment, kSegment, second == 0 ? 0 : 9e-9 * kSegment);
  }
  EXPECT_NE(policy.choose(0, kSegment), 0U);
  EXPECT_EQ(policy.choose(1, kSegment), 0U);
}

TEST(CompressionPolicyTest, CountsWhatAFurtherLevelCosts) {
  const World world{
      .seconds = {0.05e-9, 1.6e-9, 3e-9, 5e-9, 14e-9}, .ratio = {1, 0.62, 0.5, 0.46, 0.43}, .upload = 0.2e-9};
  CompressionPolicy policy(1, world.upload);
  std::mt19937_64 random(5);
  run(policy, world, 512, random);
  EXPECT_EQ(policy.choose(0, kSegment), 0U);
  policy.set_further_upload(1 / 60e6);
  run(policy, world, 512, random);
  EXPECT_EQ(policy.choose(0, kSegment), 2U);
}

TEST(CompressionPolicyTest, UsesOnlyWhatItIsTold) {
  CompressionPolicy policy(1, 1 / 300e6);
  policy.use_only(4);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(policy.choose(0, kSegment), 4U);
  policy.use_only(std::nullopt);
  EXPECT_NE(policy.choose(0, kSegment), 4U);
}

TEST(CompressionPolicyTest, TakesNoNonsense) {
  CompressionPolicy policy(1, 1 / 50e6);
  const double before = policy.upload_seconds_per_byte();
  policy.uploaded(100, -1);
  policy.uploaded(100, std::numeric_limits<double>::quiet_NaN());
  policy.compressed(0, 2, 0, 0, 1);
  policy.compressed(0, 2, 100, 50, std::numeric_limits<double>::infinity());
  EXPECT_EQ(policy.upload_seconds_per_byte(), before);
  EXPECT_FALSE(policy.estimate(0, 2).measured);
}

}  // namespace
}  // namespace cacs::repository
