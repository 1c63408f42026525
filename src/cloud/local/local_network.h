#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::cloud {

/// The network that the nodes of the local cloud have among themselves and with the server: a network namespace for
/// each, with one address, behind a router that is a namespace too. Nothing of it is in the machine's own network, and
/// all of it is gone with the last process that holds it: agents and shims hold theirs and the router under agreed
/// numbers, where the next server finds them. To the outside nodes go over the machine's own network.
class LocalNetwork {
 public:
  /// What an agent and its shims have these open as.
  static constexpr int kNodeFd = 11;
  static constexpr int kRouterFd = 12;
  static constexpr int kMaxNodes = 64;

  /// Finds what the processes of the nodes in `nodes` (local-0, ...) hold, and makes what is missing.
  static Result<std::unique_ptr<LocalNetwork>> open(const std::filesystem::path& nodes, int count);

  [[nodiscard]] int router() const { return router_.get(); }
  [[nodiscard]] int node(int index) const { return nodes_.at(static_cast<std::size_t>(index)).get(); }
  static std::string node_name(int index);
  /// IPv4, in a network of the node's own, which the router has the first address of.
  static std::string address(int index);

 private:
  LocalNetwork() = default;
  void find(const std::filesystem::path& nodes, int index);
  Status make_router();
  Status make_node(int index);

  UniqueFd router_;
  std::vector<UniqueFd> nodes_;
};

}  // namespace cacs::cloud
