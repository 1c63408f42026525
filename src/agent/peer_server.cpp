#include "agent/peer_server.h"

#include <unistd.h>

#include <charconv>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

namespace cacs::agent {

namespace {

using net::Request;
using net::Response;

Response error_response(const Error& error) {
  return net::json_response(net::status_of(error.code), boost::json::serialize(error_to_json(error)));
}

void send_export(Agent& agent, const Request& request, net::ResponseStream& out) {
  const auto permitted = agent.exports().look_up(request.param("ticket"));
  if (!permitted) {
    static_cast<void>(out.respond(error_response(permitted.error())));  // a client that has gone needs no answer
    return;
  }
  Response head;
  head.headers.add("content-type", "application/octet-stream");
  Status sent = out.start(head);
  if (sent) sent = agent.exports().send(*permitted, [&](std::string_view text) { return out.write(text); });
  if (!sent) spdlog::warn("{} of checkpoint {}: {}", permitted->pod, permitted->checkpoint, sent.error().to_string());
}

}  // namespace

Result<std::unique_ptr<net::TlsGateway>> open_gateway(const AgentOptions& options, const std::string& listen,
                                                      const std::string& peer, const std::filesystem::path& socket) {
  if (listen.empty()) return std::unique_ptr<net::TlsGateway>();
  const std::size_t colon = listen.rfind(':');
  unsigned port = 0;
  const std::string digits = colon == std::string::npos ? "" : listen.substr(colon + 1);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || parsed.ptr != digits.data() + digits.size() || port == 0 || port > 65535) {
    return make_error(ErrorCode::kInvalidArgument, printable(listen) + " is not ADDRESS:PORT");
  }
  net::TlsGatewayOptions gateway;
  gateway.address = listen.substr(0, colon);
  gateway.port = static_cast<std::uint16_t>(port);
  gateway.network_namespace = options.network_fd;
  gateway.tls = net::tls_files(options.tls);
  gateway.peer = peer;
  gateway.unix_socket = socket;
  return net::TlsGateway::start(gateway);
}

Result<std::unique_ptr<PeerServer>> PeerServer::start(Agent& agent, const AgentOptions& options) {
  if (options.listen_peers.empty()) return std::unique_ptr<PeerServer>();
  auto peers = std::make_unique<PeerServer>();
  net::ServerOptions server;
  server.unix_socket = options.state_dir / "peers.sock";
  server.threads = 1;
  // Behind the gateway, which is this process.
  server.gate = [](const Request& request) -> std::optional<Response> {
    if (request.peer.uid && *request.peer.uid == ::geteuid()) return std::nullopt;
    return error_response(make_error(ErrorCode::kPermission, "this is for the agents of other nodes"));
  };
  server.render_error = [](int, const Error& error) { return error_response(error); };
  std::vector<net::Route> routes;
  routes.push_back({"GET",
                    "/v1/exports/{ticket}",
                    net::RouteKind::kLong,
                    {},
                    [&agent](const Request& request, net::ResponseStream& out) { send_export(agent, request, out); }});
  const std::filesystem::path socket = server.unix_socket;
  CACS_ASSIGN(peers->server_, net::HttpServer::start(std::move(server), std::move(routes)));
  CACS_ASSIGN(peers->gateway_, open_gateway(options, options.listen_peers, "", socket));
  return peers;
}

void PeerServer::stop() {
  if (gateway_) gateway_->stop();
  if (server_) server_->stop();
}

}  // namespace cacs::agent
