#include "repository/session/session_sim.h"

#include <algorithm>

namespace cacs::repository::sim {

namespace {

/// Seats are found; their holders are settled, packs condemned; packs removed. Two more when of a pack that was
/// condemned in part the rest dies meanwhile.
constexpr std::size_t kRunsToClean = 5;

}  // namespace

Simulation::Simulation(std::uint64_t seed, SessionMutation mutation, DriverFault fault)
    : chance_(seed),
      seed_(seed),
      mutation_(mutation),
      fault_(fault),
      exclusive_(chance_.percent(60)),
      failures_(chance_.percent(30) ? 0 : static_cast<unsigned>(chance_.pick(60))),
      kills_(chance_.percent(20) ? 0 : static_cast<unsigned>(chance_.pick(80))),
      pauses_(static_cast<unsigned>(1 + chance_.pick(20))),
      hurry_(chance_.percent(40) ? 0 : static_cast<unsigned>(chance_.pick(70))),
      deletions_(static_cast<unsigned>(1 + chance_.pick(8))),
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
  if (chance_.percent(deletions_)) deleter_acts();
  // Writers come first, collectors last. In some schedules these get more done than the others.
  const bool collector = chance_.percent(hurry_);
  Process& process = processes_[collector ? writers_ + chance_.pick(collectors_) : chance_.pick(processes_.size())];
  if (process.dead) {
    if (!chance_.percent(10)) return;
    process = process.collector ? new_collector() : new_writer();
    return;
  }
  if (process.paused_until > now_) return;
  if (chance_.pick(10'000) < kills_) return kill(process);
  if (chance_.permille(process.writer ? pauses_ : 5)) {
    process.paused_until = now_ + 1 + chance_.pick(chance_.percent(30) ? 900 : 120);
    return;
  }
  if (process.writer) writer_acts(process);
  if (process.collector && !process.flights.empty() && chance_.permille(5)) return cancel(process);
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
  if (getenv("TR")) {
    std::size_t who = &process == &deleter_ ? 99 : static_cast<std::size_t>(&process - processes_.data());
    fprintf(stderr, "%lu P%zu%s %d k=%s e=%d:%s h=%lu pack=%s g=%lu>%lu %s", now_, who, process.collector ? "C" : "W",
            int(flight.op.kind), flight.op.key.c_str(), int(flight.effect.kind), flight.effect.key.c_str(),
            flight.handle, flight.op.pack.c_str(), flight.op.generation, flight.op.target, reliable ? "" : "FAIL");
    if (flight.effect.value)
      if (auto* d = std::get_if<SessionDocumentPtr>(flight.effect.value.get())) {
        if (auto* r = session_document_as<WriterRegister>(*d)) {
          fprintf(stderr, " reg v%lu first=%lu com=[", r->version, r->first_committed);
          for (auto& c : r->committed) fprintf(stderr, "%s ", c.c_str());
          fprintf(stderr, "] open=");
          for (auto& o : r->open) {
            fprintf(stderr, "(%lu seen %lu.%lu", o.number, o.seen.term, o.seen.serial);
            for (auto& c : o.roots) fprintf(stderr, " %s", c.c_str());
            fprintf(stderr, ")");
          }
          if (r->resigned) fprintf(stderr, " RESIGNED");
        }
        if (auto* st = session_document_as<CollectorState>(*d)) {
          fprintf(stderr, " state %lu.%lu base=%lu cat=%lu.%lu members:", st->term, st->serial, st->base,
                  st->catalogue.term, st->catalogue.serial);
          for (auto& m : st->members)
            fprintf(stderr, " %lu/%d/k%lu/a%lu", m.seat, int(m.status), m.register_number, m.absorbed);
          for (auto& c : st->condemned)
            fprintf(stderr, " [%s since %lu ph%d done %lu %s]", c.pack.c_str(), c.since, int(c.phase), c.done,
                    c.slots.empty() ? "all" : "part");
        }
        if (auto* ct = session_document_as<RootCatalogue>(*d)) {
          fprintf(stderr, " cat:");
          for (auto& c : ct->roots) fprintf(stderr, " %s", c.c_str());
        }
      }
    fprintf(stderr, "\n");
  }
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

/// What is on its way arrives, or not, or later.
void Simulation::abandon(Process& process) {
  for (const Flight& flight : process.flights) {
    if (flight.op.kind == SessionOpKind::kRewritePack) {
      rewrite(flight.op, false);
    } else {
      perform(flight.effect, false);
    }
  }
  process.flights.clear();
}

/// The driver of a collector gives up.
void Simulation::cancel(Process& process) {
  ++counts_["runs cancelled"];
  abandon(process);
  feed_collector(process, {CollectorEventKind::kCancel});
}

void Simulation::kill(Process& process) {
  ++counts_[process.writer ? "writers killed" : "collectors killed"];
  abandon(process);
  process.dead = true;
  if (process.writer) dead_seats_.insert(process.writer->seat());
}

/// Failures stop. In half of the schedules writers finish what they do and resign, in the others they die; late effects
/// arrive; then one collector is alone, and a few runs later nothing is left but what counts.
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
  for (std::size_t round = 1; round <= kRunsToClean && !violation_; ++round) {
    feed_collector(collector, {});
    for (std::size_t guard = 0; !collector.flights.empty() && !violation_; ++guard) {
      if (guard > 50'000) return broken("a run does not end");
      ++now_;
      fly(collector, chance_.pick(collector.flights.size()));
      check();
    }
    const std::string left = what_is_left();
    if (left.empty()) {
      ++counts_["clean after " + std::to_string(round)];
      return;
    }
    if (round == kRunsToClean) broken(left);
  }
}

}  // namespace cacs::repository::sim
