#include "engine/criu_timers.h"

#include <gtest/gtest.h>
#include <sys/timerfd.h>

#include <cstring>
#include <ctime>
#include <filesystem>

#include "base/io.h"
#include "engine/criu_image.pb.h"

namespace cacs::engine {
namespace {

constexpr std::string_view kHeader("\x19\x43\x56\x54\x38\x31\x30\x56", 8);
// type = 17 and id = 5, which come before what we know; a field of a kind to come, behind it.
constexpr std::string_view kBefore("\x08\x11\x10\x05", 4);
constexpr std::string_view kBehind("\xfa\x01\x03xyz", 6);

std::string entry(const std::string& message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + message;
}

image::Timerfd timer(int clock, int flags, std::uint64_t ticks, std::uint64_t value_ms, std::uint64_t interval_ms) {
  image::Timerfd made;
  made.set_clock_id(static_cast<std::uint32_t>(clock));
  made.set_settime_flags(static_cast<std::uint32_t>(flags));
  made.set_ticks(ticks);
  made.set_value_sec(value_ms / 1000);
  made.set_value_nsec(value_ms % 1000 * 1'000'000);
  made.set_interval_sec(interval_ms / 1000);
  made.set_interval_nsec(interval_ms % 1000 * 1'000'000);
  return made;
}

std::string image_of(const image::Timerfd& timer) {
  image::File file;
  *file.mutable_timerfd() = timer;
  return std::string(kHeader) + entry("\x08\x01") +
         entry(std::string(kBefore) + file.SerializeAsString() + std::string(kBehind)) + entry("\x08\x02");
}

/// The second entry of an image of three.
image::File second(const std::string& image) {
  std::uint32_t size = 0;
  const std::size_t at = kHeader.size() + 4 + 2;
  std::memcpy(&size, image.data() + at, sizeof size);
  image::File file;
  EXPECT_TRUE(file.ParseFromString(image.substr(at + 4, size)));
  return file;
}

image::Timerfd mended(const image::Timerfd& before) {
  const auto image = mend_timers(image_of(before));
  EXPECT_TRUE(image.ok());
  return image ? second(*image).timerfd() : image::Timerfd();
}

bool same(const image::Timerfd& a, const image::Timerfd& b) { return a.SerializeAsString() == b.SerializeAsString(); }

TEST(CriuTimers, APeriodicOneWithAnUnreadExpiryGoesOn) {
  const auto after = mended(timer(CLOCK_MONOTONIC, 0, 3, 0, 1500));
  EXPECT_TRUE(same(after, timer(CLOCK_MONOTONIC, 0, 3, 1500, 1500)));
}

TEST(CriuTimers, WhatIsOffStaysOff) {
  for (const auto& off :
       {timer(CLOCK_MONOTONIC, 0, 0, 0, 0), timer(CLOCK_MONOTONIC, 0, 0, 0, 100), timer(CLOCK_MONOTONIC, 0, 1, 0, 0)}) {
    EXPECT_TRUE(same(mended(off), off));
  }
}

TEST(CriuTimers, OrdinaryOnesAreLeftAlone) {
  const std::string image = image_of(timer(CLOCK_REALTIME, 0, 0, 1234, 100));
  EXPECT_EQ(*mend_timers(image), image);
}

TEST(CriuTimers, AnAbsoluteOneThatHasFiredStaysOff) {
  for (const int clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    EXPECT_TRUE(same(mended(timer(clock, TFD_TIMER_ABSTIME, 0, 0, 0)), timer(clock, 0, 0, 0, 0)));
  }
}

TEST(CriuTimers, AnAbsoluteOneIsNeverEarly) {
  EXPECT_TRUE(same(mended(timer(CLOCK_BOOTTIME, TFD_TIMER_ABSTIME, 0, 2500, 0)), timer(CLOCK_BOOTTIME, 0, 0, 2500, 0)));
  // Of the wall clock it stays absolute, since the clock may be set.
  constexpr int kFlags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
  EXPECT_TRUE(same(mended(timer(CLOCK_REALTIME, kFlags, 0, 2500, 0)), timer(CLOCK_REALTIME, kFlags, 0, 3500, 0)));
  EXPECT_TRUE(same(mended(timer(CLOCK_REALTIME, kFlags, 2, 0, 400)), timer(CLOCK_REALTIME, kFlags, 2, 1400, 400)));
}

TEST(CriuTimers, FieldsThatAreNotOursAreKept) {
  const auto image = mend_timers(image_of(timer(CLOCK_MONOTONIC, 0, 1, 0, 100)));
  ASSERT_TRUE(image.ok());
  const std::string rest = second(*image).unknown_fields();
  EXPECT_EQ(rest, std::string(kBefore) + std::string(kBehind));
  EXPECT_EQ(image->substr(0, kHeader.size()), kHeader);
  EXPECT_EQ(image->substr(image->size() - 2), "\x08\x02");
}

TEST(CriuTimers, WhatIsNotSuchAnImageIsRefused) {
  const std::string good = image_of(timer(CLOCK_MONOTONIC, 0, 1, 0, 100));
  for (std::size_t length = 0; length < good.size(); ++length) {
    const auto result = mend_timers(good.substr(0, length));
    // Only at the end of an entry may it end.
    const bool whole = length == kHeader.size() || length == kHeader.size() + 6 || length == good.size() - 6;
    EXPECT_EQ(result.ok(), whole) << length;
  }
  std::string huge(kHeader);
  huge += "\xff\xff\xff\xff";
  EXPECT_FALSE(mend_timers(huge).ok());
  EXPECT_EQ(mend_timers("something else").error().code, ErrorCode::kCorrupt);
}

TEST(CriuTimers, ADirectoryIsMendedInPlace) {
  char name[] = "/tmp/cacs-timers-XXXXXX";
  const std::filesystem::path directory = ::mkdtemp(name);
  EXPECT_FALSE(mend_images(directory).ok());
  const std::string image = image_of(timer(CLOCK_MONOTONIC, 0, 1, 0, 100));
  ASSERT_TRUE(write_file_durably(directory / "files.img", image).ok());
  EXPECT_TRUE(mend_images(directory).ok());
  EXPECT_EQ(*read_text_file(directory / "files.img"), *mend_timers(image));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace cacs::engine
