#include "net/http_router.h"

#include <gtest/gtest.h>

namespace cacs::net {
namespace {

Route route(std::string method, std::string pattern) {
  return {
      .method = std::move(method), .pattern = std::move(pattern), .handler = [](const Request&) { return Response{}; }};
}

TEST(Router, LiteralsWinOverParameters) {
  const Router router({route("GET", "/a/{id}"), route("GET", "/a/latest"), route("POST", "/a/{id}/b/{other}")});
  EXPECT_EQ(router.match("GET", {"a", "latest"}).route->pattern, "/a/latest");
  const auto match = router.match("POST", {"a", "1", "b", "2"});
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.params, (std::vector<std::pair<std::string, std::string>>{{"id", "1"}, {"other", "2"}}));
}

TEST(Router, TellsTheMethodsOfAKnownPath) {
  const Router router({route("GET", "/a"), route("POST", "/a"), route("DELETE", "/a/{id}")});
  const auto match = router.match("PUT", {"a"});
  EXPECT_EQ(match.route, nullptr);
  EXPECT_EQ(match.allow, "GET, HEAD, POST");
  EXPECT_TRUE(router.match("GET", {"b"}).allow.empty());
  EXPECT_TRUE(router.match("GET", {"a", "", ""}).allow.empty());
}

TEST(Router, HeadFindsGet) {
  const Router router({route("GET", "/a")});
  EXPECT_EQ(router.match("HEAD", {"a"}).route->method, "GET");
}

}  // namespace
}  // namespace cacs::net
