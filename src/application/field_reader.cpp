#include "application/field_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace cacs::application {
namespace {

constexpr std::chrono::milliseconds kLongestDuration = std::chrono::hours(24 * 366);

std::string listed(std::span<const std::string_view> names) { return fmt::format("{}", fmt::join(names, ", ")); }

Error unknown_field(std::string_view name, std::string_view place, std::span<const std::string_view> known) {
  const std::string shown = printable(name, 80);
  const std::string where = place.empty() ? std::string("the request") : fmt::format("'{}'", place);
  const auto nearest = nearest_name(name, known);
  const std::string hint = nearest ? fmt::format("did you mean '{}'?", *nearest)
                                   : fmt::format("the fields of {} are: {}", where, listed(known));
  return make_error(ErrorCode::kInvalidArgument, fmt::format("unknown field '{}' in {}", shown, where), hint)
      .with_type("unknown-field");
}

bool holds_text(std::string_view text) { return text.find('\0') == std::string_view::npos; }

}  // namespace

std::string_view json_kind(const Json& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "a boolean";
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
      return "an integer";
    case boost::json::kind::double_:
      return "a number";
    case boost::json::kind::string:
      return "a string";
    case boost::json::kind::array:
      return "an array";
    case boost::json::kind::object:
      return "an object";
  }
  return "something else";
}

FieldReader::FieldReader(const JsonObject& object, std::string place, std::span<const std::string_view> known,
                         ParseFailure& failure)
    : object_(object), place_(std::move(place)), failure_(failure) {
  for (const auto& member : object) {
    const std::string_view name(member.key().data(), member.key().size());
    if (std::find(known.begin(), known.end(), name) == known.end()) failure_.fail(unknown_field(name, place_, known));
  }
}

const Json* FieldReader::find(std::string_view name) const {
  const Json* value = object_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string FieldReader::place_of(std::string_view name) const {
  return place_.empty() ? std::string(name) : fmt::format("{}.{}", place_, name);
}

void FieldReader::fail(std::string_view name, std::string_view wanted, const Json* got) const {
  std::string message = fmt::format("field '{}' must be {}", place_of(name), wanted);
  if (got != nullptr) message += fmt::format(", but is {}", json_kind(*got));
  failure_.fail(make_error(ErrorCode::kInvalidArgument, std::move(message),
                           "see the ASR's description in the API's documentation")
                    .with_type("invalid-field"));
}

void FieldReader::string(std::string_view name, std::string& out, std::size_t max_bytes) const {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_string()) return fail(name, "a string", value);
  const std::string_view text(value->get_string().data(), value->get_string().size());
  if (text.size() > max_bytes) return fail(name, fmt::format("a string of at most {} bytes", max_bytes), nullptr);
  if (!holds_text(text)) return fail(name, "a string without NUL bytes", nullptr);
  out = text;
}

void FieldReader::boolean(std::string_view name, bool& out) const {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_bool()) return fail(name, "true or false", value);
  out = value->get_bool();
}

void FieldReader::integer(std::string_view name, int& out, int least, int most) const {
  const Json* value = find(name);
  if (value == nullptr) return;
  const std::string wanted = fmt::format("an integer from {} to {}", least, most);
  if (!value->is_int64()) return fail(name, wanted, value);
  const std::int64_t given = value->get_int64();
  if (given < least || given > most) return fail(name, wanted, nullptr);
  out = static_cast<int>(given);
}

void FieldReader::number(std::string_view name, double& out, double least, double most) const {
  const Json* value = find(name);
  if (value == nullptr) return;
  const std::string wanted = fmt::format("a number from {} to {}", least, most);
  if (!value->is_number()) return fail(name, wanted, value);
  const double given = value->is_double()  ? value->get_double()
                       : value->is_int64() ? static_cast<double>(value->get_int64())
                                           : static_cast<double>(value->get_uint64());
  if (!std::isfinite(given) || given < least || given > most) return fail(name, wanted, nullptr);
  out = given;
}

void FieldReader::size(std::string_view name, std::uint64_t& out) const {
  const Json* value = find(name);
  if (value == nullptr) return;
  constexpr std::string_view kWanted = R"(a size like "2GiB" or a positive number of bytes)";
  constexpr std::uint64_t kMost = std::uint64_t{1} << 60U;
  std::uint64_t given = 0;
  if (value->is_int64() && value->get_int64() > 0) {
    given = static_cast<std::uint64_t>(value->get_int64());
  } else if (value->is_string()) {
    const auto parsed = parse_size(std::string_view(value->get_string().data(), value->get_string().size()));
    if (parsed.ok()) given = *parsed;
  } else {
    return fail(name, kWanted, value);
  }
  if (given == 0 || given > kMost) return fail(name, kWanted, nullptr);
  out = given;
}

void FieldReader::duration(std::string_view name, std::chrono::milliseconds& out,
                           std::chrono::milliseconds least) const {
  const Json* value = find(name);
  if (value == nullptr) return;
  const std::string wanted =
      fmt::format(R"(a duration like "90s" or "10m", from {} to a year)", format_duration(least));
  if (!value->is_string()) return fail(name, wanted, value);
  const auto parsed = parse_duration(std::string_view(value->get_string().data(), value->get_string().size()));
  if (!parsed.ok() || *parsed < least || *parsed > kLongestDuration) return fail(name, wanted, nullptr);
  out = *parsed;
}

void FieldReader::strings(std::string_view name, std::vector<std::string>& out, std::size_t max_items,
                          std::size_t max_bytes) const {
  const JsonArray* items = array(name, max_items);
  if (items == nullptr) return;
  out.clear();
  for (std::size_t i = 0; i < items->size(); ++i) {
    const Json& item = (*items)[i];
    const std::string item_name = fmt::format("{}[{}]", name, i);
    if (!item.is_string()) return fail(item_name, "a string", &item);
    const std::string_view text(item.get_string().data(), item.get_string().size());
    if (text.size() > max_bytes) return fail(item_name, fmt::format("at most {} bytes", max_bytes), nullptr);
    if (!holds_text(text)) return fail(item_name, "a string without NUL bytes", nullptr);
    out.emplace_back(text);
  }
}

void FieldReader::choice(std::string_view name, std::string& out, std::span<const std::string_view> allowed) const {
  const Json* value = find(name);
  if (value == nullptr) return;
  const std::string wanted = fmt::format("one of: {}", listed(allowed));
  if (!value->is_string()) return fail(name, wanted, value);
  const std::string_view given(value->get_string().data(), value->get_string().size());
  if (std::find(allowed.begin(), allowed.end(), given) == allowed.end()) {
    const auto nearest = nearest_name(given, allowed);
    return failure_.fail(
        make_error(ErrorCode::kInvalidArgument,
                   fmt::format("field '{}' must be {}, but is '{}'", place_of(name), wanted, printable(given, 80)),
                   nearest ? fmt::format("did you mean '{}'?", *nearest) : std::string())
            .with_type("invalid-field"));
  }
  out = given;
}

const JsonArray* FieldReader::array(std::string_view name, std::size_t max_items) const {
  const Json* value = find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    fail(name, "an array", value);
    return nullptr;
  }
  if (value->get_array().size() > max_items) {
    fail(name, fmt::format("an array of at most {} items", max_items), nullptr);
    return nullptr;
  }
  return &value->get_array();
}

const JsonObject* FieldReader::object(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    fail(name, "an object", value);
    return nullptr;
  }
  return &value->get_object();
}

}  // namespace cacs::application
