// Operations on applications (in the papers: coordinators).

#include <fmt/format.h>

#include "api/application_cache.h"
#include "api/operation.h"
#include "api/views_json.h"
#include "base/text.h"

namespace cacs::api {
namespace {

using net::problem_response;
using net::Response;

constexpr std::int64_t kMaxPage = 1'000;

Response list(const Call& call) {
  const application::ListFilter filter{.state = call.query("state"),
                                       .cloud = call.query("cloud"),
                                       .name = call.query("name"),
                                       .limit = static_cast<std::size_t>(call.query_int("limit", 100)),
                                       .cursor = call.query("cursor")};
  const auto page = call.backend.service.list(call.caller, filter);
  if (!page.ok()) return problem_response(page.error());
  return json_answer(200, page_to_json(*page, [](const auto& view) { return application_to_json(view, false); }));
}

Response submit(const Call& call) {
  const auto body = parse_json_object(call.request.body, "request body");
  if (!body.ok()) return problem_response(body.error());
  const auto asr = application::parse_asr(*body);
  if (!asr.ok()) return problem_response(asr.error());
  const auto started = call.backend.service.submit(call.caller, *asr);
  if (!started.ok()) return problem_response(started.error());
  const auto view = call.backend.service.get(call.caller, started->id);
  if (!view.ok()) return problem_response(view.error().with_context("the application was submitted, but"));
  Response response = json_answer(201, application_to_json(**view, true));
  response.headers.add("Location", fmt::format("{}/coordinators/{}", call.prefix(), started->id));
  if (!started->operation.empty()) {
    response.headers.add("Link", fmt::format("<{}/operations/{}>; rel=\"monitor\"", call.prefix(), started->operation));
  }
  if (started->replayed) response.headers.add("Idempotency-Replayed", "true");
  return response;
}

Response get(const Call& call) {
  const std::string& id = call.param("id");
  const auto view = call.backend.service.get(call.caller, id);
  if (!view.ok()) {
    call.backend.cache.forget(id);
    return problem_response(view.error());
  }
  Response response;
  response.headers.add("Content-Type", "application/json");
  response.shared_body = call.backend.cache.json_of(*view);
  return response;
}

Response terminate(const Call& call) {
  const auto started = call.backend.service.terminate(call.caller, call.param("id"));
  if (!started.ok()) return problem_response(started.error());
  return accepted(call, *started, "delete", call.param("id"));
}

Status check_exec(const JsonObject& body) {
  static constexpr std::array<std::string_view, 7> kKnown = {"command",    "env", "workdir", "user",
                                                             "timeout_ms", "pod", "stdin"};
  for (const auto& member : body) {
    const std::string_view name(member.key().data(), member.key().size());
    if (std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) continue;
    const auto nearest = nearest_name(name, kKnown);
    return make_error(ErrorCode::kInvalidArgument, fmt::format("unknown field '{}'", printable(name, 60)),
                      nearest ? fmt::format("did you mean '{}'?", *nearest)
                              : fmt::format("possible: {}", fmt::join(kKnown, ", ")))
        .with_type("unknown-field");
  }
  const JsonArray* command = json_find_array(body, "command");
  const bool texts = command != nullptr && !command->empty() &&
                     std::all_of(command->begin(), command->end(), [](const Json& part) { return part.is_string(); });
  if (texts) return ok_status();
  return make_error(ErrorCode::kInvalidArgument, "'command' is missing or not a list of strings",
                    R"(for example {"command": ["ps", "aux"]})");
}

Response exec(const Call& call) {
  const auto body = parse_json_object(call.request.body, "request body");
  if (!body.ok()) return problem_response(body.error());
  if (Status status = check_exec(*body); !status.ok()) return problem_response(status.error());
  const auto result = call.backend.service.exec(call.caller, call.param("id"), *body);
  return result.ok() ? json_answer(200, *result) : problem_response(result.error());
}

Response explain(const Call& call) {
  const auto result = call.backend.service.explain(call.caller, call.param("id"));
  return result.ok() ? json_answer(200, *result) : problem_response(result.error());
}

Response get_operation(const Call& call) {
  const auto view = call.backend.service.get_operation(call.caller, call.param("id"));
  return view.ok() ? json_answer(200, operation_to_json(*view)) : problem_response(view.error());
}

}  // namespace

void add_application_operations(std::vector<Operation>& operations) {
  using Type = QueryParam::Type;
  operations.push_back(
      {.method = "GET",
       .path = "/coordinators",
       .id = "listApplications",
       .summary = "Applications, oldest first",
       .query =
           {{.name = "state",
             .description = "only those in this state",
             .values = {"QUEUED", "CREATING", "PROVISIONING", "READY", "RUNNING", "RESTARTING", "SUSPENDING",
                        "SUSPENDED", "COMPLETED", "ERROR", "TERMINATING"}},
            {.name = "cloud", .description = "only those of this cloud"},
            {.name = "name", .description = "only those of this name"},
            {.name = "limit", .description = "items a page", .type = Type::kInteger, .minimum = 1, .maximum = kMaxPage},
            {.name = "cursor", .description = "next_cursor of the page before"}},
       .answers = {{.schema = "ApplicationList", .description = "a page of applications, without asr and events"}},
       .handler = list});
  operations.push_back({.method = "POST",
                        .path = "/coordinators",
                        .id = "submitApplication",
                        .summary = "Submit an application (ASR)",
                        .body = "ASR",
                        .body_required = true,
                        .answers = {{.status = 201,
                                     .schema = "Application",
                                     .description = "it was stored and will be started",
                                     .location = true}},
                        .handler = submit});
  operations.push_back({.method = "GET",
                        .path = "/coordinators/{id}",
                        .id = "getApplication",
                        .summary = "One application",
                        .kind = net::RouteKind::kInline,
                        .answers = {{.schema = "Application", .description = "the application"}},
                        .handler = get});
  operations.push_back(
      {.method = "DELETE",
       .path = "/coordinators/{id}",
       .id = "terminateApplication",
       .summary = "Terminate an application and remove all it has: processes, nodes, checkpoints, record",
       .answers = {{.status = 202, .schema = "Operation", .description = "termination has begun", .location = true}},
       .handler = terminate});
  operations.push_back(later("/coordinators/{id}/clone", "cloneApplication", "New application from a checkpoint",
                             "cloning an application"));
  operations.push_back(
      later("/coordinators/{id}/migrate", "migrateApplication", "Move to another cloud or server", "migration"));
  operations.push_back(later("/coordinators/{id}/suspend", "suspendApplication", "Checkpoint and give the nodes back",
                             "suspending an application"));
  operations.push_back(
      later("/coordinators/{id}/resume", "resumeApplication", "Come back after a suspend", "resuming an application"));
  operations.push_back({.method = "POST",
                        .path = "/coordinators/{id}/exec",
                        .id = "execInApplication",
                        .summary = "Run a command in a pod to its end",
                        .kind = net::RouteKind::kLong,
                        .body = "ExecRequest",
                        .body_required = true,
                        .answers = {{.schema = "ExecResult", .description = "how it ended and what it printed"}},
                        .handler = exec});
  operations.push_back({.method = "GET",
                        .path = "/coordinators/{id}/explain",
                        .id = "explainApplication",
                        .summary = "Can it be saved; what stands in the way, by name",
                        .answers = {{.schema = "Explanation", .description = "the verdict"}},
                        .handler = explain});
  operations.push_back({.method = "GET",
                        .path = "/operations/{id}",
                        .id = "getOperation",
                        .summary = "How something that takes long goes",
                        .kind = net::RouteKind::kInline,
                        .answers = {{.schema = "Operation", .description = "the operation"}},
                        .handler = get_operation});
}

}  // namespace cacs::api
