#include "net/http_target.h"

#include <gtest/gtest.h>

#include "net/http_message.h"

namespace cacs::net {
namespace {

TEST(HttpTarget, TakesPathAndQueryApart) {
  const auto target = parse_target("/v1/a%2Fb/c%20d?x=1&y=a+b%26&flag");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->segments, (std::vector<std::string>{"v1", "a/b", "c d"}));
  EXPECT_EQ(target->query, (Query{{"x", "1"}, {"y", "a b&"}, {"flag", ""}}));
  EXPECT_EQ(*find_query(target->query, "y"), "a b&");
  EXPECT_EQ(find_query(target->query, "z"), nullptr);
}

TEST(HttpTarget, RootTrailingSlashAndAbsoluteForm) {
  EXPECT_TRUE(parse_target("/")->segments.empty());
  EXPECT_EQ(parse_target("/a/")->segments, (std::vector<std::string>{"a"}));
  EXPECT_EQ(parse_target("http://host:1/a?b=c")->path, "/a");
  EXPECT_EQ(parse_target("http://host?b=c")->segments.size(), 0U);
}

TEST(HttpTarget, RefusesWhatIsHostile) {
  for (const std::string_view bad : {"", "a", "*", "/%", "/%4", "/%zz", "/%00", "/a%0a", "/%ff", "/../etc",
                                     "/a/%2e%2e/b", "/?a=%c3%28", "/?%0d%0a=1", "/#x", "/%ed%a0%80", "/%c0%af"}) {
    EXPECT_FALSE(parse_target(bad).ok()) << bad;
  }
  std::string many = "/?";
  for (int i = 0; i < 65; ++i) many += "a=1&";
  EXPECT_FALSE(parse_target(many).ok());
  EXPECT_FALSE(parse_target("/" + std::string(200, '/')).ok());
}

TEST(HttpTarget, EncodingIsUndoneByDecoding) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  EXPECT_EQ(percent_decode(percent_encode(all), true).value(), all);
}

TEST(HttpMessage, ProblemHasTypeStatusDetailAndHint) {
  const Response response = problem_response(make_error(ErrorCode::kNotFound, "no \"x\"", "look"));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.headers.get("content-type"), "application/problem+json");
  EXPECT_EQ(
      response.body,
      R"({"type":"urn:cacs:problem:not-found","title":"Not found","status":404,"detail":"no \"x\"","hint":"look"})");
}

}  // namespace
}  // namespace cacs::net
