#include "repository/session/collector_driver.h"

#include <fmt/format.h>

#include <deque>

#include "base/log.h"
#include "repository/session/random_instance.h"
#include "repository/session/session_gate.h"
#include "repository/session/session_keys.h"

namespace cacs::repository {

namespace {

Liveness::IsGone known_gone_here() {
  return [self = this_writer_host()](const WriterHost& host) { return is_known_gone(host, self); };
}

CollectorOptions machine_options(const Backend& backend, const CollectorDriverOptions& options) {
  CollectorOptions result;
  result.instance = random_instance();
  result.exclusive_create = backend.traits().exclusive_create;
  result.limits = options.limits;
  return result;
}

}  // namespace

CollectorDriver::CollectorDriver(Backend& backend, DocumentSealer& sealer, CollectionHooks& hooks,
                                 CollectorDriverOptions options)
    : store_(backend, sealer),
      hooks_(hooks),
      options_(std::move(options)),
      clock_(options_.patience.clock ? options_.patience.clock : make_steady_clock()),
      liveness_(options_.liveness, clock_, options_.is_gone ? options_.is_gone : known_gone_here()),
      machine_(machine_options(backend, options_)) {}

Result<CollectorReport> CollectorDriver::run(const std::stop_token& stop) {
  const std::string doing = "collect garbage in " + store_.backend().describe();
  SessionAttempts attempts(options_.patience, *clock_);
  std::deque<SessionOp> todo;
  const auto step = [&](const CollectorEvent& event) {
    for (auto& op : machine_.step(event)) todo.push_back(std::move(op));
  };
  step({});
  while (!todo.empty()) {
    const SessionOp op = std::move(todo.front());
    todo.pop_front();
    SessionAnswer answer;
    const auto performed = perform(op, answer);
    std::optional<Error> give_up;
    if (performed) {
      attempts.succeeded();
    } else if (op.kind == SessionOpKind::kRewritePack && performed.error().code == ErrorCode::kCorrupt) {
      answer.outcome = SessionOutcome::kUnknown;  // it stays as it is, and keeps nothing else from being done
    } else {
      answer.outcome = SessionOutcome::kUnknown;
      give_up = attempts.failed(performed.error(), stop);
    }
    if (!give_up && stop.stop_requested()) give_up = make_error(ErrorCode::kAborted, "it was told to stop");
    if (give_up) {
      // First the answer: a write that failed is one to be remembered as such.
      machine_.step({CollectorEventKind::kAnswer, op.id, std::move(answer)});
      machine_.step({CollectorEventKind::kCancel});
      return give_up->with_context(doing);
    }
    step({CollectorEventKind::kAnswer, op.id, std::move(answer)});
  }
  return result().context(doing);
}

Result<CollectorReport> CollectorDriver::result() const {
  const auto& report = machine_.report();
  switch (machine_.outcome()) {
    case CollectorOutcome::kDone:
      return report;
    case CollectorOutcome::kSuperseded:
      return make_error(ErrorCode::kConflict, "another collector has taken over",
                        "let one process alone collect the garbage of a repository");
    case CollectorOutcome::kLost:
      return make_error(ErrorCode::kUnavailable, "the store did not say whether it took the collector's state",
                        "collect again");
    case CollectorOutcome::kViolation:
      return make_error(
          ErrorCode::kCorrupt, fmt::format("pack {} is referenced although it was being removed", report.violation),
          "stop collections, and keep a copy of the repository's folder 'sessions' for a report of this bug");
    case CollectorOutcome::kCancelled:
    case CollectorOutcome::kRunning:
      break;
  }
  return make_error(ErrorCode::kInternal, "the collector stopped without a result");
}

Status CollectorDriver::list(SessionAnswer& answer) {
  CACS_TRY(store_.backend().list(std::string(kSessionPrefix), [&](const ObjectInfo& object) -> Status {
    answer.keys.push_back(object.name);
    return {};
  }));
  CACS_ASSIGN(answer.roots, hooks_.list(machine_.catalogue()));
  return {};
}

Status CollectorDriver::perform(const SessionOp& op, SessionAnswer& answer) {
  switch (op.kind) {
    case SessionOpKind::kRead:
    case SessionOpKind::kPut:
    case SessionOpKind::kCreate:
    case SessionOpKind::kRemove: {
      auto performed = store_.perform(op);
      answer = std::move(performed.answer);
      if (performed.error) return *performed.error;
      return {};
    }
    case SessionOpKind::kList:
      return list(answer);
    case SessionOpKind::kJudge:
      answer.seats = liveness_.judge(op.registers);
      return {};
    case SessionOpKind::kReadRoot: {
      CACS_ASSIGN(const auto origin, hooks_.read_root(op.key));
      if (origin) {
        answer.origin = *origin;
      } else {
        answer.outcome = SessionOutcome::kAbsent;
      }
      return {};
    }
    case SessionOpKind::kMark: {
      CACS_ASSIGN(answer.mark, hooks_.mark(op.roots, op.condemned));
      return {};
    }
    case SessionOpKind::kRemovePack:
      return hooks_.remove_pack(op.pack, op.generation);
    case SessionOpKind::kRewritePack:
      return hooks_.rewrite_pack(op.pack, op.generation, op.target, op.slots);
  }
  return make_error(ErrorCode::kInternal, "an operation that no collector knows");
}

Result<CollectionView> read_collection_view(Backend& backend, DocumentSealer& sealer, CollectionView known) {
  const std::string doing = "read what collections have decided in " + backend.describe();
  SessionStore store(backend, sealer);
  // A catalogue may be replaced between the reading of the state that names it and its own: then all is read again.
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds; ++round) {
    StateFinder finder(known.last_term);
    while (!finder.done()) {
      const auto performed = store.perform(finder.op());
      if (performed.error) return performed.error->with_context(doing);
      finder.answer(performed.answer);
    }
    CollectionView view;
    view.last_term = finder.last_term();
    view.state = finder.state();
    const CatalogueName& name = view.state.catalogue;
    if (name == known.state.catalogue) {
      view.catalogue = std::move(known.catalogue);
      return view;
    }
    SessionOp op;
    op.key = catalogue_key(name.term, name.serial);
    const auto performed = store.perform(op);
    if (performed.error) return performed.error->with_context(doing);
    if (const auto* catalogue = session_document_as<RootCatalogue>(performed.answer.document)) {
      view.catalogue = *catalogue;
      return view;
    }
    known.last_term = view.last_term;
  }
  return make_error(ErrorCode::kUnavailable, doing + ": the catalogue is replaced faster than it can be read",
                    "try again");
}

}  // namespace cacs::repository
