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

namespace cacs::cloud {

struct LocalCloudOptions {
  std::filesystem::path state;    ///< the server's state directory; a node's own is STATE/nodes/NAME
  std::filesystem::path program;  ///< run as `PROGRAM agent --state DIR --node NAME`; empty: this very program
  int nodes = 1;
  /// What a node's agent is given besides, by the node's name; null: nothing.
  std::function<std::vector<std::string>(const std::string& node)> agent_arguments;
  std::chrono::milliseconds start_limit{20'000};
  std::chrono::milliseconds first_backoff{500};
};

/// This machine as a cloud: nodes local-0, local-1, ... with an agent process each, which outlives the server. Nodes
/// are shared: any number of claims may hold the same one. Claims are kept in STATE/nodes/claims.json.
class LocalCloud final : public Cloud {
 public:
  static Result<std::unique_ptr<LocalCloud>> open(const LocalCloudOptions& options);

  [[nodiscard]] std::string name() const override { return "local"; }
  Result<std::vector<Node>> claim_nodes(std::string_view claim, int count, std::string_view node_template) override;
  Status release_nodes(std::string_view claim) override;
  Result<std::vector<Node>> list_nodes() override;
  Result<std::shared_ptr<NodeAgent>> agent(std::string_view node) override;

  /// Ends the agents of all nodes: for an embedded server whose work is done. Pods that still run keep running.
  Status stop_agents();

 private:
  explicit LocalCloud(std::filesystem::path directory) : directory_(std::move(directory)) {}
  Status load_claims();
  Status store_claims(const std::map<std::string, int, std::less<>>& claims);

  std::filesystem::path directory_;
  std::map<std::string, std::unique_ptr<AgentProcess>, std::less<>> agents_;  // never changes after open()
  std::mutex mutex_;
  std::map<std::string, int, std::less<>> claims_;  // claim -> number of nodes, the first ones
};

}  // namespace cacs::cloud
