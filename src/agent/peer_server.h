#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "agent/agent.h"
#include "base/result.h"
#include "net/http_server.h"
#include "net/tls_gateway.h"

namespace cacs::agent {

/// Lets `socket` be reached at `listen` ("ADDRESS:PORT") in the nodes' network, with mutual TLS, by whoever proves to
/// be `peer` (empty: any node of the cluster). Null where `listen` is empty.
Result<std::unique_ptr<net::TlsGateway>> open_gateway(const AgentOptions& options, const std::string& listen,
                                                      const std::string& peer, const std::filesystem::path& socket);

/// What other nodes' agents may ask of this one: `GET /v1/exports/{ticket}`, and nothing else. A socket and a gateway
/// of its own, so that no call that is the server's can be reached by a node. Any thread.
class PeerServer {
 public:
  /// `agent` outlives it. Null where the agent is not to hear others.
  static Result<std::unique_ptr<PeerServer>> start(Agent& agent, const AgentOptions& options);
  void stop();

 private:
  std::unique_ptr<net::HttpServer> server_;
  std::unique_ptr<net::TlsGateway> gateway_;
};

}  // namespace cacs::agent
