#pragma once

#include <string>
#include <vector>

#include "application/lifecycle.h"

/// Which pods are on which nodes. It stays for as long as the nodes are the same: what a checkpoint's parts are found
/// by (parts.h).
namespace cacs::application {

/// Neighbours together, as neighbouring ranks of an MPI job say most to each other; as evenly as it goes. `nodes` is at
/// least 1.
std::size_t node_index(int pod, int pods, std::size_t nodes);

/// Empty where the application has no nodes.
std::string node_of(const State& state, int pod);

/// Those that have pods, in the order of their first.
std::vector<std::string> nodes_with_pods(const State& state);
std::vector<int> pods_on(const State& state, const std::string& node);

}  // namespace cacs::application
