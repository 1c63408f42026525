#include "api/openapi.h"

#include "base/text.h"

namespace cacs::api {
namespace {

Json ref(std::string_view schema) { return JsonObject{{"$ref", "#/components/schemas/" + std::string(schema)}}; }

JsonObject content(std::string_view media, Json schema) {
  return {{std::string(media), JsonObject{{"schema", std::move(schema)}}}};
}

Json query_schema(const QueryParam& param) {
  using Type = QueryParam::Type;
  switch (param.type) {
    case Type::kInteger:
      return JsonObject{{"type", "integer"}, {"minimum", param.minimum}, {"maximum", param.maximum}};
    case Type::kBoolean:
      return JsonObject{{"type", "boolean"}};
    case Type::kDuration:
      return JsonObject{{"type", "string"}, {"pattern", "^[0-9.]+(ms|s|m|h|d)$"}};
    case Type::kText:
      break;
  }
  JsonObject schema{{"type", "string"}};
  if (!param.values.empty()) {
    JsonArray values;
    for (const std::string_view value : param.values) values.emplace_back(std::string(value));
    schema["enum"] = std::move(values);
  }
  return schema;
}

JsonArray parameters(const Operation& operation) {
  JsonArray list;
  for (const std::string& segment : split(operation.path, '/')) {
    if (!segment.starts_with('{')) continue;
    list.emplace_back(JsonObject{{"name", segment.substr(1, segment.size() - 2)},
                                 {"in", "path"},
                                 {"required", true},
                                 {"schema", JsonObject{{"type", "string"}}}});
  }
  for (const QueryParam& param : operation.query) {
    list.emplace_back(JsonObject{{"name", std::string(param.name)},
                                 {"in", "query"},
                                 {"description", std::string(param.description)},
                                 {"schema", query_schema(param)}});
  }
  const bool changes = operation.method != "GET";
  if (changes) {
    list.emplace_back(
        JsonObject{{"name", "Idempotency-Key"},
                   {"in", "header"},
                   {"description", "the same key with the same request does nothing twice; kept for 24 h"},
                   {"schema", JsonObject{{"type", "string"}, {"maxLength", 255}}}});
  }
  return list;
}

JsonObject responses(const Operation& operation) {
  JsonObject all;
  for (const Answer& answer : operation.answers) {
    const std::string status = std::to_string(answer.status);
    if (!all.contains(status)) {
      all[status] = JsonObject{{"description", std::string(answer.description)}, {"content", JsonObject()}};
    }
    JsonObject& one = all[status].as_object();
    Json schema = answer.schema.empty() ? Json(JsonObject{{"type", "string"}}) : ref(answer.schema);
    one["content"].as_object()[std::string(answer.media)] = JsonObject{{"schema", std::move(schema)}};
    if (answer.location) {
      one["headers"] = JsonObject{{"Location", JsonObject{{"schema", JsonObject{{"type", "string"}}}}}};
    }
  }
  all["default"] = JsonObject{{"description", "an error (RFC 9457)"},
                              {"content", content("application/problem+json", ref("Problem"))}};
  return all;
}

JsonObject describe(const Operation& operation) {
  JsonObject object;
  object["operationId"] = operation.id;
  object["summary"] = operation.summary;
  if (JsonArray list = parameters(operation); !list.empty()) object["parameters"] = std::move(list);
  if (!operation.body.empty()) {
    object["requestBody"] = JsonObject{{"required", operation.body_required},
                                       {"content", content("application/json", ref(operation.body))}};
  }
  object["responses"] = responses(operation);
  if (operation.open) object["security"] = JsonArray();
  return object;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text;
}

}  // namespace

JsonObject openapi_document(const std::vector<Operation>& operations) {
  JsonObject paths;
  for (const Operation& operation : operations) {
    Json& path = paths[operation.path];
    if (path.is_null()) path.emplace_object();
    path.as_object()[lower(operation.method)] = describe(operation);
  }
  JsonObject document;
  document["openapi"] = "3.1.0";
  document["info"] = JsonObject{{"title", "CACS"},
                                {"version", CACS_VERSION},
                                {"summary", "Cloud-Agnostic Checkpointing Service"},
                                {"license", JsonObject{{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}};
  document["servers"] = JsonArray{JsonObject{{"url", "/v1"}}};
  document["paths"] = std::move(paths);
  document["components"] =
      JsonObject{{"schemas", schemas()},
                 {"securitySchemes", JsonObject{{"token", JsonObject{{"type", "http"}, {"scheme", "bearer"}}}}}};
  document["security"] = JsonArray{JsonObject{{"token", JsonArray()}}};
  return document;
}

}  // namespace cacs::api
