#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "application/lifecycle_step.h"

namespace cacs::application {
namespace {

constexpr std::int64_t kFirstBackoffMs = 1'000;
constexpr std::int64_t kLongestBackoffMs = 60'000;

std::int64_t backoff_ms(int attempts) {
  const int doublings = std::clamp(attempts - 2, 0, 20);
  return std::min(kFirstBackoffMs << doublings, kLongestBackoffMs);
}

ActionKind cut_action(CutStage stage) {
  switch (stage) {
    case CutStage::kDumping:
      return ActionKind::kBeginCut;
    case CutStage::kThawing:
      return ActionKind::kThaw;
    case CutStage::kStoring:
      return ActionKind::kStore;
    case CutStage::kCommitting:
      return ActionKind::kCommit;
    case CutStage::kAborting:
      break;
  }
  return ActionKind::kAbortCut;
}

void want_pods(const State& state, std::vector<Action>& out) {
  for (std::size_t i = 0; i < state.pods.size(); ++i) {
    const Pod& pod = state.pods[i];
    Action action{.pod = static_cast<int>(i), .incarnation = pod.incarnation};
    if (pod.status == PodStatus::kStarting) {
      action.kind = ActionKind::kStartPod;
      action.checkpoint = state.source;
      out.push_back(std::move(action));
    } else if (pod.status == PodStatus::kDestroying) {
      action.kind = ActionKind::kDestroyPod;
      out.push_back(std::move(action));
    }
  }
}

void want_nodes(const State& state, std::vector<Action>& out) {
  if (state.nodes == NodesStatus::kClaiming) out.push_back({.kind = ActionKind::kClaimNodes});
  if (state.nodes == NodesStatus::kReleasing) out.push_back({.kind = ActionKind::kReleaseNodes});
  if (state.phase == Phase::kCreating) out.push_back({.kind = ActionKind::kReachNodes});
  if (state.phase == Phase::kProvisioning) out.push_back({.kind = ActionKind::kPrepareNodes});
}

void want_timer(const State& state, std::vector<Action>& out) {
  Action timer{.kind = ActionKind::kArmTimer, .timer = state.timer};
  if (state.stage == StartStage::kBackoff) {
    timer.delay_ms = backoff_ms(state.attempts);
  } else if (state.phase == Phase::kRunning && !state.cut && state.policy.interval_ms > 0) {
    timer.delay_ms = state.policy.interval_ms;
  } else {
    return;
  }
  out.push_back(std::move(timer));
}

}  // namespace

std::vector<Action> wanted(const State& state) {
  std::vector<Action> out;
  want_nodes(state, out);
  want_pods(state, out);
  if (state.stage == StartStage::kOpen) {
    out.push_back({.kind = ActionKind::kOpenNetwork, .incarnation = state.incarnation});
  }
  if (state.doubt) out.push_back({.kind = ActionKind::kLookAtPods, .incarnation = state.incarnation});
  if (state.cut) {
    out.push_back({.kind = cut_action(state.cut->stage),
                   .incarnation = find_checkpoint(state, state.cut->checkpoint)->incarnation,
                   .checkpoint = state.cut->checkpoint});
  }
  for (const Checkpoint& checkpoint : state.checkpoints) {
    if (checkpoint.phase != CheckpointPhase::kDeleting) continue;
    // While its cut is being aborted a commit of it may be on its way.
    if (state.cut && state.cut->checkpoint == checkpoint.id) continue;
    out.push_back({.kind = ActionKind::kDeleteCheckpoint, .checkpoint = checkpoint.id});
  }
  if (!state.check.empty()) out.push_back({.kind = ActionKind::kCheckCheckpoint, .checkpoint = state.check});
  for (const Outcome& outcome : state.outcomes) {
    out.push_back({.kind = ActionKind::kReportOutcome,
                   .pod = outcome.requester.pod,
                   .incarnation = outcome.requester.incarnation,
                   .checkpoint = outcome.checkpoint,
                   .request = outcome.requester.request});
  }
  want_timer(state, out);
  if (state.phase == Phase::kGone) out.push_back({.kind = ActionKind::kRemoveRecord});
  return out;
}

bool Action::same_as(const Action& other) const {
  return kind == other.kind && pod == other.pod && incarnation == other.incarnation && checkpoint == other.checkpoint &&
         request == other.request && timer == other.timer;
}

bool is_wanted(const State& state, const Action& action) {
  const std::vector<Action> all = wanted(state);
  return std::any_of(all.begin(), all.end(), [&](const Action& each) { return each.same_as(action); });
}

std::string lane_of(const Action& action) {
  switch (action.kind) {
    case ActionKind::kClaimNodes:
    case ActionKind::kReachNodes:
    case ActionKind::kPrepareNodes:
    case ActionKind::kReleaseNodes:
      return "nodes";
    case ActionKind::kStartPod:
    case ActionKind::kDestroyPod:
      return fmt::format("pod-{}", action.pod);
    case ActionKind::kOpenNetwork:
      return "network";
    case ActionKind::kLookAtPods:
      return "look";
    case ActionKind::kBeginCut:
    case ActionKind::kThaw:
    case ActionKind::kStore:
    case ActionKind::kCommit:
    case ActionKind::kAbortCut:
      return "cut";
    case ActionKind::kDeleteCheckpoint:
      return "checkpoint-" + action.checkpoint;
    case ActionKind::kCheckCheckpoint:
      return "check";
    case ActionKind::kReportOutcome:
      return "outcome-" + action.request;
    case ActionKind::kArmTimer:
      return "timer";
    case ActionKind::kRemoveRecord:
      break;
  }
  return "record";
}

Transition step(const State& state, const Event& event, Mutation mutation) {
  internal::Step one(state, mutation);
  one.handle(event);
  if (one.refusal()) {
    return {.state = state, .actions = {}, .notes = {}, .refusal = one.refusal(), .restart_refusal = {}};
  }
  one.settle();
  Transition out{.state = one.state(),
                 .actions = {},
                 .notes = one.notes(),
                 .refusal = {},
                 .restart_refusal = one.restart_refusal()};
  std::vector<Action> now = wanted(out.state);
  const std::vector<Action> before = event.kind == EventKind::kRecovered ? std::vector<Action>{} : wanted(state);
  for (Action& action : now) {
    const bool old =
        event.kind != EventKind::kSubmitted &&
        std::any_of(before.begin(), before.end(), [&](const Action& each) { return each.same_as(action); });
    if (!old) out.actions.push_back(action);
  }
  for (const Action& action : one.again()) {
    if (is_wanted(out.state, action)) out.actions.push_back(action);
  }
  return out;
}

bool recovers_alike(const State& one, const State& other) {
  const Event recovered{.kind = EventKind::kRecovered};
  return step(one, recovered).state == step(other, recovered).state;
}

State initial_state(const Policy& policy) {
  State state;
  state.policy = policy;
  state.nodes = NodesStatus::kClaiming;
  state.pods.resize(static_cast<std::size_t>(policy.pods));
  return state;
}

const Checkpoint* find_checkpoint(const State& state, std::string_view id) {
  const auto it = std::find_if(state.checkpoints.begin(), state.checkpoints.end(),
                               [&](const Checkpoint& checkpoint) { return checkpoint.id == id; });
  return it == state.checkpoints.end() ? nullptr : &*it;
}

const Checkpoint* newest_usable(const State& state) {
  const auto it = std::find_if(state.checkpoints.rbegin(), state.checkpoints.rend(), [](const Checkpoint& checkpoint) {
    return checkpoint.phase == CheckpointPhase::kAvailable && !checkpoint.damaged;
  });
  return it == state.checkpoints.rend() ? nullptr : &*it;
}

const Checkpoint* best_for_restart(const State& state) {
  const Checkpoint* best = nullptr;
  for (const Checkpoint& each : state.checkpoints) {  // the oldest first: of equal ones the last is taken
    if (each.phase != CheckpointPhase::kAvailable || each.damaged) continue;
    const bool better = best == nullptr || each.deaths / kDeathsBeforeOlder <= best->deaths / kDeathsBeforeOlder;
    if (better) best = &each;
  }
  return best;
}

std::optional<Error> problem_of(const Checkpoint& checkpoint) {
  if (checkpoint.problem.empty()) return std::nullopt;
  return make_error(checkpoint.problem_code, checkpoint.problem).with_type(checkpoint.problem_type);
}

std::string_view pinned_checkpoint(const State& state) {
  switch (state.phase) {
    case Phase::kQueued:
    case Phase::kCreating:
    case Phase::kProvisioning:
    case Phase::kReady:
    case Phase::kRestarting:
      return state.source;
    default:
      return state.check;
  }
}

std::string PodExit::to_string() const {
  switch (kind) {
    case ExitKind::kExited:
      return fmt::format("exit code {}", code);
    case ExitKind::kSignaled:
      return fmt::format("signal {}", signal);
    case ExitKind::kOom:
      return "out of memory";
    case ExitKind::kUnknown:
      break;
  }
  return "died, nobody knows how";
}

std::string_view phase_name(Phase phase) {
  constexpr auto kNames =
      std::to_array<std::string_view>({"QUEUED", "CREATING", "PROVISIONING", "READY", "RUNNING", "RESTARTING",
                                       "SUSPENDING", "SUSPENDED", "COMPLETED", "ERROR", "TERMINATING", "GONE"});
  return kNames.at(static_cast<std::size_t>(phase));
}

std::string_view checkpoint_phase_name(CheckpointPhase phase) {
  constexpr auto kNames = std::to_array<std::string_view>({"DUMPING", "STORING", "AVAILABLE", "FAILED", "DELETING"});
  return kNames.at(static_cast<std::size_t>(phase));
}

std::string_view checkpoint_reason_name(CheckpointReason reason) {
  constexpr auto kNames =
      std::to_array<std::string_view>({"periodic", "request", "application", "suspend", "terminate"});
  return kNames.at(static_cast<std::size_t>(reason));
}

std::string_view exit_kind_name(ExitKind kind) {
  constexpr auto kNames = std::to_array<std::string_view>({"exited", "signaled", "oom", "unknown"});
  return kNames.at(static_cast<std::size_t>(kind));
}

}  // namespace cacs::application
