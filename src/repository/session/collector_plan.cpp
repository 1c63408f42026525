#include "repository/session/collector_plan.h"

#include <algorithm>

#include "repository/session/session_keys.h"

namespace cacs::repository {

namespace {

bool is_open(const CollectionFacts& facts, const SessionId& session) {
  const auto at = facts.registers.find(session.seat);
  if (at == facts.registers.end() || facts.settled.contains(session.seat)) return false;
  return std::any_of(at->second.open.begin(), at->second.open.end(),
                     [&](const OpenSession& open) { return open.number == session.number; });
}

/// The lowest serial that an open session may not have seen beyond: what was condemned later than that has to wait.
std::uint64_t known_to_all(const CollectorState& state, const CollectionFacts& facts, SessionMutation mutation) {
  std::uint64_t known = state.serial;
  if (mutation == SessionMutation::kIgnoreOpenSessions) return known;
  for (const auto& [seat, content] : facts.registers) {
    if (facts.settled.contains(seat)) continue;
    for (const OpenSession& open : content.open) {
      known = std::min(
          known, mutation == SessionMutation::kForgetLineage ? open.seen.serial : effective_serial(state, open.seen));
    }
  }
  return known;
}

class Planner {
 public:
  Planner(const CollectorState& state, const RootCatalogue& catalogue, const CollectionFacts& facts,
          const PlanLimits& limits, SessionMutation mutation)
      : old_(state), facts_(facts), limits_(limits), mutation_(mutation), plan_{state, catalogue, false, false, {}} {}

  CollectionPlan run() {
    ++plan_.state.serial;
    plan_.state.base = std::max(old_.base, facts_.base);
    members();
    roots();
    condemned();
    judge_reports();
    CollectorState same = plan_.state;
    same.serial = old_.serial;
    plan_.state_changed = plan_.catalogue_changed || same != old_;
    if (plan_.catalogue_changed) plan_.state.catalogue = {plan_.state.term, plan_.state.serial};
    return std::move(plan_);
  }

 private:
  void members() {
    plan_.state.members.clear();
    for (Member member : facts_.members) {
      if (facts_.settled.contains(member.seat)) continue;
      if (member.status == MemberStatus::kPending) {
        const Member* before = find_member(old_, member.seat);
        if (before != nullptr && before->status == MemberStatus::kClosed) continue;  // nobody will have this seat
        if (before != nullptr) member.status = MemberStatus::kClosed;
      }
      if (const auto at = facts_.registers.find(member.seat); at != facts_.registers.end()) {
        const auto& content = at->second;
        member.absorbed = std::max(member.absorbed, content.first_committed + content.committed.size() - 1);
      }
      plan_.state.members.push_back(member);
    }
  }

  /// Those that are gone leave the catalogue; those that were committed, or whose writers were settled, join it.
  void roots() {
    std::set<std::string> roots;
    for (const auto& root : plan_.catalogue.roots) {
      if (facts_.present.contains(root)) roots.insert(root);
    }
    const auto take = [&](const std::string& root) {
      if (facts_.present.contains(root) || mutation_ == SessionMutation::kAcceptAll) roots.insert(root);
    };
    for (const auto& [seat, content] : facts_.registers) {
      for (const auto& root : content.committed) take(root);
      if (!facts_.settled.contains(seat)) continue;
      for (const auto& open : content.open) {
        for (const auto& root : open.roots) take(root);
      }
    }
    std::vector<std::string> sorted(roots.begin(), roots.end());
    plan_.catalogue_changed = sorted != plan_.catalogue.roots;
    plan_.catalogue.roots = std::move(sorted);
  }

  void condemned() {
    const std::set<std::string> referenced(facts_.mark.referenced.begin(), facts_.mark.referenced.end());
    const std::uint64_t known = known_to_all(old_, facts_, mutation_);
    std::vector<CondemnedPack> kept;
    for (CondemnedPack entry : old_.condemned) {
      const bool used = entry.phase != CondemnedPhase::kDone && referenced.contains(entry.pack);
      if (used && entry.phase == CondemnedPhase::kExecuting) plan_.violation = entry.pack;
      if (used && entry.phase == CondemnedPhase::kCondemned) continue;  // pardoned
      if (entry.phase == CondemnedPhase::kCondemned && entry.since <= known) entry.phase = CondemnedPhase::kExecuting;
      // Every run that goes on with a rewrite writes a generation of its own: one that a superseded collector may still
      // be writing is never completed by another.
      if (entry.phase == CondemnedPhase::kExecuting && !entry.slots.empty()) entry.target = plan_.state.serial;
      kept.push_back(std::move(entry));
    }
    plan_.state.condemned = std::move(kept);
  }

  void judge_reports() {
    std::set<std::string> active;
    std::size_t ranges = 0;
    for (const auto& entry : plan_.state.condemned) {
      ranges += entry.slots.size();
      if (entry.phase != CondemnedPhase::kDone) active.insert(entry.pack);
    }
    for (const PackReport& report : facts_.mark.reports) {
      if (active.contains(report.pack) || active.size() >= limits_.max_condemned) continue;
      // Packs of a session that has not ended are not referenced yet. To condemn them would be safe (the session may
      // not know, so they stay), but the next sessions could not share with it.
      if (report.creator.seat > plan_.state.base || is_open(facts_, report.creator)) continue;
      CondemnedPack entry;
      entry.pack = report.pack;
      entry.since = plan_.state.serial;
      if (mutation_ == SessionMutation::kCondemnUnderOldState) entry.since = old_.serial;
      if (!report.dead) entry.slots = report.dead_slots;
      if (entry.slots.size() > limits_.max_ranges - std::min(ranges, limits_.max_ranges)) {
        entry.slots.resize(limits_.max_ranges - std::min(ranges, limits_.max_ranges));
      }
      if (!report.dead && entry.slots.empty()) continue;
      ranges += entry.slots.size();
      if (mutation_ == SessionMutation::kCondemnAndRemove) {
        entry.phase = CondemnedPhase::kExecuting;
        if (!report.dead) entry.target = plan_.state.serial;
      }
      active.insert(entry.pack);
      plan_.state.condemned.push_back(std::move(entry));
    }
  }

  const CollectorState& old_;
  const CollectionFacts& facts_;
  const PlanLimits& limits_;
  SessionMutation mutation_;
  CollectionPlan plan_;
};

/// Forgets the oldest removals. Writers that remember packs from before then forget all they remember.
void trim_done(CollectorState& state, std::size_t max_done) {
  std::vector<std::uint64_t> serials;
  for (const auto& entry : state.condemned) {
    if (entry.phase == CondemnedPhase::kDone) serials.push_back(entry.done);
  }
  if (serials.size() <= max_done) return;
  std::sort(serials.begin(), serials.end());
  state.floor = std::max(state.floor, serials[serials.size() - max_done - 1]);
  std::erase_if(state.condemned, [&](const CondemnedPack& entry) {
    return entry.phase == CondemnedPhase::kDone && entry.done <= state.floor;
  });
}

void set_generation(RootCatalogue& catalogue, const std::string& pack, std::uint64_t generation) {
  std::erase_if(catalogue.generations, [&](const PackGeneration& entry) { return entry.pack == pack; });
  if (generation == 0) return;
  catalogue.generations.push_back({pack, generation});
  std::sort(catalogue.generations.begin(), catalogue.generations.end());
}

}  // namespace

std::set<std::string> roots_to_read(const RootCatalogue& catalogue,
                                    const std::map<std::uint64_t, WriterRegister>& registers) {
  std::set<std::string> roots(catalogue.roots.begin(), catalogue.roots.end());
  for (const auto& [seat, content] : registers) {
    roots.insert(content.committed.begin(), content.committed.end());
    for (const auto& open : content.open) roots.insert(open.roots.begin(), open.roots.end());
  }
  return roots;
}

std::vector<std::string> roots_that_count(const CollectorState& state, const RootCatalogue& catalogue,
                                          const CollectionFacts& facts) {
  std::vector<std::string> result;
  for (const auto& [key, origin] : facts.present) {
    if (root_counts(state, catalogue, key, origin)) result.push_back(key);
  }
  return result;
}

CollectorState take_over(const CollectorState& state, std::uint64_t term, const PlanLimits& limits) {
  CollectorState next = state;
  if (state.term != 0) next.lineage.push_back({state.term, state.serial});
  if (next.lineage.size() > limits.max_lineage) next.lineage.erase(next.lineage.begin());
  next.term = term;
  ++next.serial;
  return next;
}

CollectionPlan plan_collection(const CollectorState& state, const RootCatalogue& catalogue,
                               const CollectionFacts& facts, const PlanLimits& limits, SessionMutation mutation) {
  return Planner(state, catalogue, facts, limits, mutation).run();
}

CollectionPlan plan_publication(const CollectorState& state, const RootCatalogue& catalogue,
                                const std::set<std::string>& done, const PlanLimits& limits) {
  CollectionPlan plan{state, catalogue, true, false, {}};
  ++plan.state.serial;
  for (auto& entry : plan.state.condemned) {
    if (entry.phase != CondemnedPhase::kExecuting || !done.contains(entry.pack)) continue;
    entry.phase = CondemnedPhase::kDone;
    entry.done = plan.state.serial;
    const std::uint64_t generation = entry.slots.empty() ? 0 : entry.target;
    if (pack_generation(catalogue, entry.pack) == generation) continue;
    set_generation(plan.catalogue, entry.pack, generation);
    plan.catalogue_changed = true;
  }
  trim_done(plan.state, limits.max_done);
  if (plan.catalogue_changed) plan.state.catalogue = {plan.state.term, plan.state.serial};
  return plan;
}

bool is_session_garbage(const CollectorState& state, const std::string& key) {
  const auto parsed = parse_session_key(key);
  if (!parsed) return false;
  const Member* member = find_member(state, parsed->number);
  const bool departed = parsed->number <= state.base && member == nullptr;
  switch (parsed->kind) {
    case SessionKeyKind::kTerm:
      return false;
    case SessionKeyKind::kSeat:
    case SessionKeyKind::kLicence:
      return departed;
    case SessionKeyKind::kRegister:
      return departed || (member != nullptr && parsed->second < member->register_number);
    case SessionKeyKind::kState:
      return parsed->number < state.term;
    case SessionKeyKind::kCatalogue:
      // Not those of later terms, nor the next of this one: a state that names them may be on its way.
      return CatalogueName{parsed->number, parsed->second} != state.catalogue &&
             (parsed->number < state.term || (parsed->number == state.term && parsed->second < state.serial));
  }
  return false;
}

}  // namespace cacs::repository
