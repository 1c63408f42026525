#include "api/operation.h"

#include <fmt/format.h>

#include <charconv>

#include "api/views_json.h"
#include "base/text.h"
#include "base/time.h"

namespace cacs::api {
namespace {

constexpr std::size_t kMaxKeyBytes = 255;

Error bad_query(std::string message, std::string hint = {}) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message), std::move(hint)).with_type("bad-query");
}

Status check_value(const QueryParam& param, const std::string& value) {
  switch (param.type) {
    case QueryParam::Type::kInteger: {
      std::int64_t number = 0;
      const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (problem != std::errc() || end != value.data() + value.size() || number < param.minimum ||
          number > param.maximum) {
        return bad_query(fmt::format("query parameter '{}' is not a number from {} to {}: '{}'", param.name,
                                     param.minimum, param.maximum, printable(value, 40)));
      }
      return ok_status();
    }
    case QueryParam::Type::kBoolean:
      if (value.empty() || value == "0" || value == "1" || value == "true" || value == "false") return ok_status();
      return bad_query(
          fmt::format("query parameter '{}' is neither true nor false: '{}'", param.name, printable(value, 40)));
    case QueryParam::Type::kDuration: {
      auto duration = parse_duration(value);
      if (!duration.ok())
        return bad_query(fmt::format("query parameter '{}': {}", param.name, duration.error().message));
      if (duration->count() <= param.maximum) return ok_status();
      return bad_query(fmt::format("query parameter '{}' is more than {} ms", param.name, param.maximum));
    }
    case QueryParam::Type::kText:
      break;
  }
  if (param.values.empty() || std::find(param.values.begin(), param.values.end(), value) != param.values.end()) {
    return ok_status();
  }
  const auto nearest = nearest_name(value, param.values);
  return bad_query(fmt::format("query parameter '{}' cannot be '{}'", param.name, printable(value, 40)),
                   nearest ? fmt::format("did you mean '{}'?", *nearest)
                           : fmt::format("possible: {}", fmt::join(param.values, ", ")));
}

Status check_query(const Operation& operation, const net::Query& query) {
  for (std::size_t i = 0; i < query.size(); ++i) {
    const auto& [name, value] = query[i];
    const auto known = std::find_if(operation.query.begin(), operation.query.end(),
                                    [&name = name](const QueryParam& param) { return param.name == name; });
    if (known == operation.query.end()) {
      std::vector<std::string_view> names;
      for (const QueryParam& param : operation.query) names.push_back(param.name);
      const auto nearest = nearest_name(name, names);
      std::string hint = nearest         ? fmt::format("did you mean '{}'?", *nearest)
                         : names.empty() ? "this call takes none"
                                         : fmt::format("this call takes: {}", fmt::join(names, ", "));
      return bad_query(fmt::format("unknown query parameter '{}'", printable(name, 60)), std::move(hint));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (query[j].first == name) return bad_query(fmt::format("query parameter '{}' is given twice", name));
    }
    CACS_TRY(check_value(*known, value));
  }
  return ok_status();
}

std::optional<net::Response> check_body(const Operation& operation, const net::Request& request) {
  const std::string media = media_type(request.headers.get("content-type"));
  if (request.body.empty()) {
    if (!operation.body_required) return std::nullopt;
    return net::problem_response(make_error(ErrorCode::kInvalidArgument, "this call needs a JSON body",
                                            fmt::format("see {} in /v1/openapi.json", operation.body)));
  }
  if (operation.body.empty()) {
    return net::problem_response(make_error(ErrorCode::kInvalidArgument, "this call takes no body"));
  }
  if (!media.empty() && media != "application/json") {
    return net::problem_response(415,
                                 make_error(ErrorCode::kInvalidArgument,
                                            fmt::format("content type {} is not possible here", printable(media, 60)),
                                            "send \"Content-Type: application/json\"")
                                     .with_type("unsupported-media-type"));
  }
  return std::nullopt;
}

Result<application::Caller> caller_of(const net::Request& request) {
  application::Caller caller;
  if (const std::string* key = request.headers.find("idempotency-key")) {
    const bool plain = std::all_of(key->begin(), key->end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (key->empty() || key->size() > kMaxKeyBytes || !plain) {
      return make_error(ErrorCode::kInvalidArgument, "the Idempotency-Key is not 1 to 255 plain characters",
                        "use a UUID")
          .with_type("bad-idempotency-key");
    }
    caller.idempotency_key = *key;
    const std::string_view path = std::string_view(request.path).starts_with("/v1/")
                                      ? std::string_view(request.path).substr(3)
                                      : std::string_view(request.path);
    caller.request_digest = sha256(fmt::format("{}\n{}\n{}", request.method, path, request.body));
  }
  return caller;
}

/// Everything that is checked before a handler; the refusal, or nothing.
std::optional<net::Response> check(const Operation& operation, const net::Request& request) {
  if (Status status = check_query(operation, request.query); !status.ok()) return net::problem_response(status.error());
  return check_body(operation, request);
}

net::Response answer(const Operation& operation, Backend& backend, const net::Request& request) {
  if (auto refused = check(operation, request)) return std::move(*refused);
  const auto caller = caller_of(request);
  if (!caller.ok()) return net::problem_response(caller.error());
  return operation.handler(Call{request, *caller, backend});
}

void answer_stream(const Operation& operation, Backend& backend, const net::Request& request,
                   net::ResponseStream& out) {
  auto refused = check(operation, request);
  const auto caller = caller_of(request);
  if (!refused && !caller.ok()) refused = net::problem_response(caller.error());
  if (refused) {
    static_cast<void>(out.respond(std::move(*refused)));  // a client that has gone needs no answer
    return;
  }
  operation.stream(Call{request, *caller, backend}, out);
}

}  // namespace

std::string media_type(std::string_view header) {
  std::string media(trim(header.substr(0, header.find(';'))));
  for (char& c : media) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return media;
}

bool accepts(const net::Request& request, std::string_view media) {
  for (const std::string& one : split(request.headers.get("accept"), ',')) {
    if (media_type(one) == media) return true;
  }
  return false;
}

std::string Call::query(std::string_view name, std::string_view fallback) const {
  const std::string* value = net::find_query(request.query, name);
  return value != nullptr ? *value : std::string(fallback);
}

std::int64_t Call::query_int(std::string_view name, std::int64_t fallback) const {
  const std::string* value = net::find_query(request.query, name);
  if (value == nullptr) return fallback;
  std::int64_t number = fallback;  // checked already: see check_value
  std::from_chars(value->data(), value->data() + value->size(), number);
  return number;
}

std::string Call::prefix() const { return request.route.starts_with("/v1/") ? "/v1" : ""; }

net::Response json_answer(int status, const Json& value) {
  return net::json_response(status, boost::json::serialize(value));
}

net::Response not_implemented(std::string_view what) {
  return net::problem_response(make_error(ErrorCode::kUnsupported,
                                          fmt::format("{} is not in this version of CACS", what),
                                          "GET /v1/version tells the version; the changelog tells which one brings it")
                                   .with_type("not-implemented"));
}

Operation later(std::string path, std::string id, std::string summary, std::string_view what) {
  return {.method = "POST",
          .path = std::move(path),
          .id = std::move(id),
          .summary = std::move(summary) + " (not in this version)",
          .kind = net::RouteKind::kInline,
          .body = "AnyObject",
          .answers = {{.status = 501,
                       .schema = "Problem",
                       .media = "application/problem+json",
                       .description = "not in this version"}},
          .handler = [what](const Call&) { return not_implemented(what); }};
}

net::Response accepted(const Call& call, const application::Started& started, std::string_view kind,
                       std::string_view application) {
  auto view = call.backend.service.get_operation(call.caller, started.operation);
  if (!view.ok()) {
    // It was started and may be over and forgotten already: what is known of it is said all the same.
    application::OperationView known;
    known.id = started.operation;
    known.kind = kind;
    known.application = application;
    known.state = "RUNNING";
    known.created_at = known.updated_at = wall_now();
    view = known;
  }
  net::Response response = json_answer(202, operation_to_json(*view));
  response.headers.add("Location", fmt::format("{}/operations/{}", call.prefix(), started.operation));
  if (started.replayed) response.headers.add("Idempotency-Replayed", "true");
  return response;
}

std::vector<Operation> all_operations() {
  std::vector<Operation> operations;
  add_application_operations(operations);
  add_checkpoint_operations(operations);
  add_stream_operations(operations);
  add_node_operations(operations);
  add_server_operations(operations);
  return operations;
}

std::vector<net::Route> routes_of(const std::vector<Operation>& operations, Backend& backend) {
  std::vector<net::Route> routes;
  for (const Operation& operation : operations) {
    for (const std::string_view prefix : {"/v1", ""}) {
      net::Route route{
          .method = operation.method, .pattern = std::string(prefix) + operation.path, .kind = operation.kind};
      if (operation.stream) {
        route.stream = [&operation, &backend](const net::Request& request, net::ResponseStream& out) {
          answer_stream(operation, backend, request, out);
        };
      } else {
        route.handler = [&operation, &backend](const net::Request& request) {
          return answer(operation, backend, request);
        };
      }
      routes.push_back(std::move(route));
    }
  }
  return routes;
}

}  // namespace cacs::api
