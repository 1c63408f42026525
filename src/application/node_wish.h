#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cacs::application {

/// Nodes that a user asked for with a restart, instead of those that the application has.
struct NodeWish {
  int count = 0;                   ///< at least 1
  std::vector<std::string> names;  ///< `count` of them, or none: any

  friend bool operator==(const NodeWish&, const NodeWish&) = default;
};

/// From the body of a restart: `{"nodes": {"count": 2}}` or `{"nodes": {"names": ["local-1"]}}`; nothing where there
/// are no `nodes`. Whether there are such nodes is not looked at. Never throws; safe on hostile input.
Result<std::optional<NodeWish>> parse_node_wish(const JsonObject& body);

}  // namespace cacs::application
