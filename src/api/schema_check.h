#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace cacs::api::testing {

/// What is wrong with `value` by `schema`, or an empty text. Knows the part of JSON Schema 2020-12 that the API's
/// document uses; any other keyword is reported as wrong, so that no check is skipped without anyone noticing.
std::string violation(const Json& value, const Json& schema, const JsonObject& document, const std::string& at = "$");

}  // namespace cacs::api::testing
