#include "agent/client/agent_client.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <utility>

#include "net/http_target.h"

namespace cacs::agent {
namespace {

using std::chrono::milliseconds;

// Time limits of calls that wait for no more than a disk or a process.
constexpr milliseconds kQuick{10'000};
constexpr milliseconds kSlow{60'000};
constexpr milliseconds kCommit{120'000};
/// Reads every chunk of a checkpoint; a size of disk, not a fault, decides how long that takes.
constexpr milliseconds kVerify{4 * 3600'000};
/// What an answer may take beyond the wait or deadline that was asked for.
constexpr milliseconds kMargin{15'000};
constexpr milliseconds kDefaultCutDeadline{60'000};

std::string pod_path(std::string_view uid) { return "/v1/pods/" + net::percent_encode(uid); }

std::string cut_path(std::string_view uid, std::string_view checkpoint) {
  return pod_path(uid) + "/cuts/" + net::percent_encode(checkpoint);
}

std::string checkpoint_path(std::string_view checkpoint) {
  return "/v1/checkpoints/" + net::percent_encode(checkpoint);
}

/// "stdout=5&stderr=0&limit=6"
std::string query_of(const cloud::LogQuery& query) {
  std::string text;
  if (query.out) text += fmt::format("stdout={}&", *query.out);
  if (query.err) text += fmt::format("stderr={}&", *query.err);
  return text + fmt::format("limit={}", query.limit);
}

net::ClientOptions options_for(const std::filesystem::path& socket) {
  net::ClientOptions options;
  options.unix_socket = socket.string();
  return options;
}

/// A cut calls for each pod of a node at once, and once more while they are frozen: then no connection should have to
/// be made, and its certificates proved.
net::ClientOptions keep_connections(net::ClientOptions options) {
  options.kept_connections = 64;
  return options;
}

}  // namespace

Client::Client(const std::filesystem::path& socket) : Client(options_for(socket)) {}
Client::Client(net::ClientOptions options) : http_(keep_connections(std::move(options))) {}

Result<JsonObject> Client::make(const Call& call) {
  net::ClientRequest request;
  request.method = call.method;
  request.target = call.target;
  request.timeout = call.limit;
  if (call.body != nullptr) {
    request.body = boost::json::serialize(*call.body);
    request.headers.add("Content-Type", "application/json");
  }
  const std::string doing = fmt::format("agent: {} {}", call.method, call.target.substr(0, call.target.find('?')));
  const Result<net::ClientResponse> answer = http_.send(request);
  if (!answer.ok()) {
    Error error = answer.error().with_context(doing);
    // Whether it was never reached or did not answer in time: the caller cannot know what became of the call.
    if (error.code == ErrorCode::kTimeout) error.code = ErrorCode::kUnavailable;
    return error;
  }
  CACS_TRY(net::expect_success(*answer, doing));
  if (answer->body.empty()) return JsonObject{};
  return parse_json_object(answer->body, doing, std::size_t{64} << 20U);
}

Result<JsonObject> Client::info() { return make({.method = "GET", .target = "/v1/info"}); }

Result<JsonObject> Client::events(std::uint64_t after, std::string_view instance, milliseconds wait) {
  return make({.method = "GET",
               .target = fmt::format("/v1/events?after={}&instance={}&wait_ms={}", after, net::percent_encode(instance),
                                     wait.count()),
               .limit = wait + kMargin});
}

Result<JsonObject> Client::list_pods() { return make({.method = "GET", .target = "/v1/pods"}); }

Result<JsonObject> Client::put_pod(std::string_view uid, const JsonObject& spec) {
  return make({.method = "PUT", .target = pod_path(uid), .body = &spec, .limit = kSlow});
}

Result<JsonObject> Client::get_pod(std::string_view uid) { return make({.method = "GET", .target = pod_path(uid)}); }

Status Client::delete_pod(std::string_view uid, int incarnation) {
  CACS_TRY(make(
      {.method = "DELETE", .target = fmt::format("{}?incarnation={}", pod_path(uid), incarnation), .limit = kSlow}));
  return {};
}

Result<JsonObject> Client::ask_to_save(std::string_view uid, std::string_view checkpoint, const JsonObject& body) {
  const milliseconds timeout(json_int_or(body, "timeout_ms", kDefaultCutDeadline.count()));
  return make(
      {.method = "POST", .target = cut_path(uid, checkpoint) + "/ask", .body = &body, .limit = timeout + kMargin});
}

Result<JsonObject> Client::begin_cut(std::string_view uid, std::string_view checkpoint, const JsonObject& body) {
  const milliseconds deadline(json_int_or(body, "deadline_ms", kDefaultCutDeadline.count()));
  return make({.method = "POST", .target = cut_path(uid, checkpoint), .body = &body, .limit = deadline + kMargin});
}

Result<JsonObject> Client::thaw(std::string_view uid, std::string_view checkpoint, int incarnation) {
  const JsonObject body{{"incarnation", incarnation}};
  return make({.method = "POST", .target = cut_path(uid, checkpoint) + "/thaw", .body = &body, .limit = kQuick});
}

Result<JsonObject> Client::abort_cut(std::string_view uid, std::string_view checkpoint, int incarnation) {
  const JsonObject body{{"incarnation", incarnation}};
  return make({.method = "POST", .target = cut_path(uid, checkpoint) + "/abort", .body = &body, .limit = kSlow});
}

Result<JsonObject> Client::get_cut(std::string_view uid, std::string_view checkpoint, milliseconds wait) {
  return make({.method = "GET",
               .target = fmt::format("{}?wait_ms={}", cut_path(uid, checkpoint), wait.count()),
               .limit = wait + kMargin});
}

Result<JsonObject> Client::commit_checkpoint(std::string_view checkpoint, const JsonObject& body) {
  return make({.method = "PUT", .target = checkpoint_path(checkpoint), .body = &body, .limit = kCommit});
}

Result<JsonObject> Client::list_checkpoints() {
  return make({.method = "GET", .target = "/v1/checkpoints", .limit = kSlow});
}

Result<JsonObject> Client::get_checkpoint(std::string_view checkpoint) {
  return make({.method = "GET", .target = checkpoint_path(checkpoint)});
}

Result<JsonObject> Client::verify_checkpoint(std::string_view checkpoint) {
  return make({.method = "GET", .target = checkpoint_path(checkpoint) + "/verify", .limit = kVerify});
}

Status Client::delete_checkpoint(std::string_view checkpoint) {
  CACS_TRY(make({.method = "DELETE", .target = checkpoint_path(checkpoint), .limit = kCommit}));
  return {};
}

Result<std::string> Client::permit_export(std::string_view checkpoint, std::string_view pod) {
  const JsonObject body{{"pod", pod}};
  CACS_ASSIGN(const JsonObject said,
              make({.method = "POST", .target = checkpoint_path(checkpoint) + "/exports", .body = &body}));
  return json_string(said, "ticket");
}

Status Client::open_network(std::string_view uid, int incarnation) {
  const JsonObject body{{"incarnation", incarnation}};
  CACS_TRY(make({.method = "POST", .target = pod_path(uid) + "/network", .body = &body}));
  return {};
}

Status Client::report_outcome(std::string_view uid, const JsonObject& body) {
  CACS_TRY(make({.method = "POST", .target = pod_path(uid) + "/outcome", .body = &body}));
  return {};
}

Result<JsonObject> Client::logs(std::string_view uid, const cloud::LogQuery& query) {
  return make({.method = "GET",
               .target = fmt::format("{}/logs?{}&wait_ms={}", pod_path(uid), query_of(query), query.wait.count()),
               .limit = query.wait + kMargin});
}

Result<JsonObject> Client::checkpoint_logs(std::string_view checkpoint, std::string_view pod,
                                           const cloud::LogQuery& query) {
  return make({.method = "GET",
               .target = fmt::format("{}/logs?{}&pod={}", checkpoint_path(checkpoint), query_of(query),
                                     net::percent_encode(pod)),
               .limit = kSlow});
}

Result<JsonObject> Client::exec(std::string_view uid, const JsonObject& body) {
  const milliseconds timeout(json_int_or(body, "timeout_ms", kSlow.count()));
  return make({.method = "POST", .target = pod_path(uid) + "/exec", .body = &body, .limit = timeout + kMargin});
}

Result<JsonObject> Client::explain(std::string_view uid) {
  return make({.method = "GET", .target = pod_path(uid) + "/explain", .limit = kSlow});
}

}  // namespace cacs::agent
