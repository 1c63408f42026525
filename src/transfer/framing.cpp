#include "transfer/framing.h"

#include <algorithm>

#include "base/io.h"
#include "base/json.h"
#include "base/text.h"

namespace cacs::transfer {

namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::uint32_t kFailed = UINT32_MAX;

std::string encode(std::uint32_t number) {
  std::string text(kLengthBytes, '\0');
  for (std::size_t i = 0; i < kLengthBytes; ++i) text[i] = static_cast<char>(number >> (8 * i));
  return text;
}

std::uint32_t decode(const std::string& text) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    number |= static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])) << (8 * i);
  }
  return number;
}

}  // namespace

Status FrameWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kMaxFrameBytes - frame_.size()));
    frame_.append(reinterpret_cast<const char*>(part.data()), part.size());
    bytes = bytes.subspan(part.size());
    if (frame_.size() == kMaxFrameBytes) CACS_TRY(flush());
  }
  return {};
}

Status FrameWriter::flush() {
  if (frame_.empty()) return {};
  CACS_TRY(send_(encode(static_cast<std::uint32_t>(frame_.size()))));
  CACS_TRY(send_(frame_));
  frame_.clear();
  return {};
}

Status FrameWriter::end() {
  CACS_TRY(flush());
  return send_(encode(0));
}

Status FrameWriter::fail(const Error& error) {
  std::string text = boost::json::serialize(error_to_json(error));
  if (text.size() > kMaxFrameError) {
    text = boost::json::serialize(error_to_json(make_error(error.code, "the other side failed, and says too much")));
  }
  return send_(encode(kFailed) + encode(static_cast<std::uint32_t>(text.size())) + text);
}

/// After a length has come.
Status FrameReader::next_part() {
  const std::uint32_t number = decode(number_);
  number_.clear();
  if (part_ == Part::kErrorLength) {
    if (number == 0 || number > kMaxFrameError) return make_error(ErrorCode::kCorrupt, "an error of no sound length");
    part_ = Part::kErrorText;
  } else if (number == 0) {
    part_ = Part::kOver;
  } else if (number == kFailed) {
    part_ = Part::kErrorLength;
  } else if (number > kMaxFrameBytes) {
    return make_error(ErrorCode::kCorrupt, "a frame that is too long");
  } else {
    part_ = Part::kBytes;
  }
  left_ = number;
  return {};
}

Status FrameReader::take(std::string_view data) {
  while (!data.empty()) {
    if (part_ == Part::kOver) return make_error(ErrorCode::kCorrupt, "the stream goes on after its end");
    const bool is_length = part_ == Part::kLength || part_ == Part::kErrorLength;
    const std::size_t count = std::min(data.size(), is_length ? kLengthBytes - number_.size() : left_);
    const std::string_view part = data.substr(0, count);
    data.remove_prefix(count);
    if (is_length) {
      number_ += part;
      if (number_.size() == kLengthBytes) CACS_TRY(next_part());
      continue;
    }
    left_ -= count;
    if (part_ == Part::kBytes) {
      CACS_TRY(out_(as_bytes(part)));
      if (left_ == 0) part_ = Part::kLength;
      continue;
    }
    told_ += part;
    if (left_ > 0) continue;
    part_ = Part::kOver;
    CACS_ASSIGN(const JsonObject told, parse_json_object(told_, "the other side's error", kMaxFrameError));
    error_ = error_from_json(told);
  }
  return {};
}

Status FrameReader::result() const {
  if (error_) return *error_;
  if (part_ == Part::kOver) return {};
  return make_error(ErrorCode::kUnavailable, "the connection broke before all had come");
}

}  // namespace cacs::transfer
