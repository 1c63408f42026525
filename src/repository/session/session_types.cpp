#include "repository/session/session_types.h"

#include <algorithm>

namespace cacs::repository {

std::uint64_t effective_serial(const CollectorState& state, const Seen& seen) {
  // Beyond what the state has: seen under a collector that wrote on after its successor had read the state.
  if (seen.term == state.term) return seen.serial <= state.serial ? seen.serial : 0;
  const auto end = std::find_if(state.lineage.begin(), state.lineage.end(),
                                [&](const TermEnd& entry) { return entry.term == seen.term; });
  return end != state.lineage.end() && seen.serial <= end->serial ? seen.serial : 0;
}

const Member* find_member(const CollectorState& state, std::uint64_t seat) {
  const auto at = std::lower_bound(state.members.begin(), state.members.end(), seat,
                                   [](const Member& member, std::uint64_t value) { return member.seat < value; });
  return at != state.members.end() && at->seat == seat ? &*at : nullptr;
}

bool root_counts(const CollectorState& state, const RootCatalogue& catalogue, const std::string& key,
                 const RootOrigin& origin) {
  if (origin.session.seat > state.base || find_member(state, origin.session.seat) != nullptr) return true;
  return std::binary_search(catalogue.roots.begin(), catalogue.roots.end(), key);
}

CondemnedSlots::CondemnedSlots(const CollectorState& state) {
  for (const auto& entry : state.condemned) packs_[entry.pack].push_back(entry.slots);
}

bool CondemnedSlots::contains(const std::string& pack, std::uint32_t slot) const {
  const auto at = packs_.find(pack);
  if (at == packs_.end()) return false;
  return std::any_of(at->second.begin(), at->second.end(), [&](const std::vector<SlotRange>& ranges) {
    if (ranges.empty()) return true;
    const auto after =
        std::upper_bound(ranges.begin(), ranges.end(), slot,
                         [](std::uint32_t value, const SlotRange& range) { return value < range.first; });
    return after != ranges.begin() && slot - std::prev(after)->first < std::prev(after)->count;
  });
}

bool may_share(const CollectorState& state, const RootCatalogue& catalogue, const std::string& key,
               const RootOrigin& origin, const std::set<std::string>& packs) {
  // Its session went by this state or a later one: what it references nevertheless was pardoned since, and if it is
  // condemned again, then later than we began, so it waits for us.
  if (origin.seen.term == state.term && origin.seen.serial >= state.serial) return true;
  const std::uint64_t known = effective_serial(state, origin.seen);
  const bool clear = std::none_of(state.condemned.begin(), state.condemned.end(), [&](const CondemnedPack& entry) {
    return entry.since > known && packs.contains(entry.pack);
  });
  // A root of the catalogue was marked by the run that wrote this state: it references nothing condemned.
  return clear || std::binary_search(catalogue.roots.begin(), catalogue.roots.end(), key);
}

Forget forget_removed(const CollectorState& state, const Seen& remembered) {
  Forget forget;
  const std::uint64_t known = effective_serial(state, remembered);
  forget.everything = known < state.floor || (known == 0 && state.serial != 0);
  for (const auto& entry : state.condemned) {
    if (entry.phase != CondemnedPhase::kCondemned) forget.packs.push_back(&entry);
  }
  return forget;
}

std::uint64_t pack_generation(const RootCatalogue& catalogue, const std::string& pack) {
  const auto at = std::lower_bound(catalogue.generations.begin(), catalogue.generations.end(), pack,
                                   [](const PackGeneration& entry, const std::string& id) { return entry.pack < id; });
  return at != catalogue.generations.end() && at->pack == pack ? at->generation : 0;
}

}  // namespace cacs::repository
