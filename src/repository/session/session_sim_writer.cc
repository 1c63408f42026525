#include <algorithm>

#include "repository/session/session_sim.h"

namespace cacs::repository::sim {

namespace {

std::set<std::string> packs_of(const Root& root) {
  std::set<std::string> packs;
  for (const Slot& slot : root.slots) packs.insert(slot.first);
  return packs;
}

}  // namespace

Simulation::Process Simulation::new_writer() {
  Process process;
  WriterOptions options;
  options.instance = {1, next_instance_++};
  options.exclusive_create = exclusive_;
  options.max_committed = 1 + chance_.pick(6);
  options.mutation = mutation_;
  process.writer.emplace(options);
  feed(process, {WriterEventKind::kStart});
  return process;
}

void Simulation::feed(Process& process, const WriterEvent& event) {
  WriterStep step = process.writer->step(event);
  for (SessionOp& op : step.ops) {
    Flight flight;
    if (op.kind == SessionOpKind::kPut || op.kind == SessionOpKind::kCreate) {
      flight.effect = {op.kind == SessionOpKind::kPut ? EffectKind::kPut : EffectKind::kCreate, op.key,
                       std::make_shared<const Value>(op.document)};
    } else if (op.kind == SessionOpKind::kRemove) {
      flight.effect = {EffectKind::kRemove, op.key, nullptr};
    }
    flight.op = std::move(op);
    process.flights.push_back(std::move(flight));
  }
  for (const WriterNotice& notice : step.notices) noticed(process, notice);
}

void Simulation::noticed(Process& process, const WriterNotice& notice) {
  const auto script = process.scripts.find(notice.handle);
  const auto fate = [&](Fate value) {
    if (script == process.scripts.end()) return;
    ++told_;
    for (const auto& root : script->second.roots) {
      if (fates_[root] == Fate::kWriting) fates_[root] = value;
    }
  };
  switch (notice.kind) {
    case WriterNoticeKind::kReady:
      process.ready = true;
      break;
    case WriterNoticeKind::kBegan:
      script->second.origin = notice.origin;
      script->second.state = notice.state;
      began(process, notice.handle, script->second);
      break;
    case WriterNoticeKind::kRefused:
    case WriterNoticeKind::kEnded:
      process.scripts.erase(notice.handle);
      break;
    case WriterNoticeKind::kCommitted:
      ++counts_["committed"];
      fate(Fate::kCommitted);
      script->second.stage = Stage::kCommitted;
      break;
    case WriterNoticeKind::kFenced:
      ++counts_["fenced"];
      fate(Fate::kFenced);
      process.scripts.erase(notice.handle);
      break;
    case WriterNoticeKind::kDoubtful:
      ++counts_["doubtful"];
      fate(Fate::kDoubtful);
      process.scripts.erase(notice.handle);
      break;
    case WriterNoticeKind::kResigned:
      break;
  }
}

void Simulation::writer_acts(Process& process) {
  if (process.writer->closing() && process.scripts.empty() && process.flights.empty()) {
    process = new_writer();  // as the driver does: another instance for the next session
    return;
  }
  if (!process.ready) return;
  if (process.scripts.size() < 3 && chance_.percent(20)) begin(process);
  if (chance_.percent(4)) feed(process, {WriterEventKind::kBeat});
  if (chance_.permille(5)) feed(process, {WriterEventKind::kResign});
  if (chance_.percent(6)) load_memory(process);
  for (auto& [handle, script] : process.scripts) {
    const bool abandon = script.stage == Stage::kPacks && chance_.permille(10);
    if ((script.stage != Stage::kCommitted || !chance_.percent(60)) && !abandon) continue;
    script.stage = Stage::kEnding;
    feed(process, {WriterEventKind::kEnd, handle});
    return;  // the scripts may be others now
  }
}

void Simulation::begin(Process& process) {
  const std::uint64_t handle = next_handle_++;
  Script script;
  const std::size_t count = chance_.percent(20) ? 2 : 1;
  for (std::size_t i = 0; i < count; ++i) script.roots.push_back("roots/" + std::to_string(next_root_++));
  if (fault_ == DriverFault::kReuseRootKey && next_root_ > 4) {
    script.roots = {"roots/" + std::to_string(1 + chance_.pick(next_root_ - 2))};
    if (fates_.contains(script.roots.front()) && fates_[script.roots.front()] != Fate::kFenced) {
      script.roots = {"roots/" + std::to_string(next_root_++)};
    }
  }
  if (fault_ == DriverFault::kPinnedParent) {
    choose_parent(process, 0, script);
    if (const auto* root = store_.read_as<Root>(script.parent)) script.early_parent = *root;
  }
  process.scripts[handle] = script;
  feed(process, {WriterEventKind::kBegin, handle, script.roots});
}

/// Drops what the state says is gone from what this process could reference.
void Simulation::forget(Process& process, const CollectorState& state) {
  if (fault_ == DriverFault::kKeepMemory) return;
  const Forget forget = forget_removed(state, process.remembered);
  if (forget.everything) process.memory.clear();
  for (const CondemnedPack* entry : forget.packs) {
    CollectorState one;
    one.condemned = {*entry};
    const CondemnedSlots gone(one);
    std::erase_if(process.memory[entry->pack], [&](std::uint32_t slot) { return gone.contains(entry->pack, slot); });
  }
  process.remembered = {state.term, state.serial};
}

void Simulation::began(Process& process, std::uint64_t handle, Script& script) {
  forget(process, *script.state);
  if (chance_.percent(40)) choose_parent(process, handle, script);
  if (script.parent.empty()) return write_packs(process, handle);
  script.stage = Stage::kParent;
  if (script.early_parent) return share(process, handle);
  Flight flight;
  flight.kind = FlightKind::kParent;
  flight.handle = handle;
  flight.op.key = script.parent;
  process.flights.push_back(std::move(flight));
}

void Simulation::choose_parent(Process& /*process*/, std::uint64_t /*handle*/, Script& script) {
  const auto roots = store_.list("roots/", lag_, chance_);
  if (!roots.empty()) script.parent = roots[chance_.pick(roots.size())];
}

/// The parent was read: its slots are shared if they may be.
void Simulation::share(Process& process, std::uint64_t handle) {
  Script& script = process.scripts.at(handle);
  const auto* read = store_.read_as<Root>(script.parent);
  if (script.early_parent) read = &*script.early_parent;
  if (read != nullptr) {
    const CollectorState& state = *script.state;
    const auto* document =
        store_.read_as<SessionDocumentPtr>(catalogue_key(state.catalogue.term, state.catalogue.serial));
    const auto* found = document == nullptr ? nullptr : session_document_as<RootCatalogue>(*document);
    if (found != nullptr || state.catalogue.term == 0) {  // else it was replaced: not now
      const RootCatalogue catalogue = found == nullptr ? RootCatalogue{} : *found;
      const bool allowed = root_counts(state, catalogue, script.parent, read->origin) &&
                           may_share(state, catalogue, script.parent, read->origin, packs_of(*read));
      ++counts_[allowed ? "shared" : "not shared"];
      if (allowed || fault_ == DriverFault::kShareUnchecked) script.slots = read->slots;
      if (script.slots.size() > 8) script.slots.resize(8);
    }
  }
  write_packs(process, handle);
}

void Simulation::write_packs(Process& process, std::uint64_t handle) {
  Script& script = process.scripts.at(handle);
  script.stage = Stage::kPacks;
  std::vector<Slot> known;
  const CondemnedSlots condemned(*script.state);
  for (const auto& [pack, slots] : process.memory) {
    for (const auto slot : slots) {
      if (fault_ == DriverFault::kReferenceCondemned || !condemned.contains(pack, slot)) {
        known.emplace_back(pack, slot);
      }
    }
  }
  for (std::size_t i = chance_.pick(4); i > 0 && !known.empty(); --i) {
    script.slots.push_back(known[chance_.pick(known.size())]);
    ++counts_["deduplicated"];
  }
  const std::size_t packs = chance_.pick(3);
  for (std::size_t i = 0; i < packs; ++i) {
    Pack pack{script.origin.session, {}};
    const std::string name = "p" + std::to_string(next_pack_++);
    for (std::uint32_t slot = 0; slot < 1 + chance_.pick(3); ++slot) {
      pack.slots.insert(slot);
      if (chance_.percent(80)) script.slots.emplace_back(name, slot);
    }
    Flight flight;
    flight.kind = FlightKind::kPack;
    flight.handle = handle;
    flight.op.pack = name;
    flight.effect = {EffectKind::kPut, pack_key(name, 0), std::make_shared<const Value>(std::move(pack))};
    process.flights.push_back(std::move(flight));
    ++script.outstanding;
  }
  if (script.outstanding == 0 || fault_ == DriverFault::kRootBeforePacks) packs_written(process, handle);
}

void Simulation::packs_written(Process& process, std::uint64_t handle) {
  Script& script = process.scripts.at(handle);
  if (script.stage != Stage::kPacks) return;
  script.stage = Stage::kRoots;
  write_roots(process, handle);
}

void Simulation::write_roots(Process& process, std::uint64_t handle) {
  Script& script = process.scripts.at(handle);
  script.outstanding = script.roots.size();
  for (const auto& root : script.roots) {
    fates_[root] = Fate::kWriting;
    Flight flight;
    flight.kind = FlightKind::kRoot;
    flight.handle = handle;
    flight.effect = {EffectKind::kPut, root, std::make_shared<const Value>(Root{script.origin, script.slots})};
    process.flights.push_back(std::move(flight));
  }
}

/// What the process could reference: any pack that is listed and then found.
void Simulation::load_memory(Process& process) {
  for (const auto& key : store_.list("packs/", lag_, chance_)) {
    if (!chance_.percent(60)) continue;
    const auto* pack = store_.read_as<Pack>(key);
    if (pack == nullptr) continue;
    const auto dot = key.rfind('.');
    const std::string name = key.substr(6, dot - 6);
    // Only the generation that counts says which slots there are.
    if (std::stoull(key.substr(dot + 1)) == pack_generation(catalogue_, name)) process.memory[name] = pack->slots;
  }
}

void Simulation::landed(Process& process, const Flight& flight, SessionOutcome outcome, const ValuePtr& value) {
  switch (flight.kind) {
    case FlightKind::kMachine: {
      SessionAnswer answer;
      answer.outcome = outcome;
      if (value != nullptr) answer.document = std::get<SessionDocumentPtr>(*value);
      return feed(process, {WriterEventKind::kAnswer, 0, {}, flight.op.id, std::move(answer)});
    }
    case FlightKind::kParent:
      if (process.scripts.contains(flight.handle)) share(process, flight.handle);
      return;
    case FlightKind::kDelete:
      if (outcome != SessionOutcome::kDone) return process.flights.push_back(flight);
      fates_[flight.effect.key] = Fate::kDeleted;
      ++told_;
      return;
    case FlightKind::kPack:
    case FlightKind::kRoot:
    case FlightKind::kLoad:
      break;
  }
  const auto at = process.scripts.find(flight.handle);
  const bool gone = at == process.scripts.end() || at->second.stage == Stage::kEnding;
  if (flight.kind == FlightKind::kPack) {
    if (gone) return;  // abandoned with packs on their way
    if (outcome != SessionOutcome::kDone) return process.flights.push_back(flight);
    process.memory[flight.op.pack] = std::get<Pack>(*flight.effect.value).slots;
    if (--at->second.outstanding == 0) packs_written(process, flight.handle);
    return;
  }
  if (gone) return;
  Script& script = at->second;
  script.doubtful = script.doubtful || outcome != SessionOutcome::kDone;
  if (--script.outstanding > 0) return;
  script.stage = Stage::kConfirming;
  feed(process, {script.doubtful ? WriterEventKind::kRootsDoubtful : WriterEventKind::kRootsWritten, flight.handle});
}

/// Somebody removes a checkpoint that was reported as committed.
void Simulation::deleter_acts() {
  if (!deleter_.flights.empty()) return fly(deleter_, 0);
  std::vector<std::string> roots;
  for (const auto& [root, fate] : fates_) {
    if (fate == Fate::kCommitted) roots.push_back(root);
  }
  if (roots.empty() || !chance_.percent(50)) return;
  Flight flight;
  flight.kind = FlightKind::kDelete;
  flight.effect = {EffectKind::kRemove, roots[chance_.pick(roots.size())], nullptr};
  fates_[flight.effect.key] = Fate::kDeleting;
  deleter_.flights.push_back(std::move(flight));
  ++counts_["deletions"];
}

}  // namespace cacs::repository::sim
