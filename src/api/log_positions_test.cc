#include "api/log_positions.h"

#include <gtest/gtest.h>

namespace cacs::api {
namespace {

using application::LogPosition;

std::vector<LogPosition> both() { return {{.stream = "stdout"}, {.stream = "stderr"}}; }

TEST(LogPositions, ComeBackAsTheyWere) {
  std::vector<LogPosition> positions{{"stdout", 3, 4096}, {"stderr", 2, (std::uint64_t{1} << 62U) - 1}};
  const std::string id = format_log_positions(positions);
  EXPECT_EQ(id, "stdout:3:4096,stderr:2:4611686018427387903");
  std::vector<LogPosition> again = both();
  ASSERT_TRUE(parse_log_positions(id, again).ok());
  EXPECT_EQ(format_log_positions(again), id);
}

TEST(LogPositions, OnlyWantedStreamsMove) {
  std::vector<LogPosition> one{{.stream = "stderr"}};
  ASSERT_TRUE(parse_log_positions("stdout:3:4,stderr:2:1", one).ok());
  EXPECT_EQ(format_log_positions(one), "stderr:2:1");
  std::vector<LogPosition> two = both();
  ASSERT_TRUE(parse_log_positions("stderr:2:1", two).ok());
  EXPECT_EQ(format_log_positions(two), "stdout:0:0,stderr:2:1");
}

TEST(LogPositions, ALoneNumberIsAnOffsetOfTheOneStream) {
  std::vector<LogPosition> one{{.stream = "stderr"}};
  ASSERT_TRUE(parse_log_positions("12", one).ok());
  EXPECT_EQ(format_log_positions(one), "stderr:0:12");
  std::vector<LogPosition> two = both();
  EXPECT_FALSE(parse_log_positions("12", two).ok());
}

TEST(LogPositions, NonsenseIsRefused) {
  for (const std::string& id :
       {std::string("x"), std::string(), std::string("stdout"), std::string("stdout:1"), std::string("stdout:1:2:3"),
        std::string("stdin:1:2"), std::string("stdout:-1:2"), std::string("stdout:1:-2"), std::string("stdout:1:2,"),
        std::string("stdout:1:4611686018427387904"), std::string("stdout:99999999999:1"), std::string("stdout: 1:2"),
        std::string(201, '1')}) {
    std::vector<LogPosition> one{{.stream = "stdout"}};
    EXPECT_FALSE(parse_log_positions(id, one).ok()) << id;
  }
}

}  // namespace
}  // namespace cacs::api
