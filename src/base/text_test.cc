#include "base/text.h"

#include <gtest/gtest.h>

#include <array>

namespace cacs {
namespace {

using std::chrono::milliseconds;

TEST(ParseDuration, TakesEveryUnit) {
  EXPECT_EQ(parse_duration("500ms").value(), milliseconds(500));
  EXPECT_EQ(parse_duration("90s").value(), milliseconds(90'000));
  EXPECT_EQ(parse_duration("1.5h").value(), milliseconds(5'400'000));
  EXPECT_EQ(parse_duration(" 2d ").value(), milliseconds(172'800'000));
}

TEST(ParseDuration, RefusesWhatIsNotOne) {
  for (const auto* text : {"", "10", "s", "-5s", "10 parsecs", "1e300s", "nan s", "inf s", "5s5"}) {
    EXPECT_FALSE(parse_duration(text).ok()) << text;
  }
}

TEST(ParseSize, KnowsBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_size("2GiB").value(), 2ULL << 30U);
  EXPECT_EQ(parse_size("10KB").value(), 10'000U);
  EXPECT_EQ(parse_size("4096").value(), 4096U);
  EXPECT_FALSE(parse_size("lots").ok());
  EXPECT_FALSE(parse_size("99999999TiB").ok());
}

TEST(Format, IsShortAndReadable) {
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_duration(milliseconds(61'000)), "1m01s");
  EXPECT_EQ(format_duration(milliseconds(250)), "250ms");
}

TEST(NearestName, SuggestsOnlyWhatIsNear) {
  constexpr std::array<std::string_view, 3> kKnown{"command", "checkpoint", "cloud"};
  EXPECT_EQ(nearest_name("comand", kKnown), "command");
  EXPECT_EQ(nearest_name("chekpoint", kKnown), "checkpoint");
  EXPECT_FALSE(nearest_name("zebra", kKnown).has_value());
}

TEST(Printable, EscapesControlBytesAndCuts) {
  EXPECT_EQ(printable("a\x1b[0m"), "a\\x1b[0m");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace cacs
