#include "repository/session/session_sim.h"

#include <algorithm>

namespace cacs::repository::sim {

Simulation::Simulation(std::uint64_t seed, SessionMutation mutation, DriverFault fault)
    : chance_(seed),
      seed_(seed),
      mutation_(mutation),
      fault_(fault),
      exclusive_(chance_.percent(60)),
      failures_(chance_.percent(30) ? 0 : static_cast<unsigned>(chance_.pick(60))),
      kills_(chance_.percent(20) ? 0 : static_cast<unsigned>(chance_.pick(80))),
      lag_(chance_.percent(30) ? 0 : chance_.pick(200)),
      writers_(1 + chance_.pick(3)),
      collectors_(1 + (chance_.percent(40) ? 1 : 0)),
      store_(exclusive_) {
  for (std::size_t i = 0; i < writers_; ++i) processes_.push_back(new_writer());
  for (std::size_t i = 0; i < collectors_; ++i) processes_.push_back(new_collector());
}

void Simulation::note(std::uint64_t value) { trace_ = (trace_ ^ value) * 1099511628211ULL; }

void Simulation::broken(std::string what) {
  if (!violation_) violation_ = Violation{seed_, std::move(what)};
}

std::optional<Violation> Simulation::run() {
  const std::uint64_t steps = 200 + chance_.pick(900);
  while (!violation_ && now_ < steps) {
    ++now_;
    chaos_step();
    check();
  }
  if (!violation_) calm();
  return violation_;
}

void Simulation::chaos_step() {
  if (store_.late() > 0 && chance_.percent(3)) return store_.land(chance_.pick(store_.late()));
  if (chance_.percent(4)) deleter_acts();
  Process& process = processes_[chance_.pick(processes_.size())];
  if (process.dead) {
    if (!chance_.percent(10)) return;
    process = process.collector ? new_collector() : new_writer();
    return;
  }
  if (process.paused_until > now_) return;
  if (chance_.pick(10'000) < kills_) return kill(process);
  if (chance_.permille(6)) {
    process.paused_until = now_ + 1 + chance_.pick(chance_.percent(30) ? 900 : 120);
    return;
  }
  if (process.writer) writer_acts(process);
  if (process.collector && process.flights.empty() && chance_.percent(30)) {
    ++counts_["runs"];
    feed_collector(process, {});
  }
  if (!process.flights.empty()) fly(process, chance_.pick(process.flights.size()));
}

/// The operation has its effect, or fails, or both.
void Simulation::fly(Process& process, std::size_t index) {
  const Flight flight = process.flights[index];
  process.flights.erase(process.flights.begin() + static_cast<std::ptrdiff_t>(index));
  note(now_ * 31 + static_cast<std::uint64_t>(flight.op.kind) + 7 * flight.op.id + flight.handle);
  const bool reliable = calm_ || !chance_.permille(failures_);
  if (flight.kind == FlightKind::kMachine && process.collector) {
    SessionAnswer answer;
    if (flight.effect.kind != EffectKind::kNone) {
      answer.outcome = perform(flight.effect, reliable);
    } else if (flight.op.kind == SessionOpKind::kRewritePack) {
      answer.outcome = rewrite(flight.op, reliable);
    } else if (reliable) {
      answer = collector_answer(process, flight.op);
    } else {
      answer.outcome = SessionOutcome::kUnknown;
    }
    return feed_collector(process, {CollectorEventKind::kAnswer, flight.op.id, std::move(answer)});
  }
  SessionOutcome outcome = SessionOutcome::kDone;
  ValuePtr value;
  if (flight.effect.kind != EffectKind::kNone) {
    outcome = perform(flight.effect, reliable);
  } else if (!reliable) {
    outcome = SessionOutcome::kUnknown;
  } else {
    value = store_.read(flight.op.key);
    if (value == nullptr) outcome = SessionOutcome::kAbsent;
  }
  landed(process, flight, outcome, value);
}

SessionOutcome Simulation::perform(const Effect& effect, bool reliable) {
  if (reliable) return store_.apply(effect) ? SessionOutcome::kDone : SessionOutcome::kTaken;
  ++counts_["failures"];
  switch (chance_.pick(3)) {
    case 0:
      store_.apply(effect);
      break;
    case 1:
      store_.later(effect);
      break;
    default:
      break;
  }
  return SessionOutcome::kUnknown;
}

/// What was on its way arrives, or not, or later.
void Simulation::kill(Process& process) {
  ++counts_[process.writer ? "writers killed" : "collectors killed"];
  for (const Flight& flight : process.flights) {
    if (flight.op.kind == SessionOpKind::kRewritePack) {
      rewrite(flight.op, false);
    } else {
      perform(flight.effect, false);
    }
  }
  process.flights.clear();
  process.dead = true;
  if (process.writer) dead_seats_.insert(process.writer->seat());
}

/// Failures stop. Half of the writers finish what they do and resign, the others die; late effects arrive; then one
/// collector is alone, and three runs later (four if seats were found only now) nothing is left but what counts.
void Simulation::calm() {
  const bool finish = chance_.percent(50);
  calm_ = true;
  for (Process& process : processes_) {
    process.paused_until = 0;
    if (!process.dead && (process.collector || !finish)) kill(process);
  }
  while (store_.late() > 0) {
    store_.land(chance_.pick(store_.late()));
    check();
  }
  for (std::size_t guard = 0; guard < 20'000 && !violation_; ++guard) {
    ++now_;
    bool busy = false;
    for (Process& process : processes_) {
      if (process.dead || process.flights.empty()) continue;
      busy = true;
      fly(process, chance_.pick(process.flights.size()));
      check();
    }
    if (!deleter_.flights.empty()) fly(deleter_, 0);
    if (busy) continue;
    for (Process& process : processes_) {
      if (process.dead || process.resigning || !process.writer) continue;
      process.resigning = true;
      feed(process, {WriterEventKind::kResign});
    }
    if (std::all_of(processes_.begin(), processes_.end(), [](const Process& p) { return p.flights.empty(); })) break;
  }
  for (Process& process : processes_) {
    if (!process.dead) kill(process);
  }
  Process collector = new_collector();
  lag_ = 0;
  for (int round = 0; round < 4 && !violation_; ++round) {
    feed_collector(collector, {});
    for (std::size_t guard = 0; !collector.flights.empty() && !violation_; ++guard) {
      if (guard > 50'000) return broken("a run does not end");
      ++now_;
      fly(collector, chance_.pick(collector.flights.size()));
      check();
    }
  }
  if (!violation_) check_clean();
}

}  // namespace cacs::repository::sim
