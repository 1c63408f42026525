#include "api/log_positions.h"

#include <fmt/format.h>

#include <charconv>
#include <concepts>

#include "application/log_lineage.h"
#include "base/text.h"

namespace cacs::api {

namespace {

constexpr std::size_t kLongestId = 200;

template <std::integral T>
bool parse_number(std::string_view text, T& out) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  return problem == std::errc() && end == text.data() + text.size() && out >= 0;
}

/// "STREAM:INCARNATION:OFFSET"
bool parse_one(std::string_view text, application::LogPosition& out) {
  const auto parts = split(text, ':');
  if (parts.size() != 3 || !application::output_stream_from(parts[0])) return false;
  out.stream = parts[0];
  // Above that the sum of an offset and a chunk might not fit.
  return parse_number(parts[1], out.incarnation) && parse_number(parts[2], out.offset) && out.offset >> 62U == 0;
}

}  // namespace

std::string format_log_positions(const std::vector<application::LogPosition>& positions) {
  std::string id;
  for (const auto& position : positions) {
    id += fmt::format("{}{}:{}:{}", id.empty() ? "" : ",", position.stream, position.incarnation, position.offset);
  }
  return id;
}

Status parse_log_positions(std::string_view id, std::vector<application::LogPosition>& positions) {
  const auto wrong = [&] {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("'{}' is no id of a log's event", printable(id, 40)),
                      "give the id of the last event back as it came");
  };
  if (id.size() > kLongestId) return wrong();
  std::uint64_t offset = 0;
  if (positions.size() == 1 && parse_number(id, offset) && offset >> 62U == 0) {
    positions.front().offset = offset;
    return {};
  }
  for (const auto& part : split(id, ',')) {
    application::LogPosition told;
    if (!parse_one(part, told)) return wrong();
    for (auto& position : positions) {
      if (position.stream == told.stream) position = told;
    }
  }
  return {};
}

}  // namespace cacs::api
