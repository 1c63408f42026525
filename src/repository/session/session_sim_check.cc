#include <algorithm>

#include "repository/session/session_sim.h"

namespace cacs::repository::sim {

void Simulation::check() {
  if (violation_ || store_.version() + told_ == checked_) return;  // nothing was changed, nobody was told anything
  checked_ = store_.version() + told_;
  look_at_state();
  if (!violation_) check_roots();
}

/// What somebody would find who looked now, without failures.
void Simulation::look_at_state() {
  StateFinder finder(0);
  while (!finder.done()) {
    const auto* document = store_.read_as<SessionDocumentPtr>(finder.op().key);
    SessionAnswer answer;
    answer.outcome = document == nullptr ? SessionOutcome::kAbsent : SessionOutcome::kDone;
    if (document != nullptr) answer.document = *document;
    finder.answer(answer);
  }
  state_ = finder.state();
  catalogue_ = {};
  if (state_.catalogue.term == 0) return;
  const auto* document =
      store_.read_as<SessionDocumentPtr>(catalogue_key(state_.catalogue.term, state_.catalogue.serial));
  const auto* catalogue = document == nullptr ? nullptr : session_document_as<RootCatalogue>(*document);
  if (catalogue == nullptr) return broken("the state names a catalogue that is not there");
  catalogue_ = *catalogue;
}

void Simulation::check_roots() {
  for (auto at = store_.objects().lower_bound("roots/"); at != store_.objects().end(); ++at) {
    if (!at->first.starts_with("roots/")) break;
    const Root& root = std::get<Root>(*at->second);
    if (!root_counts(state_, catalogue_, at->first, root.origin)) continue;
    for (const auto& [name, slot] : root.slots) {
      const auto* pack = store_.read_as<Pack>(pack_key(name, pack_generation(catalogue_, name)));
      if (pack == nullptr) return broken(at->first + " counts and has lost pack " + name);
      if (!pack->slots.contains(slot)) return broken(at->first + " counts and has lost a slot of " + name);
    }
  }
  for (const auto& [key, fate] : fates_) {
    if (fate == Fate::kWriting || fate == Fate::kDoubtful || fate == Fate::kDeleting) continue;
    const auto* root = store_.read_as<Root>(key);
    const bool counts = root != nullptr && root_counts(state_, catalogue_, key, root->origin);
    if (fate == Fate::kCommitted && !counts) return broken(key + " was committed and does not count");
    if (fate == Fate::kFenced && root != nullptr) return broken(key + " was refused and is there");
    if (fate == Fate::kDeleted && root != nullptr) return broken(key + " was deleted and is there");
  }
}

/// Once there is nothing to do any more, nothing is there but what counts.
std::string Simulation::what_is_left() const {
  std::set<Slot> wanted;
  for (const auto& [key, value] : store_.objects()) {
    if (const auto* root = std::get_if<Root>(value.get())) {
      if (!root_counts(state_, catalogue_, key, root->origin)) return "a late root is left: " + key;
      wanted.insert(root->slots.begin(), root->slots.end());
    }
  }
  if (!state_.members.empty()) return "members are left";
  for (const auto& entry : state_.condemned) {
    if (entry.phase != CondemnedPhase::kDone) return "a condemned pack is left: " + entry.pack;
  }
  for (const auto& [key, value] : store_.objects()) {
    if (const auto* pack = std::get_if<Pack>(value.get())) {
      const auto dot = key.rfind('.');
      const std::string name = key.substr(6, dot - 6);
      if (key != pack_key(name, pack_generation(catalogue_, name))) return "an old generation is left: " + key;
      for (const auto slot : pack->slots) {
        if (!wanted.contains({name, slot})) return "garbage is left: " + key;
      }
    }
    if (!key.starts_with("sessions/")) continue;
    const bool kept = key.starts_with("sessions/terms/") || key == state_key(state_.term) ||
                      key == catalogue_key(state_.catalogue.term, state_.catalogue.serial);
    if (!kept) return "an object of the protocol is left: " + key;
  }
  return {};
}

}  // namespace cacs::repository::sim
