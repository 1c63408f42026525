#include "checkpoint/cut.h"

#include <algorithm>
#include <utility>

namespace cacs::checkpoint {
namespace {

std::size_t index_of(Call call) { return static_cast<std::size_t>(call); }

class Stepper {
 public:
  explicit Stepper(CutState state) : state_(std::move(state)) {}

  void take(const CutEvent& event);
  CutStep finish() && {
    settle_abort();
    return {.state = std::move(state_), .actions = std::move(actions_)};
  }

 private:
  void send(Call call, std::size_t pod) {
    CutPod& target = state_.pods[pod];
    target.open[index_of(call)] = true;
    actions_.push_back({.call = call, .pod = pod, .attempt = ++target.attempts[index_of(call)]});
  }
  void send_all(Call call) {
    for (std::size_t pod = 0; pod < state_.pods.size(); ++pod) send(call, pod);
  }
  [[nodiscard]] bool all(bool CutPod::*flag) const {
    return std::ranges::all_of(state_.pods, [flag](const CutPod& pod) { return pod.*flag; });
  }

  void done(const CutEvent& event);
  void failed(const CutEvent& event);
  void answered_while_aborting(const CutEvent& event);
  void abort_all(const Error& why);
  void send_abort(std::size_t pod);
  void settle_abort();

  CutState state_;
  std::vector<CutAction> actions_;
};

void Stepper::take(const CutEvent& event) {
  if (is_end(state_.phase) || event.pod >= state_.pods.size()) return;
  switch (event.kind) {
    case CutEventKind::kStart:
      if (state_.pods.front().attempts[index_of(Call::kBegin)] == 0) send_all(Call::kBegin);
      return;
    case CutEventKind::kDone:
    case CutEventKind::kFailed:
    case CutEventKind::kUnreachable: {
      bool& open = state_.pods[event.pod].open[index_of(event.call)];
      // An answer that comes twice must not stand for the next attempt's.
      if (!open || event.attempt != state_.pods[event.pod].attempts[index_of(event.call)]) return;
      open = false;
      if (state_.phase == CutPhase::kAborting) return answered_while_aborting(event);
      if (event.kind == CutEventKind::kDone) return done(event);
      return failed(event);
    }
    case CutEventKind::kPodDied:
      // Once it is to be thawed all that the checkpoint needs has been taken: the answers of its agent decide.
      if (state_.phase == CutPhase::kPreparing) abort_all(event.error);
      return;
    case CutEventKind::kTimeout:
    case CutEventKind::kCancel:
      // A commit under way cannot be taken back; its own answer ends the cut.
      if (state_.phase != CutPhase::kCommitting && state_.phase != CutPhase::kAborting) abort_all(event.error);
      return;
  }
}

void Stepper::done(const CutEvent& event) {
  CutPod& pod = state_.pods[event.pod];
  switch (event.call) {
    case Call::kBegin:
      pod.prepared = true;
      if (!all(&CutPod::prepared)) return;
      state_.phase = CutPhase::kThawing;
      return send_all(Call::kThaw);
    case Call::kThaw:
      pod.thawed = true;
      send(Call::kWatch, event.pod);
      if (all(&CutPod::thawed)) state_.phase = CutPhase::kStoring;
      break;
    case Call::kWatch:
      pod.stored = true;
      break;
    case Call::kCommit:
      state_.phase = CutPhase::kCommitted;
      return;
    case Call::kAbort:
      return;  // only sent while aborting
  }
  if (state_.phase == CutPhase::kStoring && all(&CutPod::stored)) {
    state_.phase = CutPhase::kCommitting;
    send(Call::kCommit, 0);
  }
}

void Stepper::failed(const CutEvent& event) {
  const bool again = event.kind == CutEventKind::kUnreachable && event.call != Call::kBegin &&
                     state_.pods[event.pod].attempts[index_of(event.call)] < kMaxAttempts;
  if (again) return send(event.call, event.pod);
  const bool commit_was_lost =
      event.kind == CutEventKind::kUnreachable || state_.pods[event.pod].attempts[index_of(Call::kCommit)] > 1;
  if (event.call == Call::kCommit && commit_was_lost) {
    // It may have been committed, or be yet, though this attempt was refused. To abort now could take away pieces that
    // a manifest names.
    state_.failure = event.error;
    state_.phase = CutPhase::kUnknown;
    return;
  }
  abort_all(event.error);
}

void Stepper::abort_all(const Error& why) {
  state_.failure = why;
  state_.phase = CutPhase::kAborting;
  for (std::size_t pod = 0; pod < state_.pods.size(); ++pod) send_abort(pod);
}

void Stepper::send_abort(std::size_t pod) {
  state_.pods[pod].abort_again = state_.pods[pod].open[index_of(Call::kBegin)];
  send(Call::kAbort, pod);
}

void Stepper::answered_while_aborting(const CutEvent& event) {
  CutPod& pod = state_.pods[event.pod];
  const bool abort_open = pod.open[index_of(Call::kAbort)];
  if (event.call == Call::kBegin) {
    // Answered that it failed: there is nothing to abort any more. Else it may have begun after the abort came by.
    if (event.kind == CutEventKind::kFailed) pod.abort_again = false;
    if (abort_open) return;
    if (pod.abort_again) return send_abort(event.pod);
    pod.quiet = true;
    return;
  }
  if (event.call != Call::kAbort) return;
  const bool begin_open = pod.open[index_of(Call::kBegin)];
  if (pod.abort_again) {
    if (!begin_open) send_abort(event.pod);
    return;
  }
  if (event.kind == CutEventKind::kUnreachable && pod.attempts[index_of(Call::kAbort)] < kMaxAttempts) {
    return send_abort(event.pod);
  }
  pod.quiet = true;
}

/// The end of aborting: every pod is quiet and nobody will call again.
void Stepper::settle_abort() {
  if (state_.phase != CutPhase::kAborting || !all(&CutPod::quiet)) return;
  for (const CutPod& pod : state_.pods) {
    if (std::ranges::any_of(pod.open, [](bool open) { return open; })) return;
  }
  state_.phase = CutPhase::kFailed;
}

}  // namespace

std::string_view cut_phase_name(CutPhase phase) {
  switch (phase) {
    case CutPhase::kPreparing:
      return "DUMPING";
    case CutPhase::kThawing:
    case CutPhase::kStoring:
      return "STORING";
    case CutPhase::kCommitting:
      return "COMMITTING";
    case CutPhase::kAborting:
      return "ABORTING";
    case CutPhase::kCommitted:
      return "COMMITTED";
    case CutPhase::kFailed:
      return "FAILED";
    case CutPhase::kUnknown:
      return "UNKNOWN";
  }
  return "UNKNOWN";
}

bool is_end(CutPhase phase) {
  return phase == CutPhase::kCommitted || phase == CutPhase::kFailed || phase == CutPhase::kUnknown;
}

CutState initial_cut(std::size_t pods) {
  return {.phase = CutPhase::kPreparing, .pods = std::vector<CutPod>(pods), .failure = {}};
}

CutStep step(CutState state, const CutEvent& event) {
  Stepper stepper(std::move(state));
  stepper.take(event);
  return std::move(stepper).finish();
}

}  // namespace cacs::checkpoint
