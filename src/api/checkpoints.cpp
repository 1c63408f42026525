// Operations on the checkpoints of an application.

#include <fmt/format.h>

#include "api/operation.h"
#include "api/views_json.h"

namespace cacs::api {
namespace {

using net::problem_response;
using net::Response;

Response list(const Call& call) {
  const application::ListFilter filter{.state = call.query("state"),
                                       .limit = static_cast<std::size_t>(call.query_int("limit", 100)),
                                       .cursor = call.query("cursor")};
  const auto page = call.backend.service.list_checkpoints(call.caller, call.param("id"), filter);
  return page.ok() ? json_answer(200, page_to_json(*page, checkpoint_to_json)) : problem_response(page.error());
}

Response get(const Call& call) {
  if (accepts(call.request, kCheckpointMedia)) return not_implemented("downloading a checkpoint");
  const auto view = call.backend.service.get_checkpoint(call.caller, call.param("id"), call.param("cid"));
  return view.ok() ? json_answer(200, checkpoint_to_json(*view)) : problem_response(view.error());
}

/// Bodies of calls that take no options yet: empty, or an empty object.
Status check_no_options(const net::Request& request) {
  if (request.body.empty()) return ok_status();
  CACS_ASSIGN(const JsonObject body, parse_json_object(request.body, "request body"));
  if (body.empty()) return ok_status();
  return make_error(ErrorCode::kInvalidArgument, fmt::format("unknown field '{}'", std::string(body.begin()->key())),
                    "this call takes no options")
      .with_type("unknown-field");
}

Response take(const Call& call) {
  if (Status status = check_no_options(call.request); !status.ok()) return problem_response(status.error());
  const auto started = call.backend.service.take_checkpoint(call.caller, call.param("id"));
  return started.ok() ? accepted(call, *started, "checkpoint", call.param("id")) : problem_response(started.error());
}

Result<std::optional<application::NodeWish>> parse_wish(const net::Request& request) {
  if (request.body.empty()) return std::optional<application::NodeWish>();
  CACS_ASSIGN(const JsonObject body, parse_json_object(request.body, "request body"));
  return application::parse_node_wish(body);
}

Response restart(const Call& call) {
  const auto wish = parse_wish(call.request);
  if (!wish) return problem_response(wish.error());
  const auto started = call.backend.service.restart(call.caller, call.param("id"), call.param("cid"), *wish);
  return started.ok() ? accepted(call, *started, "restart", call.param("id")) : problem_response(started.error());
}

Response remove(const Call& call) {
  const auto started = call.backend.service.delete_checkpoint(call.caller, call.param("id"), call.param("cid"));
  return started.ok() ? accepted(call, *started, "delete-checkpoint", call.param("id"))
                      : problem_response(started.error());
}

}  // namespace

void add_checkpoint_operations(std::vector<Operation>& operations) {
  const std::vector<Answer> begun = {
      {.status = 202, .schema = "Operation", .description = "it has begun", .location = true}};
  operations.push_back({.method = "GET",
                        .path = "/coordinators/{id}/checkpoints",
                        .id = "listCheckpoints",
                        .summary = "Checkpoints of an application",
                        .query = {{.name = "state",
                                   .description = "only those in this state",
                                   .values = {"DUMPING", "STORING", "AVAILABLE", "FAILED"}},
                                  {.name = "limit",
                                   .description = "items a page",
                                   .type = QueryParam::Type::kInteger,
                                   .minimum = 1,
                                   .maximum = 1'000},
                                  {.name = "cursor", .description = "next_cursor of the page before"}},
                        .answers = {{.schema = "CheckpointList", .description = "a page of checkpoints"}},
                        .handler = list});
  operations.push_back({.method = "POST",
                        .path = "/coordinators/{id}/checkpoints",
                        .id = "takeCheckpoint",
                        .summary = "Take a checkpoint now (uploading one is not in this version: 501)",
                        .body = "NoOptions",
                        .answers = begun,
                        .handler = take});
  operations.push_back({.method = "GET",
                        .path = "/coordinators/{id}/checkpoints/{cid}",
                        .id = "getCheckpoint",
                        .summary = "One checkpoint; 'latest' is the newest that is available",
                        .answers = {{.schema = "Checkpoint", .description = "the checkpoint"}},
                        .handler = get});
  operations.push_back({.method = "POST",
                        .path = "/coordinators/{id}/checkpoints/{cid}",
                        .id = "restartFromCheckpoint",
                        .summary = "Restart the application from this checkpoint, if asked for on other nodes",
                        .body = "RestartOptions",
                        .answers = begun,
                        .handler = restart});
  operations.push_back({.method = "DELETE",
                        .path = "/coordinators/{id}/checkpoints/{cid}",
                        .id = "deleteCheckpoint",
                        .summary = "Delete a checkpoint; space comes back at the next collection",
                        .answers = begun,
                        .handler = remove});
}

}  // namespace cacs::api
