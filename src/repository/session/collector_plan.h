#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "repository/session/session_op.h"

/// What one run of a collector decides: pure functions of what it has read.
namespace cacs::repository {

/// What a run has found, in the order in which it had to be found (docs/collection.md).
struct CollectionFacts {
  std::vector<Member> members;  ///< old and new, as their licences and registers were found
  std::uint64_t base = 0;
  std::map<std::uint64_t, WriterRegister> registers;  ///< by seat; settled ones as read after the licence was removed
  std::set<std::uint64_t> settled;                    ///< seats whose licence was removed in this run
  std::map<std::string, RootOrigin> present;          ///< roots that were found
  MarkResult mark;
};

/// The next state, and the catalogue that goes with it.
struct CollectionPlan {
  CollectorState state;
  RootCatalogue catalogue;
  bool state_changed = false;
  bool catalogue_changed = false;
  std::string violation;  ///< not empty: something that is being removed is referenced; nothing may be done
};

struct PlanLimits {
  std::size_t max_condemned = 4096;  ///< packs; more wait for the next run
  std::size_t max_ranges = 262'144;  ///< of condemned slots
  std::size_t max_done = 1024;       ///< removals kept for writers that remember packs
  std::size_t max_lineage = 32;
};

/// Keys of roots that have to be read: those of the catalogue, and those that registers name. The listing adds more.
std::set<std::string> roots_to_read(const RootCatalogue& catalogue,
                                    const std::map<std::uint64_t, WriterRegister>& registers);

/// Of those present, the ones that count: the others are the late roots of fenced writers.
std::vector<std::string> roots_that_count(const CollectorState& state, const RootCatalogue& catalogue,
                                          const CollectionFacts& facts);

/// The first state of the holder of `term`: that of whom it succeeds, word for word.
CollectorState take_over(const CollectorState& state, std::uint64_t term, const PlanLimits& limits);

CollectionPlan plan_collection(const CollectorState& state, const RootCatalogue& catalogue,
                               const CollectionFacts& facts, const PlanLimits& limits, SessionMutation mutation);

/// After the removals and rewrites of `done` (packs) have succeeded.
CollectionPlan plan_publication(const CollectorState& state, const RootCatalogue& catalogue,
                                const std::set<std::string>& done, const PlanLimits& limits);

/// Whether an object below sessions/ is of no use any more to anybody, seen from a state that any successor inherits.
bool is_session_garbage(const CollectorState& state, const std::string& key);

}  // namespace cacs::repository
