#include "base/json.h"

#include <gtest/gtest.h>

namespace cacs {
namespace {

TEST(Json, BoundsSizeAndDepth) {
  EXPECT_EQ(parse_json(std::string(100, ' '), "x", 10).error().code, ErrorCode::kTooLarge);
  EXPECT_FALSE(parse_json(std::string(40, '[') + std::string(40, ']'), "x").ok());
  EXPECT_TRUE(parse_json("[1,2]", "x").ok());
}

TEST(Json, NamesTheMemberThatIsWrong) {
  const auto object = parse_json_object(R"({"a": 1})", "x").value();
  EXPECT_EQ(json_int(object, "a").value(), 1);
  EXPECT_NE(json_string(object, "a").error().message.find("'a'"), std::string::npos);
  EXPECT_EQ(json_string_or(object, "b", "z"), "z");
}

TEST(Json, ErrorsCrossASocketWhole) {
  const Error error = make_error(ErrorCode::kNoSpace, "disk full", "make room").with_type("disk-full");
  const Error back = error_from_json(error_to_json(error));
  EXPECT_EQ(back.code, error.code);
  EXPECT_EQ(back.message, error.message);
  EXPECT_EQ(back.hint, error.hint);
  EXPECT_EQ(back.type, error.type);
}

}  // namespace
}  // namespace cacs
