#include "repository/levels/copy_plan.h"

namespace cacs::repository {

PackStep pack_step(const PackVersion& ours, const Generations& there) {
  if (there.empty()) return PackStep::kCopy;
  // Readers there take the highest. It covers if ours is as high or higher.
  const auto [generation, size] = *there.rbegin();
  if (generation > ours.generation) return PackStep::kCompare;
  if (generation == ours.generation && size != ours.size) return PackStep::kReplace;
  return PackStep::kNone;
}

CopyPlan plan_copy(const std::vector<PackVersion>& needed, const PacksThere& there) {
  CopyPlan plan;
  const Generations none;
  for (const PackVersion& pack : needed) {
    const auto found = there.find(pack.id);
    const PackStep step = pack_step(pack, found == there.end() ? none : found->second);
    if (step == PackStep::kNone) continue;
    plan.items.push_back({.pack = pack, .step = step});
    if (step != PackStep::kCompare) plan.bytes += pack.size;
  }
  return plan;
}

}  // namespace cacs::repository
