#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "repository/codec/decayed_ratio.h"
#include "repository/codec/texture.h"

namespace cacs::repository {
namespace {

TEST(DecayedRatio, IsTheRatioOfSumsAndNotTheMeanOfRatios) {
  DecayedRatio ratio(1, 1e-6, 1e9, 100);
  ratio.add(1, 1);   // 1
  ratio.add(1, 99);  // about 0.01
  EXPECT_NEAR(ratio.value(), 0.02, 1e-6);
}

TEST(DecayedRatio, BelievesItsStartAsMuchAsItWasToldTo) {
  DecayedRatio ratio(4, 10, 1e9, 100);
  EXPECT_DOUBLE_EQ(ratio.value(), 4);
  ratio.add(20, 10);
  EXPECT_NEAR(ratio.value(), 3, 1e-6);
}

TEST(DecayedRatio, ForgetsByTheWindow) {
  DecayedRatio ratio(0, 1e-9, 100, 1000);
  ratio.add(100, 100);  // 1, counts 1/e once 100 more have come
  ratio.add(200, 100);  // 2
  const double old = std::exp(-1.0);
  EXPECT_NEAR(ratio.value(), (old * 1 + 2) / (old + 1), 1e-9);
  ratio.add(300, 100, 1e6);  // so much went by unmeasured that nothing before counts
  EXPECT_NEAR(ratio.value(), 3, 1e-9);
}

TEST(DecayedRatio, TakesARunOffOnOneSideForAChange) {
  DecayedRatio ratio(1, 1, 1e6, 4);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(ratio.add(10, 10));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(ratio.add(1000, 10));
  EXPECT_LT(ratio.value(), 10);
  EXPECT_TRUE(ratio.add(1000, 10));
  EXPECT_DOUBLE_EQ(ratio.value(), 100);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(ratio.add(1, 10));
  EXPECT_TRUE(ratio.add(1, 10));
  EXPECT_DOUBLE_EQ(ratio.value(), 0.1);
}

TEST(DecayedRatio, DoesNotTakeStallsForAChange) {
  DecayedRatio ratio(1, 1, 1e6, 4);
  for (int i = 0; i < 100; ++i) {
    for (int quick = 0; quick < 3; ++quick) EXPECT_FALSE(ratio.add(10, 10));
    EXPECT_FALSE(ratio.add(100, 10));
  }
  EXPECT_NEAR(ratio.value(), 130.0 / 40, 0.05);
}

TEST(DecayedRatio, IgnoresWhatCannotBe) {
  DecayedRatio ratio(2, 1, 100, 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, infinity, -1.0}) {
    EXPECT_FALSE(ratio.add(bad, 1));
    EXPECT_FALSE(ratio.add(1, bad));
    ratio.scale(bad);
  }
  ratio.add(1, 0);
  ratio.scale(0);
  EXPECT_DOUBLE_EQ(ratio.value(), 2);
  ratio.scale(3);
  EXPECT_DOUBLE_EQ(ratio.value(), 6);
}

std::vector<std::byte> random_of(std::size_t size, unsigned values, std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() % values);
  return bytes;
}

TEST(Texture, EntropyIsThatOfTheBytes) {
  constexpr std::size_t kSize = std::size_t{256} << 10U;
  EXPECT_EQ(collision_entropy(std::vector<std::byte>(kSize)), 0);
  for (unsigned bits = 1; bits <= 8; ++bits) {
    EXPECT_NEAR(collision_entropy(random_of(kSize, 1U << bits, bits)), bits, 0.15) << bits;
  }
  EXPECT_EQ(collision_entropy({}), 8);
  EXPECT_EQ(collision_entropy(random_of(1, 256)), 8);
  EXPECT_LE(collision_entropy(random_of(2, 256)), 8);
}

TEST(Texture, GoesFromOneValueToRandom) {
  EXPECT_EQ(texture_of(std::vector<std::byte>(4096)), 0U);
  EXPECT_EQ(texture_of(random_of(4096, 4)), 1U);
  EXPECT_EQ(texture_of(random_of(4096, 12)), 2U);
  EXPECT_EQ(texture_of(random_of(4096, 40)), 3U);
  EXPECT_EQ(texture_of(random_of(4096, 128)), 4U);
  EXPECT_EQ(texture_of(random_of(4096, 256)), 5U);
  EXPECT_EQ(texture_of(random_of(255, 256)), kUnknownTexture);
  EXPECT_EQ(texture_of({}), kUnknownTexture);
}

TEST(Texture, RandomBytesAreAlwaysSeenAsRandom) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) EXPECT_EQ(texture_of(random_of(65536, 256, seed)), 5U) << seed;
}

TEST(Texture, LooksAtTheWholeAndNotAtTheStartsOfPages) {
  // Every page: a head of 64 zeros, else random. What begins at page starts alone would look empty.
  auto bytes = random_of(std::size_t{256} << 10U, 256);
  for (std::size_t page = 0; page < bytes.size(); page += 4096)
    std::fill_n(bytes.begin() + static_cast<long>(page), 64, std::byte{});
  EXPECT_GE(texture_of(bytes), 3U);
  // Only the last half differs from zero.
  std::fill_n(bytes.begin(), bytes.size() / 2, std::byte{});
  EXPECT_NE(texture_of(bytes), 0U);
  EXPECT_NE(texture_of(bytes), 5U);
}

TEST(Texture, TakesAnyLength) {
  for (std::size_t size = 256; size < 3000; ++size) EXPECT_EQ(texture_of(std::vector<std::byte>(size)), 0U);
}

}  // namespace
}  // namespace cacs::repository
