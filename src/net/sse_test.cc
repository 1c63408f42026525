#include "net/sse.h"

#include <gtest/gtest.h>

#include <vector>

namespace cacs::net {
namespace {

TEST(Sse, WhatIsFormattedIsParsedWhateverTheCuts) {
  const SseEvent one{.id = "1", .event = "a", .data = "x\ny"};
  const SseEvent two{.id = "2", .event = "", .data = "{}"};
  const std::string bytes = ": keep-alive\n\n" + format_sse(one) + format_sse(two);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    std::vector<SseEvent> seen;
    SseParser parser([&](const SseEvent& event) { seen.push_back(event); });
    ASSERT_TRUE(parser.feed(std::string_view(bytes).substr(0, cut)));
    ASSERT_TRUE(parser.feed(std::string_view(bytes).substr(cut)));
    EXPECT_EQ(seen, (std::vector<SseEvent>{one, two}));
  }
}

TEST(Sse, TakesCrLfAndFieldsWithoutSpace) {
  std::vector<SseEvent> seen;
  SseParser parser([&](const SseEvent& event) { seen.push_back(event); });
  ASSERT_TRUE(parser.feed("event:k\r\ndata:1\r\n\r\n"));
  EXPECT_EQ(seen, (std::vector<SseEvent>{{.id = "", .event = "k", .data = "1"}}));
}

TEST(Sse, AnEventWithoutEndIsBounded) {
  SseParser parser([](const SseEvent&) {});
  const std::string piece(std::size_t{1} << 20U, 'x');
  bool more = true;
  for (int i = 0; i < 20 && more; ++i) more = parser.feed(piece);
  EXPECT_FALSE(more);
}

}  // namespace
}  // namespace cacs::net
