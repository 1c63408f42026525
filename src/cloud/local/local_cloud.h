#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cloud/cloud.h"
#include "cloud/local/agent_process.h"
#include "cloud/local/local_network.h"

namespace cacs::cloud {

struct LocalCloudOptions {
  std::filesystem::path state;    ///< the server's state directory; a node's own is STATE/nodes/NAME
  std::filesystem::path program;  ///< run as `PROGRAM agent --state DIR --node NAME`; empty: this very program
  int nodes = 1;
  /// Nodes have a network of their own (local_network.h), and agents are reached over it, with mutual TLS; else they
  /// are in the machine's, and are reached through their sockets. Needs root.
  bool network = false;
  /// What a node's agent is given besides, by the node's name; null: nothing.
  std::function<std::vector<std::string>(const std::string& node)> agent_arguments;
  /// Location of a node's remote level, by the node's name, for Node::remote; null: there is none.
  std::function<std::string(const std::string& node)> remote;
  std::chrono::milliseconds start_limit{20'000};
  std::chrono::milliseconds first_backoff{500};
};

/// This machine as a cloud: nodes local-0, local-1, ... with an agent process each, which outlives the server. Nodes
/// are shared: any number of claims may hold the same one, and a new one gets those with the fewest. Claims are kept in
/// STATE/nodes/claims.json; what server and agents prove themselves by in STATE/nodes/tls and STATE/nodes/NAME/tls.
/// Where there is a network, the repositories of nodes are made with one key, STATE/nodes/repository.key.
class LocalCloud final : public Cloud {
 public:
  static Result<std::unique_ptr<LocalCloud>> open(const LocalCloudOptions& options);

  [[nodiscard]] std::string name() const override { return "local"; }
  Result<std::vector<Node>> claim_nodes(std::string_view claim, int count, std::string_view node_template,
                                        const std::vector<std::string>& home) override;
  Status release_nodes(std::string_view claim) override;
  Result<std::vector<Node>> list_nodes() override;
  Result<std::shared_ptr<NodeAgent>> agent(std::string_view node) override;

  /// Ends the agents of all nodes: for an embedded server whose work is done. Pods that still run keep running.
  Status stop_agents();

 private:
  LocalCloud(std::filesystem::path directory, std::function<std::string(const std::string& node)> remote)
      : directory_(std::move(directory)), remote_(std::move(remote)) {}
  /// The nodes of each claim.
  using Claims = std::map<std::string, std::vector<std::string>, std::less<>>;
  Status load_claims();
  Status store_claims(const Claims& claims);
  [[nodiscard]] std::vector<std::string> choose(std::size_t count, const std::vector<std::string>& home) const;
  [[nodiscard]] Node node(const std::string& name) const;

  std::filesystem::path directory_;
  std::function<std::string(const std::string& node)> remote_;
  std::unique_ptr<LocalNetwork> network_;  // null without one; outlives the agents' clients
  std::map<std::string, std::unique_ptr<AgentProcess>, std::less<>> agents_;  // never changes after open()
  std::mutex mutex_;
  Claims claims_;
};

}  // namespace cacs::cloud
