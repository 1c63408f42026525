// Operations on the server itself.

#include "api/metrics.h"
#include "api/operation.h"

namespace cacs::api {
namespace {

net::Response health(const Call& /*call*/) { return json_answer(200, JsonObject{{"status", "ok"}}); }

net::Response ready(const Call& call) {
  const std::string reason = call.backend.service.not_ready_because();
  if (reason.empty()) return json_answer(200, JsonObject{{"status", "ready"}});
  return net::problem_response(make_error(ErrorCode::kUnavailable, reason).with_type("not-ready"));
}

net::Response version(const Call& /*call*/) {
  return json_answer(200, JsonObject{{"name", "cacs"}, {"version", CACS_VERSION}, {"api", "v1"}});
}

net::Response metrics(const Call& call) {
  net::Response response{.body = call.backend.metrics.collect(call.backend.service, call.backend.stats())};
  response.headers.add("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  return response;
}

net::Response openapi(const Call& call) { return net::json_response(200, call.backend.openapi()); }

}  // namespace

void add_server_operations(std::vector<Operation>& operations) {
  using net::RouteKind;
  operations.push_back({.method = "GET",
                        .path = "/healthz",
                        .id = "health",
                        .summary = "Whether the server answers",
                        .kind = RouteKind::kInline,
                        .answers = {{.schema = "Health", .description = "it does"}},
                        .open = true,
                        .handler = health});
  operations.push_back({.method = "GET",
                        .path = "/readyz",
                        .id = "ready",
                        .summary = "Whether the server can do its work (503 with the reason where not)",
                        .answers = {{.schema = "Health", .description = "it can"}},
                        .open = true,
                        .handler = ready});
  operations.push_back({.method = "GET",
                        .path = "/version",
                        .id = "version",
                        .summary = "Version of the server and its API",
                        .kind = RouteKind::kInline,
                        .answers = {{.schema = "Version", .description = "the version"}},
                        .open = true,
                        .handler = version});
  operations.push_back({.method = "GET",
                        .path = "/metrics",
                        .id = "metrics",
                        .summary = "Metrics for Prometheus",
                        .answers = {{.media = "text/plain", .description = "Prometheus' text format"}},
                        .handler = metrics});
  operations.push_back({.method = "GET",
                        .path = "/openapi.json",
                        .id = "openapi",
                        .summary = "This document",
                        .kind = RouteKind::kInline,
                        .answers = {{.schema = "AnyObject", .description = "OpenAPI 3.1"}},
                        .handler = openapi});
}

}  // namespace cacs::api
