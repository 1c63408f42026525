#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http_message.h"

namespace cacs::net {

/// Where a proxy is taken from.
enum class ProxyUse {
  kEnvironment,  ///< http_proxy, https_proxy, no_proxy
  kNone,         ///< the other side is on this machine or its link
};

struct ClientOptions {
  std::string base_url = "http://localhost";  ///< scheme, host and port; no path
  std::string unix_socket;                    ///< where set: connections go there, whatever the host
  Headers headers;                            ///< sent with every request (Authorization)
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds timeout{30'000};   ///< of a whole call; a request may say otherwise
  std::chrono::milliseconds peer_timeout{0};   ///< a connection whose other end is not heard of is given up; 0: minutes
  std::chrono::milliseconds stall_timeout{0};  ///< of a call in which not one byte passes; full seconds; 0: none
  std::string ca_file;                         ///< authorities to trust instead of the system's (PEM)
  std::string certificate_file;                ///< what to prove oneself by (PEM), and its key
  std::string key_file;
  std::string connect_to;      ///< "address:port" that all connections go to; certificates are of base_url's host
  int network_namespace = -1;  ///< that connections start from; -1: the calling thread's. Stays the caller's
  ProxyUse proxy = ProxyUse::kEnvironment;
  std::size_t max_response_bytes = std::size_t{64} << 20U;
  std::size_t kept_connections = 4;  ///< idle handles kept for reuse
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  ///< path and query, encoded
  Headers headers;
  std::string body;
  std::optional<std::chrono::milliseconds> timeout;  ///< 0: none (streams, long polls bounded by the other side)
  std::stop_token stop;                              ///< gives the call up: kAborted
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};

/// Told of the body of an answer piece by piece. False: enough; the call ends with success.
using OnData = std::function<bool(std::string_view)>;

/// Outgoing HTTP. Calls block; any number of threads may call at once, each over a connection of its own, which is kept
/// for the next. An answer with an error status is a success here: look at `status`, or use expect_success().
class HttpClient {
 public:
  explicit HttpClient(ClientOptions options);
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  /// kUnavailable: could not connect, or the connection was lost (the request may have been done or not: repeat only
  /// what is idempotent). kTimeout, kAborted (stopped), kTooLarge (answer over max_response_bytes), kPermission (the
  /// other side's certificate is not trusted).
  Result<ClientResponse> send(const ClientRequest& request);

  /// The same, but the body of a 2xx answer goes to `on_data` as it comes, unbounded in all; `body` of the result stays
  /// empty. Of any other answer the body is in the result.
  Result<ClientResponse> stream(const ClientRequest& request, const OnData& on_data);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The error that an answer stands for, or success (status below 400). Understands problem details and the error
/// documents of agents (base/json.h, error_to_json).
Status expect_success(const ClientResponse& response, std::string_view doing);

}  // namespace cacs::net
