#include <algorithm>

#include "repository/session/session_sim.h"

namespace cacs::repository::sim {

Simulation::Process Simulation::new_collector() {
  Process process;
  CollectorOptions options;
  options.instance = {2, next_instance_++};
  options.exclusive_create = exclusive_;
  options.limits.max_done = 1 + chance_.pick(4);
  options.limits.max_lineage = 1 + chance_.pick(4);
  options.mutation = mutation_;
  process.collector.emplace(options);
  return process;
}

void Simulation::feed_collector(Process& process, const CollectorEvent& event) {
  if (event.kind == CollectorEventKind::kRun) process.marks.clear();
  auto ops = process.collector->step(event);
  for (SessionOp& op : ops) {
    Flight flight;
    flight.kind = FlightKind::kMachine;
    if (op.kind == SessionOpKind::kPut || op.kind == SessionOpKind::kCreate) {
      flight.effect = {op.kind == SessionOpKind::kPut ? EffectKind::kPut : EffectKind::kCreate, op.key,
                       std::make_shared<const Value>(op.document)};
    } else if (op.kind == SessionOpKind::kRemove) {
      flight.effect = {EffectKind::kRemove, op.key, nullptr};
    } else if (op.kind == SessionOpKind::kRemovePack) {
      flight.effect = {EffectKind::kRemove, pack_key(op.pack, op.generation), nullptr};
    }
    flight.op = std::move(op);
    process.flights.push_back(std::move(flight));
  }
  if (process.flights.empty()) collector_done(process);
}

void Simulation::collector_done(Process& process) {
  switch (process.collector->outcome()) {
    case CollectorOutcome::kRunning:
      return broken("a collector waits for nothing");
    case CollectorOutcome::kViolation:
      return broken("a collector finds pack " + process.collector->report().violation + " referenced and executing");
    case CollectorOutcome::kSuperseded:
      ++counts_["superseded"];
      break;
    case CollectorOutcome::kLost:
      ++counts_["terms lost"];
      break;
    case CollectorOutcome::kCancelled:
      return;
    case CollectorOutcome::kDone:
      ++counts_["runs done"];
      break;
  }
  const CollectorReport& report = process.collector->report();
  counts_["packs removed"] += report.packs_removed;
  counts_["packs rewritten"] += report.packs_rewritten;
  counts_["writers settled"] += report.settled;
}

SessionAnswer Simulation::collector_answer(Process& process, const SessionOp& op) {
  SessionAnswer answer;
  switch (op.kind) {
    case SessionOpKind::kRead: {
      const ValuePtr value = store_.read(op.key);
      if (value == nullptr) {
        answer.outcome = SessionOutcome::kAbsent;
      } else {
        answer.document = std::get<SessionDocumentPtr>(*value);
      }
      break;
    }
    case SessionOpKind::kList:
      answer.keys = store_.list("sessions/", lag_, chance_);
      answer.roots = store_.list("roots/", lag_, chance_);
      process.listed_packs.clear();
      for (auto& name : store_.list("packs/", lag_, chance_)) process.listed_packs.insert(std::move(name));
      break;
    case SessionOpKind::kJudge:
      for (const JudgedRegister& judged : op.registers) {
        // Right or wrong: what is safe must not depend on it. In the end everybody is dead.
        const unsigned percent = dead_seats_.contains(judged.seat) ? 70 : 4;
        if (calm_ || chance_.percent(percent)) answer.seats.push_back(judged.seat);
      }
      break;
    case SessionOpKind::kReadRoot:
      if (const auto* root = store_.read_as<Root>(op.key)) {
        answer.origin = root->origin;
        process.marks[op.key] = root->slots;
      } else {
        answer.outcome = SessionOutcome::kAbsent;
      }
      break;
    case SessionOpKind::kMark:
      answer.mark = mark(process, op);
      break;
    default:
      break;
  }
  return answer;
}

MarkResult Simulation::mark(const Process& process, const SessionOp& op) const {
  std::set<Slot> marked;
  for (const auto& root : op.roots) {
    const auto& slots = process.marks.at(root);
    marked.insert(slots.begin(), slots.end());
  }
  const auto is_marked = [&](const std::string& pack, std::uint32_t slot) { return marked.contains({pack, slot}); };
  MarkResult result;
  for (const auto& entry : op.condemned) {
    bool used = false;
    for (const auto& [pack, slot] : marked) {
      if (pack != entry.pack) continue;
      used = used || entry.slots.empty();
      for (const auto& range : entry.slots) used = used || (slot >= range.first && slot < range.first + range.count);
    }
    if (used) result.referenced.push_back(entry.pack);
  }
  for (const auto& key : process.listed_packs) {
    const auto dot = key.rfind('.');
    PackObject object{key.substr(6, dot - 6), std::stoull(key.substr(dot + 1))};
    const bool current = object.generation == pack_generation(process.collector->catalogue(), object.pack);
    const auto* pack = store_.read_as<Pack>(key);
    if (current && pack != nullptr) {
      PackReport report{object.pack, pack->creator, true, {}};
      for (const auto slot : pack->slots) {
        if (is_marked(object.pack, slot)) {
          report.dead = false;
        } else {
          report.dead_slots.push_back({slot, 1});
        }
      }
      if (report.dead || !report.dead_slots.empty()) result.reports.push_back(std::move(report));
    }
    if (pack != nullptr) result.objects.push_back(std::move(object));
  }
  return result;
}

SessionOutcome Simulation::rewrite(const SessionOp& op, bool reliable) {
  const auto* pack = store_.read_as<Pack>(pack_key(op.pack, op.generation));
  if (pack == nullptr) return SessionOutcome::kUnknown;
  Pack next = *pack;
  for (const auto& range : op.slots) {
    for (std::uint32_t i = 0; i < range.count; ++i) next.slots.erase(range.first + i);
  }
  return perform({EffectKind::kPut, pack_key(op.pack, op.target), std::make_shared<const Value>(std::move(next))},
                 reliable);
}

}  // namespace cacs::repository::sim
