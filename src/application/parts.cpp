#include "application/parts.h"

#include <algorithm>
#include <set>

namespace cacs::application {
namespace {

JsonArray levels_of(const JsonObject& said) {
  const JsonArray* levels = json_find_array(said, "levels");
  return levels == nullptr ? JsonArray{} : *levels;
}

/// Those of all parts, in the order of the first.
JsonArray common_levels(const JsonObject& parts) {
  JsonArray common;
  if (parts.empty()) return common;
  for (const Json& level : levels_of(parts.begin()->value().as_object())) {
    const bool everywhere = std::ranges::all_of(
        parts, [&](const auto& part) { return std::ranges::count(levels_of(part.value().as_object()), level) > 0; });
    if (everywhere) common.push_back(level);
  }
  return common;
}

}  // namespace

bool is_whole(const std::vector<Part>& parts) {
  std::set<std::string> pods;
  std::int64_t wanted = 0;
  for (const Part& part : parts) {
    // Before there were parts every manifest was a checkpoint.
    wanted = std::max(wanted, json_int_or(part.said, "of_pods", 0));
    const JsonArray* names = json_find_array(part.said, "pods");
    for (const Json& name : names == nullptr ? JsonArray{} : *names) {
      if (name.is_string()) pods.emplace(name.get_string());
    }
  }
  return !parts.empty() && static_cast<std::int64_t>(pods.size()) >= wanted;
}

JsonObject merge_parts(const std::vector<Part>& parts) {
  JsonObject merged = parts.front().said;
  if (parts.size() == 1) return merged;
  JsonArray pods;
  JsonObject by_node;
  std::int64_t size = 0;
  std::int64_t stored = 0;
  for (const Part& part : parts) {
    const std::int64_t own_size = json_int_or(part.said, "size_bytes", 0);
    const std::int64_t own_stored = json_int_or(part.said, "stored_bytes", 0);
    size += own_size;
    stored += own_stored;
    if (const JsonArray* names = json_find_array(part.said, "pods")) {
      pods.insert(pods.end(), names->begin(), names->end());
    }
    by_node[part.node] =
        JsonObject{{"levels", levels_of(part.said)}, {"size_bytes", own_size}, {"stored_bytes", own_stored}};
  }
  merged["pods"] = std::move(pods);
  merged["size_bytes"] = size;
  merged["stored_bytes"] = stored;
  merged["levels"] = common_levels(by_node);
  merged["parts"] = std::move(by_node);
  return merged;
}

void note_levels(JsonObject& said, std::string_view node, const JsonArray& levels) {
  Json* parts = said.if_contains("parts");
  if (parts == nullptr || !parts->is_object()) {
    said["levels"] = levels;
    return;
  }
  Json* part = parts->as_object().if_contains(node);
  if (part == nullptr || !part->is_object()) return;
  part->as_object()["levels"] = levels;
  said["levels"] = common_levels(parts->as_object());
}

}  // namespace cacs::application
