#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs::cli {

/// `Error::type` of a request that reached no server: exit code 5.
inline constexpr std::string_view kUnreachableType = "unreachable";

struct ApiRequest {
  std::string method = "GET";
  std::string target;  ///< path and query, encoded
  std::string body;    ///< JSON, or empty
  std::string accept = "application/json";
  std::string idempotency_key;
  std::string last_event_id;  ///< of an event stream that goes on; empty: from its beginning
};

struct ApiAnswer {
  int status = 0;
  std::string body;
  std::string location;
};

/// HTTP to one server. Errors are those of the way there (type kUnreachableType); an answer of any status is success.
/// One thread at a time, but for cancel().
class ApiClient {
 public:
  virtual ~ApiClient() = default;
  virtual Result<ApiAnswer> call(const ApiRequest& request) = 0;
  /// Hands the body of a 2xx answer to `sink` as it comes; its error ends the stream and is returned. The answer has a
  /// body only for other statuses. kAborted after cancel().
  virtual Result<ApiAnswer> stream(const ApiRequest& request, const std::function<Status(std::string_view)>& sink) = 0;
  /// Ends a stream() that another thread waits in, and all later ones, soon. Any thread.
  virtual void cancel() = 0;
};

/// A client for http://host:port or unix:/path that sends `token`, if any, as a bearer token.
Result<std::unique_ptr<ApiClient>> make_api_client(const std::string& server, const std::string& token);

}  // namespace cacs::cli
