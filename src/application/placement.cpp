#include "application/placement.h"

#include <algorithm>

namespace cacs::application {

std::size_t node_index(int pod, int pods, std::size_t nodes) {
  return static_cast<std::size_t>(pod) * nodes / static_cast<std::size_t>(pods);
}

std::string node_of(const State& state, int pod) {
  if (state.node_names.empty() || pod < 0 || pod >= state.policy.pods) return {};
  return state.node_names[node_index(pod, state.policy.pods, state.node_names.size())];
}

std::vector<std::string> nodes_with_pods(const State& state) {
  std::vector<std::string> nodes;
  for (int pod = 0; pod < state.policy.pods; ++pod) {
    std::string node = node_of(state, pod);
    if (!node.empty() && std::ranges::find(nodes, node) == nodes.end()) nodes.push_back(std::move(node));
  }
  return nodes;
}

std::vector<int> pods_on(const State& state, const std::string& node) {
  std::vector<int> pods;
  for (int pod = 0; pod < state.policy.pods; ++pod) {
    if (node_of(state, pod) == node) pods.push_back(pod);
  }
  return pods;
}

}  // namespace cacs::application
