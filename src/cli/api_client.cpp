#include "cli/api_client.h"

#include <stop_token>

#include "net/http_client.h"

namespace cacs::cli {

namespace {

/// Long enough for exec, which ends with its command; anything else answers at once.
constexpr std::chrono::hours kCallTimeout(24);

class HttpApiClient final : public ApiClient {
 public:
  HttpApiClient(std::string server, net::ClientOptions options)
      : server_(std::move(server)), client_(std::move(options)) {}

  Result<ApiAnswer> call(const ApiRequest& request) override {
    return to_answer(client_.send(to_request(request, kCallTimeout)));
  }

  Result<ApiAnswer> stream(const ApiRequest& request, const std::function<Status(std::string_view)>& sink) override {
    Status taken;
    auto response = client_.stream(to_request(request, std::chrono::milliseconds(0)), [&](std::string_view bytes) {
      taken = sink(bytes);
      return taken.ok();
    });
    CACS_TRY(taken);
    return to_answer(std::move(response));
  }

  void cancel() override { stop_.request_stop(); }

 private:
  [[nodiscard]] net::ClientRequest to_request(const ApiRequest& request, std::chrono::milliseconds timeout) const {
    net::ClientRequest out;
    out.method = request.method;
    out.target = request.target;
    out.headers.add("accept", request.accept);
    if (!request.idempotency_key.empty()) out.headers.add("idempotency-key", request.idempotency_key);
    if (!request.last_event_id.empty()) out.headers.add("last-event-id", request.last_event_id);
    if (!request.body.empty()) out.headers.add("content-type", "application/json");
    out.body = request.body;
    out.timeout = timeout;
    out.stop = stop_.get_token();
    return out;
  }

  [[nodiscard]] Result<ApiAnswer> to_answer(Result<net::ClientResponse> response) const {
    if (!response) {
      Error error = response.error().with_context("server " + server_);
      if (error.code == ErrorCode::kUnavailable) {
        error = error.with_type(kUnreachableType)
                    .with_hint("is it running? --server, CACS_SERVER or the configuration file name it");
      }
      return error;
    }
    return ApiAnswer{.status = response->status,
                     .body = std::move(response->body),
                     .location = std::string(response->headers.get("location"))};
  }

  std::string server_;
  net::HttpClient client_;
  std::stop_source stop_;
};

}  // namespace

Result<std::unique_ptr<ApiClient>> make_api_client(const std::string& server, const std::string& token) {
  constexpr std::string_view kUnix = "unix:";
  net::ClientOptions options;
  if (server.starts_with(kUnix)) {
    options.unix_socket = server.substr(kUnix.size());
  } else if (server.starts_with("http://")) {
    options.base_url = server;
    while (options.base_url.ends_with('/')) options.base_url.pop_back();
  } else {
    return make_error(ErrorCode::kInvalidArgument, "'" + server + "' is no server address",
                      "write http://host:port or unix:/path/of/server.sock");
  }
  if (!token.empty()) options.headers.add("authorization", "Bearer " + token);
  return std::unique_ptr<ApiClient>(std::make_unique<HttpApiClient>(server, std::move(options)));
}

}  // namespace cacs::cli
