#include "api/server.h"

#include <fmt/format.h>

#include <atomic>
#include <set>

#include "api/application_cache.h"
#include "api/auth.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/operation.h"

namespace cacs::api {

struct Server::Impl {
  Impl(ServerConfig c, application::Service& s, Authenticator::Options auth)
      : config(std::move(c)),
        service(s),
        operations(all_operations()),
        metrics(operations),
        authenticator(std::move(auth)),
        openapi(boost::json::serialize(openapi_document(operations))) {
    for (const Operation& operation : operations) {
      if (!operation.open) continue;
      open_routes.insert(operation.path);
      open_routes.insert("/v1" + operation.path);
    }
  }

  std::optional<net::Response> gate(const net::Request& request) const;
  Status start();

  const ServerConfig config;
  application::Service& service;
  const std::vector<Operation> operations;
  Metrics metrics;
  ApplicationCache cache;
  const Authenticator authenticator;
  const std::string openapi;
  std::set<std::string, std::less<>> open_routes;
  std::unique_ptr<Backend> backend;
  std::atomic<const net::HttpServer*> running{nullptr};  ///< `http`, for requests that come before start() is done
  std::unique_ptr<net::HttpServer> http;                 ///< last: its threads use all the others
};

std::optional<net::Response> Server::Impl::gate(const net::Request& request) const {
  if (auto refused = authenticator.check(request, open_routes.contains(request.route))) return refused;
  // Before the body: an upload is large.
  const bool upload = !request.route.empty() && request.method != "GET" &&
                      media_type(request.headers.get("content-type")) == kCheckpointMedia;
  if (upload) return not_implemented("uploading a checkpoint");
  return std::nullopt;
}

Status Server::Impl::start() {
  net::ServerOptions options{.address = config.address,
                             .port = config.port,
                             .unix_socket = config.unix_socket,
                             .threads = config.threads,
                             .limits = config.limits};
  options.gate = [this](const net::Request& request) { return gate(request); };
  options.observe = [this](std::string_view method, std::string_view route, int status, std::chrono::nanoseconds took) {
    metrics.observe(method, route, status, took);
  };
  backend = std::make_unique<Backend>(Backend{.service = service,
                                              .metrics = metrics,
                                              .cache = cache,
                                              .stats =
                                                  [this] {
                                                    const net::HttpServer* server = running.load();
                                                    return server != nullptr ? server->stats() : net::ServerStats{};
                                                  },
                                              .openapi = [this]() -> const std::string& { return openapi; }});
  CACS_ASSIGN(http, net::HttpServer::start(std::move(options), routes_of(operations, *backend)));
  running = http.get();
  return ok_status();
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop(); }

Result<std::unique_ptr<Server>> Server::start(ServerConfig config, application::Service& service) {
  const bool local = !config.unix_socket.empty() || is_loopback(config.address);
  if (config.no_auth && !local) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("no authentication while listening on {}, which others can reach", config.address),
                      "listen on 127.0.0.1, or leave authentication on");
  }
  Authenticator::Options auth{.token = {},
                              .no_auth = config.no_auth,
                              .check_host = config.unix_socket.empty() && local,
                              .allowed_hosts = config.allowed_hosts};
  if (!config.no_auth) {
    if (config.token_file.empty())
      return make_error(ErrorCode::kInvalidArgument, "no file is named for the API's token");
    CACS_ASSIGN(auth.token, load_or_make_token(config.token_file));
  }
  auto impl = std::make_unique<Impl>(std::move(config), service, std::move(auth));
  CACS_TRY(impl->start());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::uint16_t Server::port() const { return impl_->http->port(); }

std::size_t Server::connections() const { return impl_->http->stats().connections; }

std::string Server::url() const {
  if (!impl_->config.unix_socket.empty()) return "http://localhost";
  const bool v6 = impl_->config.address.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(v6 ? "http://[{}]:{}" : "http://{}:{}"), impl_->config.address, port());
}

void Server::stop() { impl_->http->stop(); }

}  // namespace cacs::api
