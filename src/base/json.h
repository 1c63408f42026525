#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs {

using Json = boost::json::value;
using JsonObject = boost::json::object;
using JsonArray = boost::json::array;

/// Parses one JSON document of at most `max_bytes`, nested at most 32 deep. `what` names it in the error ("request
/// body").
Result<Json> parse_json(std::string_view text, std::string_view what, std::size_t max_bytes = std::size_t{16} << 20U);

/// The same, and the document must be an object.
Result<JsonObject> parse_json_object(std::string_view text, std::string_view what,
                                     std::size_t max_bytes = std::size_t{16} << 20U);

/// Members of an object that we or a peer of ours wrote. A missing or mistyped member is an error that names it.
Result<std::string> json_string(const JsonObject& object, std::string_view name);
Result<std::int64_t> json_int(const JsonObject& object, std::string_view name);
Result<bool> json_bool(const JsonObject& object, std::string_view name);

/// The same with a default for a member that is not there (or null).
std::string json_string_or(const JsonObject& object, std::string_view name, std::string_view fallback);
std::int64_t json_int_or(const JsonObject& object, std::string_view name, std::int64_t fallback);
bool json_bool_or(const JsonObject& object, std::string_view name, bool fallback);

/// Pointers into the object, or null when the member is missing or of another type.
const JsonObject* json_find_object(const JsonObject& object, std::string_view name);
const JsonArray* json_find_array(const JsonObject& object, std::string_view name);

/// An Error as JSON and back: how errors cross a socket between our own processes.
JsonObject error_to_json(const Error& error);
Error error_from_json(const JsonObject& object);

}  // namespace cacs
