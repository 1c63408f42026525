#include "base/json.h"

#include <boost/json/parse.hpp>

#include "base/text.h"

namespace cacs {

namespace {

Error member_error(std::string_view name, std::string_view wanted) {
  return make_error(ErrorCode::kInvalidArgument,
                    "member '" + printable(name) + "' is missing or not " + std::string(wanted));
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view what, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    return make_error(ErrorCode::kTooLarge,
                      std::string(what) + " is longer than " + std::to_string(max_bytes) + " bytes");
  }
  boost::json::parse_options options;
  options.max_depth = 32;
  boost::json::error_code problem;
  Json value = boost::json::parse({text.data(), text.size()}, problem, {}, options);
  if (problem) {
    return make_error(ErrorCode::kInvalidArgument, std::string(what) + " is not valid JSON: " + problem.message(),
                      "check quotes, commas and brackets");
  }
  return value;
}

Result<JsonObject> parse_json_object(std::string_view text, std::string_view what, std::size_t max_bytes) {
  CACS_ASSIGN(Json value, parse_json(text, what, max_bytes));
  if (!value.is_object()) {
    return make_error(ErrorCode::kInvalidArgument, std::string(what) + " is not a JSON object", "write {...}");
  }
  return std::move(value.as_object());
}

Result<std::string> json_string(const JsonObject& object, std::string_view name) {
  const Json* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr || !value->is_string()) return member_error(name, "a string");
  return std::string(value->as_string());
}

Result<std::int64_t> json_int(const JsonObject& object, std::string_view name) {
  const Json* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr || !value->is_number()) return member_error(name, "a whole number");
  boost::json::error_code problem;
  const auto number = value->to_number<std::int64_t>(problem);
  if (problem) return member_error(name, "a whole number");
  return number;
}

Result<bool> json_bool(const JsonObject& object, std::string_view name) {
  const Json* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr || !value->is_bool()) return member_error(name, "true or false");
  return value->as_bool();
}

std::string json_string_or(const JsonObject& object, std::string_view name, std::string_view fallback) {
  auto value = json_string(object, name);
  return value ? *std::move(value) : std::string(fallback);
}

std::int64_t json_int_or(const JsonObject& object, std::string_view name, std::int64_t fallback) {
  auto value = json_int(object, name);
  return value ? *value : fallback;
}

bool json_bool_or(const JsonObject& object, std::string_view name, bool fallback) {
  auto value = json_bool(object, name);
  return value ? *value : fallback;
}

const JsonObject* json_find_object(const JsonObject& object, std::string_view name) {
  const Json* value = object.if_contains({name.data(), name.size()});
  return value == nullptr ? nullptr : value->if_object();
}

const JsonArray* json_find_array(const JsonObject& object, std::string_view name) {
  const Json* value = object.if_contains({name.data(), name.size()});
  return value == nullptr ? nullptr : value->if_array();
}

JsonObject error_to_json(const Error& error) {
  JsonObject object;
  object["code"] = error_code_name(error.code);
  object["message"] = error.message;
  if (!error.hint.empty()) object["hint"] = error.hint;
  if (!error.type.empty()) object["type"] = error.type;
  if (error.os_errno != 0) object["errno"] = error.os_errno;
  return object;
}

Error error_from_json(const JsonObject& object) {
  Error error;
  error.code = error_code_from_name(json_string_or(object, "code", "internal"));
  error.message = json_string_or(object, "message", "unknown error");
  error.hint = json_string_or(object, "hint", "");
  error.type = json_string_or(object, "type", "");
  error.os_errno = static_cast<int>(json_int_or(object, "errno", 0));
  return error;
}

}  // namespace cacs
