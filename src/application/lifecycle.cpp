#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "application/lifecycle_step.h"

namespace cacs::application::internal {
namespace {

constexpr int kMaxOutcomeFailures = 5;  // then the asking process is taken to be gone
constexpr std::int64_t kFirstRetryMs = 100;
constexpr std::int64_t kLongestRetryMs = 30'000;

/// Phases in which a user's restart is prepared while all goes on.
bool may_prepare(Phase phase) {
  return phase == Phase::kRunning || phase == Phase::kCompleted || phase == Phase::kError || phase == Phase::kSuspended;
}

bool may_be_alive(const Pod& pod) {
  return pod.status == PodStatus::kStarting || pod.status == PodStatus::kRunning ||
         pod.status == PodStatus::kDestroying;
}

}  // namespace

Checkpoint* Step::find(std::string_view id) {
  const auto it = std::find_if(s_.checkpoints.begin(), s_.checkpoints.end(),
                               [&](const Checkpoint& checkpoint) { return checkpoint.id == id; });
  return it == s_.checkpoints.end() ? nullptr : &*it;
}

bool Step::quiet() const { return std::none_of(s_.pods.begin(), s_.pods.end(), may_be_alive); }

void Step::enter(Phase phase, std::string reason) {
  s_.phase = phase;
  s_.reason = std::move(reason);
  s_.doubt = false;
  if (phase != Phase::kReady && phase != Phase::kRestarting) s_.stage = StartStage::kNone;
  if (!may_prepare(phase) && !s_.check.empty()) {
    restart_refusal_ =
        make_error(ErrorCode::kConflict,
                   fmt::format("the application went to {} before it could be restarted from checkpoint {}",
                               phase_name(phase), s_.check),
                   "look what became of it, then ask again");
    s_.check.clear();
    s_.check_wish.reset();
  }
  ++s_.timer;
  std::string message(phase_name(phase));
  if (!s_.reason.empty()) message += ": " + s_.reason;
  notes_.push_back({"application.state", std::move(message), {}});
}

void Step::handle(const Event& event) {
  if (s_.phase == Phase::kGone) return;
  switch (event.kind) {
    case EventKind::kSubmitted:
      return;
    case EventKind::kCheckpointRequested:
      return request_checkpoint(event);
    case EventKind::kRestartRequested:
      return request_restart(event);
    case EventKind::kDeleteCheckpointRequested:
      return request_delete_checkpoint(event);
    case EventKind::kDeleteRequested:
      if (s_.phase != Phase::kTerminating) enter(Phase::kTerminating, "");
      return;
    case EventKind::kTimeLimit:
      return time_limit(event);
    case EventKind::kNodesClaimed:
    case EventKind::kNodesFailed:
    case EventKind::kNodesReady:
    case EventKind::kNodesPrepared:
    case EventKind::kNodesReleased:
      return handle_nodes(event);
    case EventKind::kPodGone:
    case EventKind::kPodRunning:
    case EventKind::kPodExited:
    case EventKind::kPodFailed:
    case EventKind::kPodTainted:
    case EventKind::kPodMissing:
      return handle_pod(event);
    case EventKind::kNetworkOpened:
      if (s_.stage != StartStage::kOpen || event.incarnation != s_.incarnation) return;
      s_.failures = 0;
      return run();
    case EventKind::kPodsLookedAt:
      return pods_looked_at(event);
    case EventKind::kCutPrepared:
    case EventKind::kCutFailed:
    case EventKind::kCutThawed:
    case EventKind::kCutStored:
    case EventKind::kCutAborted:
    case EventKind::kCommitted:
      return handle_cut(event);
    case EventKind::kCheckpointDeleted:
      std::erase_if(s_.checkpoints, [&](const Checkpoint& checkpoint) {
        return checkpoint.id == event.checkpoint && checkpoint.phase == CheckpointPhase::kDeleting;
      });
      return;
    case EventKind::kCheckpointSound:
    case EventKind::kCheckpointUnusable:
      return restart_checked(event);
    case EventKind::kOutcomeReported:
      std::erase_if(s_.outcomes,
                    [&](const Outcome& outcome) { return event.requester && outcome.requester == *event.requester; });
      return;
    case EventKind::kActionFailed:
      return action_failed(event);
    case EventKind::kTimer:
      return timer_fired(event);
    case EventKind::kCheckpointFound:
      return checkpoint_found(event);
    case EventKind::kCheckpointLost:
      if (Checkpoint* lost = find(event.checkpoint); lost != nullptr && lost->phase == CheckpointPhase::kAvailable) {
        lost->phase = CheckpointPhase::kFailed;
        lost->problem = "its manifest is no longer in the repository";
        notes_.push_back({"checkpoint.state", "FAILED: " + lost->problem, lost->id});
      }
      return;
    case EventKind::kRecovered:
      return recovered();
  }
}

void Step::handle_nodes(const Event& event) {
  switch (event.kind) {
    case EventKind::kNodesClaimed:
      if (s_.nodes != NodesStatus::kClaiming) return;
      s_.nodes = NodesStatus::kHeld;
      s_.node_names = event.nodes;
      s_.homes.insert(s_.homes.end(), event.nodes.begin(), event.nodes.end());
      std::sort(s_.homes.begin(), s_.homes.end());
      s_.homes.erase(std::unique(s_.homes.begin(), s_.homes.end()), s_.homes.end());
      s_.failures = 0;
      return;
    case EventKind::kNodesFailed:
      if (s_.phase == Phase::kQueued && s_.nodes == NodesStatus::kClaiming) return fail(event.error.to_string());
      if (s_.phase == Phase::kCreating || s_.phase == Phase::kProvisioning) return fail(event.error.to_string());
      return;
    case EventKind::kNodesReady:
      if (s_.phase == Phase::kCreating) enter(Phase::kProvisioning, "");
      return;
    case EventKind::kNodesPrepared:
      if (s_.phase != Phase::kProvisioning) return;
      enter(Phase::kReady, "");
      s_.stage = StartStage::kDestroy;
      return;
    default:
      if (s_.nodes != NodesStatus::kReleasing) return;
      s_.nodes = NodesStatus::kNone;  // their names stay: checkpoints are on their disks
      s_.failures = 0;
      return;
  }
}

void Step::handle_pod(const Event& event) {
  if (event.pod < 0 || static_cast<std::size_t>(event.pod) >= s_.pods.size()) return;
  Pod& pod = s_.pods[static_cast<std::size_t>(event.pod)];
  // The guard against copies: whatever an older incarnation still says changes nothing.
  if (event.incarnation != pod.incarnation && mutation_ != Mutation::kIgnoreIncarnation) return;
  switch (event.kind) {
    case EventKind::kPodGone:
      if (pod.status != PodStatus::kDestroying) return;
      pod.status = PodStatus::kNone;
      s_.failures = 0;
      return;
    case EventKind::kPodRunning:
      if (pod.status == PodStatus::kStarting) pod.status = PodStatus::kRunning;
      s_.failures = 0;
      return;
    case EventKind::kPodExited:
      return pod_ended(pod, event.exit);
    case EventKind::kPodFailed:
      // Its agent could not take it up again after the death of its shim. It may live: it is destroyed first.
      if (pod.status == PodStatus::kRunning && s_.phase == Phase::kRunning) return recover(event.error.to_string());
      if (pod.status != PodStatus::kStarting) return;
      pod.status = PodStatus::kDead;
      return start_failed(event);
    case EventKind::kPodTainted:
      // Its agent is killing it. It is never resumed and never saved: the whole application goes back.
      if (pod.status != PodStatus::kStarting && pod.status != PodStatus::kRunning) return;
      if (s_.phase == Phase::kRunning || is_starting(s_)) {
        recover(fmt::format("pod-{} was left in doubt by its engine", event.pod));
      }
      return;
    default:
      if (pod.status == PodStatus::kRunning) return pod_ended(pod, PodExit{});
      if (pod.status == PodStatus::kStarting) {
        again_.push_back(
            {.kind = ActionKind::kStartPod, .pod = event.pod, .incarnation = pod.incarnation, .checkpoint = s_.source});
      }
      return;
  }
}

void Step::pod_ended(Pod& pod, const PodExit& exit) {
  if (pod.status != PodStatus::kStarting && pod.status != PodStatus::kRunning) return;
  pod.status = PodStatus::kDead;
  pod.exit = exit;
  judge_exits();
}

void Step::judge_exits(bool looked) {
  if (s_.phase != Phase::kRunning && s_.phase != Phase::kSuspending && !is_starting(s_)) return;
  const auto ended = [](const Pod& pod) { return pod.status == PodStatus::kDead && pod.exit; };
  // The command runs in the first pod; the others run what it launches there, and have no end of their own.
  const bool first_ended = ended(s_.pods.front());
  if (first_ended && s_.pods.front().exit->success()) return complete();
  // Where one of those died, the command's own failure is what came of that.
  const auto other = std::find_if(s_.pods.begin() + 1, s_.pods.end(), ended);
  const bool lost_other = other != s_.pods.end();
  const auto failed = first_ended && !lost_other ? s_.pods.begin() : other;
  if (failed == s_.pods.end() || s_.phase == Phase::kSuspending) return;
  const PodExit exit = *failed->exit;
  const Policy& policy = s_.policy;
  const bool again = exit.kind == ExitKind::kUnknown || (exit.kind == ExitKind::kExited && lost_other) ||
                     (exit.kind == ExitKind::kSignaled && policy.restart_on_signal) ||
                     (exit.kind == ExitKind::kOom && policy.restart_on_oom) ||
                     (exit.kind == ExitKind::kExited && policy.restart_on_codes.contains(exit.code));
  // A pod that died takes the command with it, and of the two it is the command that may be heard of first: they are on
  // different nodes. One that is being made is waited for: run() judges anew.
  if (!again && s_.pods.size() > 1 && mutation_ != Mutation::kJudgeAtOnce) {
    const auto is_made = [](const Pod& pod) { return pod.status == PodStatus::kStarting; };
    if (std::any_of(s_.pods.begin() + 1, s_.pods.end(), is_made)) return;
    if (!looked) {
      s_.doubt = true;
      return;
    }
  }
  s_.exit = exit;
  if (again) return recover(exit.to_string());
  fail(exit.to_string());
}

void Step::pods_looked_at(const Event& event) {
  if (!s_.doubt || event.incarnation != s_.incarnation) return;
  s_.failures = 0;
  for (const int index : event.dead) {
    if (index < 1 || static_cast<std::size_t>(index) >= s_.pods.size()) continue;
    Pod& pod = s_.pods[static_cast<std::size_t>(index)];
    if (pod.status != PodStatus::kRunning) continue;
    pod.status = PodStatus::kDead;
    pod.exit = PodExit{};
  }
  s_.doubt = false;
  judge_exits(true);
}

void Step::complete() {
  s_.exit = PodExit{.kind = ExitKind::kExited, .code = 0, .signal = 0};
  enter(Phase::kCompleted, "");
  stop_cut("the application ended or was restarted during the cut");
}

void Step::start_failed(const Event& event) {
  if (!is_starting(s_)) return;
  const std::string story = event.error.to_string();
  Checkpoint* source = s_.source.empty() ? nullptr : find(s_.source);
  const bool unusable = event.error.code == ErrorCode::kCorrupt || event.error.code == ErrorCode::kUnsupported ||
                        event.error.code == ErrorCode::kNotFound;
  if (source == nullptr) {
    // What the user said is wrong will be wrong again; that something of ours died on the way will not.
    if (s_.phase == Phase::kReady && event.error.code != ErrorCode::kUnavailable) return fail(story);
    return recover(story);
  }
  if (unusable) {
    source->damaged = true;
    note_problem(*source, event.error);
  }
  if (s_.asked) {
    // Something of ours died on the way: neither the checkpoint nor the wish has changed.
    if (event.error.code == ErrorCode::kUnavailable && s_.attempts < s_.policy.max_attempts) {
      ++s_.attempts;
      return begin_restart(s_.source, true, story);
    }
    std::string why = fmt::format("checkpoint {} could not be restored: {}", source->id, story);
    if (const Checkpoint* older = newest_usable(s_); older != nullptr && older->id != source->id) {
      why += fmt::format("; checkpoint {} can be used", older->id);
    }
    return fail(why);
  }
  if (!unusable) return recover(story);
  // Bounded by the number of checkpoints, so it counts as no attempt.
  notes_.push_back(
      {"application.recovery", fmt::format("checkpoint {} cannot be used: {}", source->id, story), source->id});
  begin_restart("", false, s_.reason);
}

void Step::recover(const std::string& why) {
  Checkpoint* const source = s_.phase == Phase::kRunning ? find(s_.source) : nullptr;
  const bool saved_since = std::any_of(s_.checkpoints.begin(), s_.checkpoints.end(), [&](const Checkpoint& checkpoint) {
    return checkpoint.phase == CheckpointPhase::kAvailable && checkpoint.incarnation == s_.incarnation;
  });
  if (s_.attempts >= s_.policy.max_attempts) {
    return fail(s_.policy.max_attempts == 0
                    ? why
                    : fmt::format("gave up after {} restarts without progress; last: {}", s_.attempts, why));
  }
  // Where it is given up a user decides what comes next.
  if (source != nullptr && !saved_since) ++source->deaths;
  if (mutation_ != Mutation::kForgetAttempts) ++s_.attempts;
  begin_restart("", false, why);
}

void Step::begin_restart(std::string source, bool asked, std::string why) {
  enter(Phase::kRestarting, std::move(why));
  s_.stage = StartStage::kQuiesce;
  s_.source = std::move(source);
  s_.asked = asked;
  stop_cut("the application ended or was restarted during the cut");
}

void Step::fail(const std::string& why) {
  if (s_.nodes == NodesStatus::kClaiming) s_.nodes = NodesStatus::kReleasing;
  enter(Phase::kError, why);
  stop_cut("the application ended or was restarted during the cut");
}

void Step::action_failed(const Event& event) {
  ++s_.failures;
  if (!event.action) return;
  Action action = *event.action;
  if (action.kind == ActionKind::kReportOutcome && s_.failures >= kMaxOutcomeFailures) {
    std::erase_if(s_.outcomes, [&](const Outcome& outcome) { return outcome.requester.request == action.request; });
    return;
  }
  if (action.kind == ActionKind::kClaimNodes && s_.phase == Phase::kQueued) s_.reason = event.error.to_string();
  if (mutation_ == Mutation::kDropRetry) return;
  action.delay_ms = std::min(kFirstRetryMs << std::min(s_.failures - 1, 20), kLongestRetryMs);
  again_.push_back(std::move(action));
}

void Step::recovered() {
  s_.failures = 0;
  // Whether the tasks are frozen, and whether the shim gave up already, nobody knows: back to a known state.
  if (s_.cut && (s_.cut->stage == CutStage::kDumping || s_.cut->stage == CutStage::kThawing)) {
    stop_cut("the server was restarted during the cut");
  }
}

}  // namespace cacs::application::internal
