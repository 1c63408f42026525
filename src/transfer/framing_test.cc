#include "transfer/framing.h"

#include <gtest/gtest.h>

#include "base/io.h"

namespace cacs::transfer {
namespace {

struct Received {
  std::string bytes;
  Status status;
};

/// Gives `wire` in pieces of `step` bytes.
Received receive(std::string_view wire, std::size_t step) {
  Received received;
  FrameReader reader([&](std::span<const std::byte> bytes) -> Status {
    received.bytes.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  });
  while (!wire.empty()) {
    if (const Status taken = reader.take(wire.substr(0, step)); !taken) {
      received.status = taken;
      return received;
    }
    wire.remove_prefix(std::min(step, wire.size()));
  }
  received.status = reader.result();
  return received;
}

class FramingTest : public testing::Test {
 protected:
  std::string wire_;
  FrameWriter writer_{[this](std::string_view text) -> Status {
    wire_ += text;
    return {};
  }};
};

TEST_F(FramingTest, BytesComeAsTheyWereHoweverTheyAreCut) {
  std::string sent(2 * kMaxFrameBytes + 17, 'x');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 % 251);
  ASSERT_TRUE(writer_.write(as_bytes(sent).first(100)).ok());
  ASSERT_TRUE(writer_.write(as_bytes(sent).subspan(100)).ok());
  ASSERT_TRUE(writer_.end().ok());
  for (const std::size_t step : {std::size_t{3}, std::size_t{4096}, wire_.size()}) {
    const Received received = receive(wire_, step);
    EXPECT_TRUE(received.status.ok()) << received.status.error().to_string();
    EXPECT_TRUE(received.bytes == sent) << "in steps of " << step;
  }
}

TEST_F(FramingTest, AnEndThatDoesNotComeIsMissed) {
  ASSERT_TRUE(writer_.write(as_bytes(std::string_view("abcdef"))).ok());
  ASSERT_TRUE(writer_.end().ok());
  for (std::size_t length = 0; length < wire_.size(); ++length) {
    const Received received = receive(std::string_view(wire_).substr(0, length), 1);
    ASSERT_FALSE(received.status.ok()) << length;
    EXPECT_EQ(received.status.error().code, ErrorCode::kUnavailable) << length;
  }
}

TEST_F(FramingTest, TheSendersErrorComesAsItWas) {
  ASSERT_TRUE(writer_.write(as_bytes(std::string_view("abc"))).ok());
  ASSERT_TRUE(writer_.fail(make_error(ErrorCode::kCorrupt, "a pack is damaged", "look there").with_type("t")).ok());
  const Received received = receive(wire_, 2);
  ASSERT_FALSE(received.status.ok());
  EXPECT_EQ(received.status.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(received.status.error().type, "t");
  EXPECT_NE(received.status.error().message.find("a pack is damaged"), std::string::npos);
}

TEST_F(FramingTest, WhatAreNoFramesIsRefused) {
  const std::string too_long("\x01\x00\x10\x00", 4);  // kMaxFrameBytes + 1
  EXPECT_EQ(receive(too_long, 4).status.error().code, ErrorCode::kCorrupt);
  ASSERT_TRUE(writer_.end().ok());
  EXPECT_EQ(receive(wire_ + "x", 1).status.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(receive(std::string("\xff\xff\xff\xff\x00\x00\x00\x00", 8), 1).status.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(receive(std::string("\xff\xff\xff\xff\x02\x00\x00\x00{", 9) + "x", 1).status.error().code,
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cacs::transfer
