#include "cli/format.h"

#include <gtest/gtest.h>

#include "base/base64.h"

namespace cacs::cli {
namespace {

TEST(Format, ReadsTimesAsTheApiWritesThem) {
  EXPECT_EQ(format_time(parse_time("2026-11-20T19:41:07.123Z").value()), "2026-11-20T19:41:07.123Z");
  EXPECT_EQ(format_time(parse_time("2026-11-20T19:41:07Z").value()), "2026-11-20T19:41:07.000Z");
  EXPECT_EQ(format_time(parse_time("2026-11-20T21:41:07.5+02:00").value()), "2026-11-20T19:41:07.500Z");
  EXPECT_EQ(format_time(parse_time("2026-11-20T19:41:07.123456Z").value()), "2026-11-20T19:41:07.123Z");
  for (const char* bad :
       {"", "now", "2026-02-30T00:00:00Z", "2026-11-20", "2026-11-20T25:00:00Z", "2026-11-20T19:41:07",
        "2026-11-20T19:41:07.Z", "2026-11-20T19:41:07Zx", "-026-11-20T19:41:07Z"}) {
    EXPECT_FALSE(parse_time(bad)) << bad;
  }
}

TEST(Format, TimesAreRelativeUnlessExactOnesAreWanted) {
  const WallTime now = parse_time("2026-11-20T12:00:00Z").value();
  EXPECT_EQ(format_when("2026-11-20T11:59:59.500Z", now, TimeStyle::kRelative), "now");
  EXPECT_EQ(format_when("2026-11-20T11:59:30Z", now, TimeStyle::kRelative), "30s ago");
  EXPECT_EQ(format_when("2026-11-20T11:57:00Z", now, TimeStyle::kRelative), "3m ago");
  EXPECT_EQ(format_when("2026-11-20T02:00:00Z", now, TimeStyle::kRelative), "10h ago");
  EXPECT_EQ(format_when("2026-11-10T12:00:00Z", now, TimeStyle::kRelative), "10d ago");
  EXPECT_EQ(format_when("2026-11-20T12:05:30Z", now, TimeStyle::kRelative), "in 5m");
  EXPECT_EQ(format_when("2026-11-20T11:57:00Z", now, TimeStyle::kUtc), "2026-11-20T11:57:00Z");
  EXPECT_EQ(format_when("", now, TimeStyle::kRelative), "-");
}

TEST(Format, DecodesBase64AndRefusesWhatIsNot) {
  EXPECT_EQ(base64_decode("").value(), "");
  EXPECT_EQ(base64_decode("Zg==").value(), "f");
  EXPECT_EQ(base64_decode("Zm8=").value(), "fo");
  EXPECT_EQ(base64_decode("Zm9vYmFy").value(), "foobar");
  EXPECT_EQ(base64_decode("AAH/").value(), std::string("\0\x01\xff", 3));
  for (const char* bad : {"Zg", "Z===", "Zg=a", "Zm 9", "===="}) EXPECT_FALSE(base64_decode(bad).ok()) << bad;
}

TEST(Table, AlignsByCharactersAndLeavesNoTrailingSpace) {
  Table table({"A", "LONGER", "C"});
  table.add({"wide cell", "x", ""});
  table.add({"\xc3\xa9", "y", "z"});  // one character, two bytes
  EXPECT_EQ(table.render(false),
            "A          LONGER  C\n"
            "wide cell  x\n"
            "\xc3\xa9          y       z\n");
}

TEST(Table, ControlBytesOfAServerNeverReachATerminal) {
  Table table({"A"});
  table.add({"red \x1b[31m\r\n\x07"});
  const std::string text = table.render(false);
  EXPECT_EQ(text, "A\nred \\x1b[31m\\x0d\\x0a\\x07\n");
}

TEST(Format, ExitsInWordsAndAsAShellSeesThem) {
  const JsonObject exited{{"kind", "exited"}, {"code", 3}};
  const JsonObject killed{{"kind", "signaled"}, {"signal", 9}};
  const JsonObject oom{{"kind", "oom"}};
  const JsonObject unknown{{"kind", "unknown"}};
  EXPECT_EQ(describe_exit(&exited), "exit 3");
  EXPECT_EQ(shell_exit_code(&exited), 3);
  EXPECT_EQ(describe_exit(&killed), "signal 9 (Killed)");
  EXPECT_EQ(shell_exit_code(&killed), 137);
  EXPECT_EQ(describe_exit(&oom), "out of memory");
  EXPECT_EQ(shell_exit_code(&oom), 137);
  EXPECT_EQ(shell_exit_code(&unknown), 1);
  EXPECT_EQ(shell_exit_code(nullptr), 1);
  EXPECT_EQ(describe_exit(nullptr), "-");
}

TEST(Format, ShortIdsStayUnique) {
  EXPECT_EQ(short_id_length({"0193a4f2-7c3e-7000", "0193b4f2-7c3e-7000"}), 8U);
  EXPECT_EQ(short_id_length({"0193a4f2-7c3e-7000", "0193a4f2-7c4e-7000"}), 12U);
  EXPECT_EQ(short_id_length({}), 8U);
}

}  // namespace
}  // namespace cacs::cli
