#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "application/service.h"
#include "net/http_router.h"
#include "net/http_server.h"

namespace cacs::api {

class Metrics;
class ApplicationCache;

/// One query parameter that an operation takes.
struct QueryParam {
  enum class Type { kText, kInteger, kBoolean, kDuration };
  std::string_view name;
  std::string_view description;
  Type type = Type::kText;
  std::int64_t minimum = 0;  ///< of integers
  std::int64_t maximum = 0;
  std::vector<std::string_view> values;  ///< of texts; empty: any
};

/// One answer an operation may give when all goes well. Errors are problem details for every operation.
struct Answer {
  int status = 200;
  std::string_view schema;  ///< name in components/schemas; empty: not JSON
  std::string_view media = "application/json";
  std::string_view description;
  bool location = false;  ///< carries Location
};

/// What handlers have at hand.
struct Backend {
  application::Service& service;
  Metrics& metrics;
  ApplicationCache& cache;
  std::function<net::ServerStats()> stats;
  std::function<const std::string&()> openapi;
};

/// A request that has been checked against its operation.
struct Call {
  const net::Request& request;
  const application::Caller& caller;
  Backend& backend;

  [[nodiscard]] const std::string& param(std::string_view name) const { return request.param(name); }
  /// A query parameter, or the default.
  [[nodiscard]] std::string query(std::string_view name, std::string_view fallback = {}) const;
  [[nodiscard]] std::int64_t query_int(std::string_view name, std::int64_t fallback) const;
  /// "/v1" where the request came with it: Location headers point back the way the client came.
  [[nodiscard]] std::string prefix() const;
};

/// One operation of the API: the row that its routes, its checks and its part of the OpenAPI document all come from, so
/// that none of them can be forgotten.
struct Operation {
  std::string method;
  std::string path;  ///< without /v1
  std::string id;    ///< operationId
  std::string summary;
  net::RouteKind kind = net::RouteKind::kBlocking;
  std::vector<QueryParam> query;
  std::string_view body;       ///< schema of the JSON body; empty: takes none
  bool body_required = false;  ///< an empty body is an error
  std::vector<Answer> answers;
  bool open = false;  ///< needs no token
  std::function<net::Response(const Call&)> handler;
  std::function<void(const Call&, net::ResponseStream&)> stream;
};

/// All of them.
std::vector<Operation> all_operations();

// The groups that all_operations() is made of.
void add_application_operations(std::vector<Operation>& operations);
void add_checkpoint_operations(std::vector<Operation>& operations);
void add_stream_operations(std::vector<Operation>& operations);
void add_node_operations(std::vector<Operation>& operations);
void add_server_operations(std::vector<Operation>& operations);

/// Routes of the operations, each under /v1 and without. Every request is checked before its handler: unknown, repeated
/// or malformed query parameters, content type, JSON where JSON is due, idempotency key.
std::vector<net::Route> routes_of(const std::vector<Operation>& operations, Backend& backend);

/// The media type of checkpoints that are uploaded and downloaded.
inline constexpr std::string_view kCheckpointMedia = "application/vnd.cacs.checkpoint";

/// "application/json" of "application/json; charset=utf-8", in lower case.
std::string media_type(std::string_view header);
/// Whether an Accept header names this media type.
bool accepts(const net::Request& request, std::string_view media);

net::Response not_implemented(std::string_view what);
/// A POST that this version answers so; `summary` is the document's, `what` the problem's. Both outlive the operation.
Operation later(std::string path, std::string id, std::string summary, std::string_view what);

/// The answer to a call that started something that takes time: 202, Location of the operation, and the operation.
net::Response accepted(const Call& call, const application::Started& started, std::string_view kind,
                       std::string_view application);

/// A page as {"items": [...], "next_cursor"}.
template <typename T, typename ToJson>
JsonObject page_to_json(const application::Page<T>& page, ToJson to_json) {
  JsonObject object;
  JsonArray items;
  for (const T& item : page.items) items.emplace_back(to_json(item));
  object["items"] = std::move(items);
  object["next_cursor"] = page.next_cursor.empty() ? Json(nullptr) : Json(page.next_cursor);
  return object;
}

net::Response json_answer(int status, const Json& value);

}  // namespace cacs::api
