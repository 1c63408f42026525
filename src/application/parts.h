#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

/// A checkpoint of an application whose pods are on several nodes has a part in the repository of each: a manifest of
/// its own, which says how many pods there are in all (`of_pods`). It exists when the parts together have every pod
/// (docs/nodes.md): there is no further record that could be lost, or contradict them.
namespace cacs::application {

struct Part {
  std::string node;
  JsonObject said;  ///< Checkpoint of docs/agent-api.md
};

/// Whether the parts, of one checkpoint, are all that there are.
bool is_whole(const std::vector<Part>& parts);

/// What is said of the checkpoint: sizes added up, the levels at which there is every pod; with several parts each
/// one's own under `parts`. At least one. Two may have the same pod: it was restored on another node than it was saved
/// on.
JsonObject merge_parts(const std::vector<Part>& parts);

/// The part on `node` has reached these levels now.
void note_levels(JsonObject& said, std::string_view node, const JsonArray& levels);

}  // namespace cacs::application
