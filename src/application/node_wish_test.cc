#include "application/node_wish.h"

#include <gtest/gtest.h>

namespace cacs::application {
namespace {

Result<std::optional<NodeWish>> parse(std::string_view text) {
  return parse_node_wish(parse_json_object(text, "body").value());
}

TEST(NodeWish, IsACountOrNames) {
  EXPECT_EQ(parse(R"({})").value(), std::nullopt);
  EXPECT_EQ(parse(R"({"nodes": {"count": 3}})").value(), (NodeWish{.count = 3, .names = {}}));
  EXPECT_EQ(parse(R"({"nodes": {"names": ["b", "a"]}})").value(), (NodeWish{.count = 2, .names = {"b", "a"}}));
  EXPECT_EQ(parse(R"({"nodes": {"count": 1, "names": ["a"]}})").value(), (NodeWish{.count = 1, .names = {"a"}}));
}

TEST(NodeWish, NamesWhatIsWrong) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"({"node": {}})", "node"},
      {R"({"nodes": 2})", "nodes"},
      {R"({"nodes": {}})", "neither"},
      {R"({"nodes": {"count": 0}})", "nodes.count"},
      {R"({"nodes": {"count": 5000}})", "nodes.count"},
      {R"({"nodes": {"name": ["a"]}})", "'name' in 'nodes'"},
      {R"({"nodes": {"names": ["a", "a"]}})", "twice"},
      {R"({"nodes": {"names": [1]}})", "nodes.names"},
      {R"({"nodes": {"count": 2, "names": ["a"]}})", "1 are named"}};
  for (const auto& [text, word] : cases) {
    const auto wish = parse(text);
    ASSERT_FALSE(wish.ok()) << text;
    EXPECT_EQ(wish.error().code, ErrorCode::kInvalidArgument) << text;
    EXPECT_NE(wish.error().message.find(word), std::string::npos) << wish.error().message;
  }
}

}  // namespace
}  // namespace cacs::application
