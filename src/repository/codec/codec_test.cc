#include "repository/codec/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cacs::repository {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kSegment = std::size_t{256} << 10U;

Bytes random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// Words of a small vocabulary: compresses about threefold.
Bytes text(std::size_t size, std::uint64_t seed) {
  constexpr std::string_view kWords[] = {"checkpoint ", "segment ",  "page ", "tree ",
                                         "pack ",       "manifest ", "of ",   "the "};
  std::mt19937_64 random(seed);
  Bytes bytes;
  while (bytes.size() < size) {
    const std::string_view word = kWords[random() % std::size(kWords)];
    for (const char c : word) bytes.push_back(static_cast<std::byte>(c));
  }
  bytes.resize(size);
  return bytes;
}

const std::vector<Compression> kAll = {{Codec::kNone, 0}, {Codec::kLz4, 0},  {Codec::kZstd, -5},
                                       {Codec::kZstd, 1}, {Codec::kZstd, 3}, {Codec::kZstd, 6}};

void expect_round_trip(SegmentCodec& codec, const Bytes& raw, const Compression& how) {
  Bytes out = random_bytes(5, 1);  // what is there already stays
  const Bytes before = out;
  const Codec used = codec.compress(raw, how, out);
  ASSERT_GE(out.size(), before.size());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), out.begin()));
  const std::span<const std::byte> stored = std::span(out).subspan(before.size());
  EXPECT_LE(stored.size(), raw.size());
  EXPECT_TRUE(used == how.codec || used == Codec::kNone);
  if (used == Codec::kNone) {
    EXPECT_TRUE(std::equal(stored.begin(), stored.end(), raw.begin(), raw.end()));
  }
  Bytes back(raw.size(), std::byte{0xEE});
  const Status status = codec.expand(stored, used, back);
  ASSERT_TRUE(status.ok()) << status.error().to_string();
  EXPECT_EQ(back, raw) << to_string(how);
}

TEST(SegmentCodec, GivesBackWhatItGotForEveryCodecAndSize) {
  SegmentCodec codec;  // one for all, so that its memory is used again after every other codec and level
  for (int round = 0; round < 2; ++round) {
    for (const auto& how : kAll) {
      for (const std::size_t size : {0UL, 1UL, 31UL, 32UL, 33UL, 4096UL, kSegment - 1, kSegment, 3 * kSegment + 7}) {
        SCOPED_TRACE(to_string(how) + " " + std::to_string(size));
        expect_round_trip(codec, Bytes(size), how);
        expect_round_trip(codec, random_bytes(size, size), how);
        expect_round_trip(codec, text(size, size), how);
      }
    }
  }
}

TEST(SegmentCodec, CompressesWhatCanBeAndNothingElse) {
  SegmentCodec codec;
  const auto stored = [&](const Bytes& raw, const Compression& how) {
    Bytes out;
    const Codec used = codec.compress(raw, how, out);
    return std::pair(used, out.size());
  };
  for (const auto& how : kAll) {
    SCOPED_TRACE(to_string(how));
    EXPECT_EQ(stored(random_bytes(kSegment, 3), how), std::pair(Codec::kNone, kSegment));
    if (how.codec == Codec::kNone) continue;
    EXPECT_EQ(stored(Bytes(kSegment), how).first, how.codec);
    EXPECT_LT(stored(Bytes(kSegment), how).second, 2048U);
    EXPECT_EQ(stored(text(kSegment, 3), how).first, how.codec);
    EXPECT_LT(stored(text(kSegment, 3), how).second, kSegment / 2);
  }
  EXPECT_EQ(stored(text(kSegment, 3), {}), std::pair(Codec::kNone, kSegment));
  // The level reaches the library.
  EXPECT_LT(stored(text(kSegment, 3), {Codec::kZstd, 6}).second, stored(text(kSegment, 3), {Codec::kZstd, -5}).second);
}

TEST(SegmentCodec, StoresAsItIsWhatSavesLessThanAThirtySecond) {
  SegmentCodec codec;
  const std::size_t least = kSegment / 32;
  // Random bytes with so many zeros at the end: what is saved is a little less than the zeros.
  const auto used = [&](std::size_t zeros, const Compression& how) {
    Bytes raw = random_bytes(kSegment - zeros, 9);
    raw.resize(kSegment);
    Bytes out;
    const Codec codec_used = codec.compress(raw, how, out);
    EXPECT_TRUE(codec_used == Codec::kNone ? out.size() == kSegment : kSegment - out.size() >= least);
    return codec_used;
  };
  for (const Compression how : {Compression{Codec::kZstd, 1}, Compression{Codec::kLz4, 0}}) {
    SCOPED_TRACE(to_string(how));
    EXPECT_EQ(used(least - 1, how), Codec::kNone);
    EXPECT_EQ(used(least + 4096, how), how.codec);
  }
}

TEST(SegmentCodec, RefusesWhatDoesNotExpandToTheLengthAskedFor) {
  SegmentCodec codec;
  const Bytes raw = text(kSegment, 5);
  for (const auto& how : kAll) {
    SCOPED_TRACE(to_string(how));
    Bytes out;
    const Codec used = codec.compress(raw, how, out);
    for (const std::size_t size : {kSegment - 1, kSegment + 1, std::size_t{0}}) {
      Bytes back(size);
      const Status status = codec.expand(out, used, back);
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
      EXPECT_THAT(status.error().message, testing::HasSubstr(std::string(codec_name(used))));
    }
    Bytes back(kSegment);
    EXPECT_FALSE(codec.expand(std::span(out).first(out.size() - 1), used, back).ok());
    EXPECT_FALSE(codec.expand({}, used, back).ok());
    EXPECT_TRUE(codec.expand(out, used, back).ok());  // and is of use after refusals
    EXPECT_EQ(back, raw);
  }
  Bytes nothing;
  EXPECT_FALSE(codec.expand({}, Codec::kZstd, nothing).ok());
  EXPECT_TRUE(codec.expand({}, Codec::kNone, nothing).ok());
}

TEST(SegmentCodec, RefusesACodecThatItDoesNotKnow) {
  SegmentCodec codec;
  const Bytes stored(16);
  Bytes out(16);
  for (int number = 3; number < 256; ++number) {
    const Status status = codec.expand(stored, static_cast<Codec>(number), out);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(status.error().message, testing::HasSubstr("codec " + std::to_string(number)));
  }
}

TEST(SegmentCodec, DamageNeverReachesOutsideOfTheOutput) {
  // Under ASan: `back` ends where its allocation ends.
  SegmentCodec codec;
  std::mt19937_64 random(11);
  for (const auto& how : kAll) {
    Bytes out;
    const Codec used = codec.compress(text(8192, 6), how, out);
    for (int round = 0; round < 500; ++round) {
      Bytes damaged = out;
      for (std::size_t n = 1 + random() % 4; n > 0; --n) {
        damaged[random() % damaged.size()] ^= static_cast<std::byte>(1 + random() % 255);
      }
      Bytes back(1 + random() % 16384);
      static_cast<void>(codec.expand(damaged, used, back));
    }
    Bytes back(8192);
    EXPECT_TRUE(codec.expand(out, used, back).ok());
  }
}

TEST(SegmentCodec, IsMovedWithItsMemory) {
  SegmentCodec first;
  expect_round_trip(first, text(kSegment, 7), {Codec::kZstd, 3});
  SegmentCodec second = std::move(first);
  expect_round_trip(second, text(kSegment, 8), {Codec::kLz4, 0});
  first = SegmentCodec();
  expect_round_trip(first, text(kSegment, 7), {Codec::kZstd, 3});
}

TEST(Compression, HasANameForPeople) {
  EXPECT_EQ(to_string({}), "none");
  EXPECT_EQ(to_string({Codec::kLz4, 0}), "lz4");
  EXPECT_EQ(to_string({Codec::kZstd, 6}), "zstd-6");
  EXPECT_EQ(codec_name(static_cast<Codec>(9)), "unknown");
}

}  // namespace
}  // namespace cacs::repository
