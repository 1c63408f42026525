#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cloud/node_agent.h"

namespace cacs::cloud {

/// One machine that a cloud gave.
struct Node {
  std::string id;     ///< unique in the cloud, for ever
  std::string state;  ///< "ready", "starting", "gone"
  /// By which other nodes of the cloud reach it (IPv4); empty where they do not.
  std::string address{};
  /// Where its agent hears other nodes' ("address:port"); empty: nowhere.
  std::string agent{};
  /// Location of its remote level (docs/levels.md); empty: it has none.
  std::string remote{};
};

/// A place that gives nodes: a driver a file or folder, one conformance suite for all (cloud/conformance_test). Calls
/// block and may be made from any thread. What a caller claims is tagged with its `claim` (an id of the caller's
/// making), so that a claim repeated after a crash finds the nodes it already has, and nothing is claimed twice or left
/// behind.
class Cloud {
 public:
  virtual ~Cloud() = default;

  [[nodiscard]] virtual std::string name() const = 0;

  /// Gets `count` nodes for `claim`. Idempotent. Those of `home` where the cloud has them still: what the claimer left
  /// there is on their disks. kUnavailable: no room now.
  virtual Result<std::vector<Node>> claim_nodes(std::string_view claim, int count, std::string_view node_template,
                                                const std::vector<std::string>& home) = 0;
  /// Gives back all nodes of `claim`. Idempotent.
  virtual Status release_nodes(std::string_view claim) = 0;
  virtual Result<std::vector<Node>> list_nodes() = 0;

  /// The agent of a node; starts it there where it is not running. kNotFound, kUnavailable.
  virtual Result<std::shared_ptr<NodeAgent>> agent(std::string_view node) = 0;
};

}  // namespace cacs::cloud
