#include "application/parts.h"

#include <algorithm>
#include <set>

namespace cacs::application {
namespace {

JsonArray levels_of(const JsonObject& said) {
  const JsonArray* levels = json_find_array(said, "levels");
  return levels == nullptr ? JsonArray{} : *levels;
}

std::set<std::string> pods_of(const JsonObject& said) {
  std::set<std::string> pods;
  const JsonArray* names = json_find_array(said, "pods");
  for (const Json& name : names == nullptr ? JsonArray{} : *names) {
    if (name.is_string()) pods.emplace(name.get_string());
  }
  return pods;
}

/// Those at which there is every pod that there is at all, in the order of the first part.
JsonArray common_levels(const JsonObject& parts) {
  JsonArray common;
  std::set<std::string> all;
  for (const auto& part : parts) all.merge(pods_of(part.value().as_object()));
  JsonArray candidates;
  for (const auto& part : parts) {
    for (const Json& level : levels_of(part.value().as_object())) {
      if (std::ranges::count(candidates, level) == 0) candidates.push_back(level);
    }
  }
  for (const Json& level : candidates) {
    std::set<std::string> there;
    bool everywhere = true;
    for (const auto& part : parts) {
      const JsonObject& said = part.value().as_object();
      const bool reached = std::ranges::count(levels_of(said), level) > 0;
      everywhere = everywhere && reached;
      if (reached) there.merge(pods_of(said));
    }
    // A release before this one did not note which part has which pods.
    if (everywhere || (!all.empty() && there == all)) common.push_back(level);
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
    pods.merge(pods_of(part.said));
  }
  return !parts.empty() && static_cast<std::int64_t>(pods.size()) >= wanted;
}

JsonObject merge_parts(const std::vector<Part>& parts) {
  JsonObject merged = parts.front().said;
  if (parts.size() == 1) return merged;
  std::set<std::string> pods;
  JsonObject by_node;
  std::int64_t size = 0;
  std::int64_t stored = 0;
  for (const Part& part : parts) {
    const std::int64_t own_size = json_int_or(part.said, "size_bytes", 0);
    const std::int64_t own_stored = json_int_or(part.said, "stored_bytes", 0);
    std::set<std::string> own = pods_of(part.said);
    JsonArray names(own.begin(), own.end());
    const std::size_t before = pods.size();
    pods.merge(own);
    // One that has nothing but what others have is a copy.
    if (pods.size() > before) size += own_size;
    stored += own_stored;
    by_node[part.node] = JsonObject{{"pods", std::move(names)},
                                    {"levels", levels_of(part.said)},
                                    {"size_bytes", own_size},
                                    {"stored_bytes", own_stored}};
  }
  merged["pods"] = JsonArray(pods.begin(), pods.end());
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
