#include "api/schema_check.h"

#include <regex>

namespace cacs::api::testing {
namespace {

bool has_type(const Json& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_bool();
  if (type == "null") return value.is_null();
  if (type == "integer") return value.is_int64() || value.is_uint64();
  return type == "number" && value.is_number();
}

bool type_fits(const Json& value, const Json& type) {
  if (type.is_string()) return has_type(value, std::string(type.as_string()));
  for (const Json& one : type.as_array()) {
    if (has_type(value, std::string(one.as_string()))) return true;
  }
  return false;
}

std::string check_members(const JsonObject& value, const JsonObject& schema, const JsonObject& document,
                          const std::string& at) {
  if (const JsonArray* required = json_find_array(schema, "required")) {
    for (const Json& name : *required) {
      if (!value.contains(name.as_string())) return at + ": lacks " + std::string(name.as_string());
    }
  }
  const JsonObject* properties = json_find_object(schema, "properties");
  const Json* additional = schema.if_contains("additionalProperties");
  for (const auto& member : value) {
    const Json* known = properties != nullptr ? properties->if_contains(member.key()) : nullptr;
    const std::string where = at + "." + std::string(member.key());
    if (known != nullptr) {
      if (std::string wrong = violation(member.value(), *known, document, where); !wrong.empty()) return wrong;
    } else if (additional != nullptr && additional->is_bool() && !additional->as_bool()) {
      return where + ": is not in the schema";
    }
  }
  return {};
}

std::string check_array(const JsonArray& value, const JsonObject& schema, const JsonObject& document,
                        const std::string& at) {
  if (static_cast<std::int64_t>(value.size()) < json_int_or(schema, "minItems", 0)) return at + ": too few items";
  const Json* items = schema.if_contains("items");
  for (std::size_t i = 0; items != nullptr && i < value.size(); ++i) {
    if (std::string wrong = violation(value[i], *items, document, at + "[" + std::to_string(i) + "]"); !wrong.empty()) {
      return wrong;
    }
  }
  return {};
}

std::string check_scalar(const Json& value, const JsonObject& schema, const std::string& at) {
  if (const JsonArray* values = json_find_array(schema, "enum")) {
    if (std::find(values->begin(), values->end(), value) == values->end()) return at + ": not one of the enum";
  }
  if (const Json* constant = schema.if_contains("const"); constant != nullptr && *constant != value)
    return at + ": not the constant";
  if (value.is_string() && schema.contains("pattern")) {
    if (!std::regex_search(std::string(value.as_string()), std::regex(json_string_or(schema, "pattern", "")))) {
      return at + ": does not match the pattern";
    }
  }
  if (value.is_number()) {
    const auto number = value.to_number<double>();
    if (schema.contains("minimum") && number < schema.at("minimum").to_number<double>()) return at + ": too small";
    if (schema.contains("maximum") && number > schema.at("maximum").to_number<double>()) return at + ": too large";
  }
  return {};
}

std::string check_combined(const Json& value, const JsonObject& schema, const JsonObject& document,
                           const std::string& at) {
  if (const JsonArray* all = json_find_array(schema, "allOf")) {
    for (const Json& one : *all) {
      if (std::string wrong = violation(value, one, document, at); !wrong.empty()) return wrong;
    }
  }
  if (const JsonArray* any = json_find_array(schema, "anyOf")) {
    std::string last;
    for (const Json& one : *any) {
      last = violation(value, one, document, at);
      if (last.empty()) return {};
    }
    return last;
  }
  return {};
}

}  // namespace

std::string violation(const Json& value, const Json& schema, const JsonObject& document, const std::string& at) {
  static constexpr std::array<std::string_view, 14> kKnown = {
      "$ref",    "type",     "required", "properties", "additionalProperties",
      "items",   "minItems", "enum",     "const",      "pattern",
      "minimum", "maximum",  "allOf",    "anyOf"};
  const JsonObject& rules = schema.as_object();
  for (const auto& rule : rules) {
    const std::string_view key(rule.key().data(), rule.key().size());
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end())
      return at + ": unknown keyword " + std::string(key);
  }
  if (const Json* ref = rules.if_contains("$ref")) {
    const std::string name = std::string(ref->as_string()).substr(std::string_view("#/components/schemas/").size());
    const Json* target = document.at("components").at("schemas").as_object().if_contains(name);
    return target == nullptr ? at + ": no schema " + name : violation(value, *target, document, at);
  }
  if (const Json* type = rules.if_contains("type"); type != nullptr && !type_fits(value, *type))
    return at + ": wrong type";
  if (std::string wrong = check_combined(value, rules, document, at); !wrong.empty()) return wrong;
  if (std::string wrong = check_scalar(value, rules, at); !wrong.empty()) return wrong;
  if (value.is_object()) return check_members(value.as_object(), rules, document, at);
  if (value.is_array()) return check_array(value.as_array(), rules, document, at);
  return {};
}

}  // namespace cacs::api::testing
