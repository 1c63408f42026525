#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "application/lifecycle_step.h"

namespace cacs::application::internal {
namespace {

constexpr std::size_t kMaxQueuedCuts = 16;
constexpr std::ptrdiff_t kMaxFailedCheckpoints = 5;  // rows of failed checkpoints kept to be read

Error conflict(std::string message, std::string hint) {
  return make_error(ErrorCode::kConflict, std::move(message), std::move(hint));
}

Error no_checkpoint(std::string_view id) {
  return make_error(ErrorCode::kNotFound, fmt::format("the application has no checkpoint {}", id),
                    "list its checkpoints to see which there are");
}

}  // namespace

bool Step::is_known(const Requester& requester) const {
  const auto same = [&](const auto& each) { return each.requester == requester; };
  return (s_.cut && s_.cut->requester == requester) || std::any_of(s_.queue.begin(), s_.queue.end(), same) ||
         std::any_of(s_.outcomes.begin(), s_.outcomes.end(), same);
}

void Step::request_checkpoint(const Event& event) {
  if (event.requester && event.requester->incarnation != s_.incarnation) return;
  // A pod repeats what it waits for whenever its shim comes back: after every cut, and after a shim's death.
  if (event.requester && is_known(*event.requester)) return;
  if (find(event.checkpoint) != nullptr) return;
  // A program may ask before its agent's word that the pod runs has come through.
  const bool starting = is_starting(s_) && event.reason == CheckpointReason::kApplication;
  if (s_.phase != Phase::kRunning && !starting) {
    if (event.requester) return tell(*event.requester, event.checkpoint, "the application is not running");
    refusal_ = conflict(fmt::format("no checkpoint can be taken: the application is {}", phase_name(s_.phase)),
                        "wait until it is RUNNING");
    return;
  }
  QueuedCut asked{event.checkpoint, event.reason, event.requester};
  if (!s_.cut && !starting) return begin_cut(std::move(asked));
  if (event.reason == CheckpointReason::kApplication) {
    // What the application has done since that cut would be missing from it: it gets one of its own.
    if (s_.queue.size() < kMaxQueuedCuts) {
      s_.queue.push_back(std::move(asked));
    } else if (event.requester) {
      tell(*event.requester, event.checkpoint, "too many checkpoints are asked for at once");
    }
    return;
  }
  refusal_ = conflict(fmt::format("checkpoint {} is being taken", s_.cut->checkpoint), "wait until it is there");
}

void Step::request_restart(const Event& event) {
  const Checkpoint* checkpoint = find(event.checkpoint);
  if (checkpoint == nullptr) {
    refusal_ = no_checkpoint(event.checkpoint);
    return;
  }
  if (checkpoint->phase != CheckpointPhase::kAvailable) {
    refusal_ = conflict(fmt::format("checkpoint {} cannot be restored: it is {}", event.checkpoint,
                                    checkpoint_phase_name(checkpoint->phase)),
                        "choose one that is AVAILABLE");
    return;
  }
  switch (s_.phase) {
    case Phase::kRunning:
    case Phase::kCompleted:
    case Phase::kError:
    case Phase::kSuspended:
      if (!s_.check.empty()) {
        refusal_ = conflict(fmt::format("a restart from checkpoint {} is being prepared", s_.check),
                            "wait until this has ended, then ask again");
        return;
      }
      if (mutation_ == Mutation::kRestartUnchecked) return start_asked(event.checkpoint, event.wish);
      // Nothing is torn down for a checkpoint that cannot be used.
      s_.check = event.checkpoint;
      s_.check_wish = event.wish;
      return;
    default:
      refusal_ = conflict(fmt::format("the application is {} already", phase_name(s_.phase)),
                          "wait until this has ended, then ask again");
  }
}

void Step::restart_checked(const Event& event) {
  if (s_.check.empty() || s_.check != event.checkpoint) return;
  const std::string id = std::exchange(s_.check, {});
  std::optional<NodeWish> wish = std::exchange(s_.check_wish, {});
  s_.failures = 0;
  Checkpoint* checkpoint = find(id);
  if (checkpoint == nullptr || checkpoint->phase != CheckpointPhase::kAvailable) {
    restart_refusal_ = no_checkpoint(id);
    return;
  }
  if (event.kind == EventKind::kCheckpointSound) return start_asked(id, std::move(wish));
  const ErrorCode code = event.error.code;
  if (code == ErrorCode::kCorrupt || code == ErrorCode::kUnsupported || code == ErrorCode::kNotFound) {
    checkpoint->damaged = true;
    note_problem(*checkpoint, event.error.with_hint(""));  // which older one is intact will not stay true
  }
  notes_.push_back({"application.restart", "refused: " + event.error.to_string(), id});
  restart_refusal_ = event.error;
}

void Step::start_asked(const std::string& checkpoint, std::optional<NodeWish> wish) {
  s_.attempts = 0;
  if (wish) {
    s_.wish = std::move(wish);
    s_.moving = s_.nodes == NodesStatus::kHeld && mutation_ != Mutation::kForgetMove;
  }
  if (s_.phase != Phase::kSuspended) return begin_restart(checkpoint, true, "asked for");
  s_.source = checkpoint;
  s_.asked = true;
  enter(Phase::kQueued, "");
}

void Step::request_delete_checkpoint(const Event& event) {
  Checkpoint* checkpoint = find(event.checkpoint);
  if (checkpoint == nullptr) {
    refusal_ = no_checkpoint(event.checkpoint);
  } else if (pinned_checkpoint(s_) == event.checkpoint && mutation_ != Mutation::kDeleteRestoreSource) {
    refusal_ = conflict("the application is being restored from this checkpoint", "wait until it is RUNNING");
  } else if (s_.cut && s_.cut->checkpoint == event.checkpoint) {
    refusal_ = conflict("this checkpoint is being taken", "wait until it is AVAILABLE or FAILED");
  } else {
    checkpoint->phase = CheckpointPhase::kDeleting;
  }
}

void Step::checkpoint_found(const Event& event) {
  if (event.incarnation > s_.incarnation) return;
  if (Checkpoint* known = find(event.checkpoint)) {
    const bool under_way = s_.cut && s_.cut->checkpoint == event.checkpoint;
    if (known->phase == CheckpointPhase::kFailed && !under_way) {
      known->phase = CheckpointPhase::kAvailable;
      note_problem(*known, make_error(ErrorCode::kAborted, ""));
    }
    return;
  }
  Checkpoint found{.id = event.checkpoint,
                   .phase = CheckpointPhase::kAvailable,
                   .reason = event.reason,
                   .incarnation = event.incarnation};
  // Ids are ordered by age (UUIDv7).
  const auto at = std::find_if(s_.checkpoints.begin(), s_.checkpoints.end(),
                               [&](const Checkpoint& other) { return other.id > found.id; });
  notes_.push_back({"checkpoint.state", "AVAILABLE: found in the repository", found.id});
  s_.checkpoints.insert(at, std::move(found));
}

void Step::time_limit(const Event& event) {
  if (s_.phase != Phase::kRunning && s_.phase != Phase::kRestarting) return;
  const bool running = s_.phase == Phase::kRunning;
  refuse_queue("the time limit is reached");
  enter(Phase::kSuspending, "time limit");
  if (!running) return stop_cut("the time limit is reached");
  if (find(event.checkpoint) == nullptr) s_.queue.push_back({event.checkpoint, CheckpointReason::kTerminate, {}});
}

void Step::timer_fired(const Event& event) {
  if (event.timer != s_.timer) return;
  if (s_.stage == StartStage::kBackoff) return choose_and_start();
  if (s_.phase != Phase::kRunning || s_.cut || s_.policy.interval_ms == 0) return;
  if (find(event.checkpoint) == nullptr) begin_cut({event.checkpoint, CheckpointReason::kPeriodic, {}});
}

void Step::begin_cut(QueuedCut next) {
  s_.checkpoints.push_back({.id = next.checkpoint,
                            .phase = CheckpointPhase::kDumping,
                            .reason = next.reason,
                            .incarnation = s_.incarnation});
  notes_.push_back({"checkpoint.state", "DUMPING", next.checkpoint});
  s_.cut = Cut{.checkpoint = std::move(next.checkpoint),
               .stage = CutStage::kDumping,
               .requester = std::move(next.requester),
               .pieces = {}};
}

void Step::stop_cut(const std::string& why) {
  refuse_queue(why);
  // From the thaw on everything needed is taken: that checkpoint may still become the newest.
  if (!s_.cut || (s_.cut->stage != CutStage::kDumping && s_.cut->stage != CutStage::kThawing)) return;
  if (Checkpoint* checkpoint = find(s_.cut->checkpoint)) checkpoint->problem = why;
  s_.cut->stage = CutStage::kAborting;
  if (mutation_ == Mutation::kForgetAbort) finish_cut(false);
}

void Step::handle_cut(const Event& event) {
  if (!s_.cut || s_.cut->checkpoint != event.checkpoint) return;
  Cut& cut = *s_.cut;
  Checkpoint* checkpoint = find(event.checkpoint);
  switch (event.kind) {
    case EventKind::kCutPrepared:
      if (cut.stage == CutStage::kDumping) cut.stage = CutStage::kThawing;
      return;
    case EventKind::kCutThawed:
      if (cut.stage != CutStage::kThawing) return;
      cut.stage = mutation_ == Mutation::kCommitBeforeStored ? CutStage::kCommitting : CutStage::kStoring;
      if (checkpoint != nullptr) checkpoint->phase = CheckpointPhase::kStoring;
      notes_.push_back({"checkpoint.state", "STORING", event.checkpoint});
      if (cut.requester && !cut.requester->wait) {
        tell(*cut.requester, event.checkpoint, "");
        cut.requester.reset();
      }
      s_.failures = 0;
      return;
    case EventKind::kCutStored:
      if (cut.stage != CutStage::kStoring) return;
      cut.stage = CutStage::kCommitting;
      cut.pieces = event.pieces;
      s_.failures = 0;
      return;
    case EventKind::kCutFailed:
      if (cut.stage == CutStage::kAborting) return;
      cut.stage = CutStage::kAborting;
      if (checkpoint != nullptr) note_problem(*checkpoint, event.error);
      return;
    case EventKind::kCutAborted:
      if (cut.stage == CutStage::kAborting) finish_cut(false);
      return;
    default:
      if (cut.stage == CutStage::kCommitting) finish_cut(true);
      return;
  }
}

void Step::note_problem(Checkpoint& checkpoint, const Error& error) {
  checkpoint.problem = error.to_string();
  checkpoint.problem_code = error.code;
  checkpoint.problem_type = error.type;
}

void Step::finish_cut(bool committed) {
  const Cut cut = *std::exchange(s_.cut, std::nullopt);
  Checkpoint* checkpoint = find(cut.checkpoint);
  if (checkpoint != nullptr) {
    checkpoint->phase = committed ? CheckpointPhase::kAvailable : CheckpointPhase::kFailed;
    notes_.push_back({"checkpoint.state", committed ? "AVAILABLE" : "FAILED: " + checkpoint->problem, cut.checkpoint});
    if (cut.requester) tell(*cut.requester, cut.checkpoint, committed ? "" : checkpoint->problem);
  }
  if (committed) s_.attempts = 0;  // progress
  ++s_.timer;                      // the next interval counts from here
  s_.failures = 0;
}

void Step::tell(const Requester& requester, const std::string& checkpoint, const std::string& error) {
  // A process that has been rolled back since does not remember having asked.
  if (requester.incarnation != s_.incarnation || s_.phase == Phase::kTerminating) return;
  s_.outcomes.push_back({requester, checkpoint, error});
}

void Step::refuse_queue(const std::string& why) {
  for (const QueuedCut& queued : s_.queue) {
    if (queued.requester) tell(*queued.requester, queued.checkpoint, why);
  }
  s_.queue.clear();
}

void Step::retain() {
  std::erase_if(s_.outcomes, [&](const Outcome& outcome) { return outcome.requester.incarnation != s_.incarnation; });
  const auto is_failed = [](const Checkpoint& checkpoint) { return checkpoint.phase == CheckpointPhase::kFailed; };
  while (std::count_if(s_.checkpoints.begin(), s_.checkpoints.end(), is_failed) > kMaxFailedCheckpoints) {
    s_.checkpoints.erase(std::find_if(s_.checkpoints.begin(), s_.checkpoints.end(), is_failed));
  }
  const auto is_kept = [](const Checkpoint& checkpoint) { return checkpoint.phase == CheckpointPhase::kAvailable; };
  const Checkpoint* newest = newest_usable(s_);
  const std::string newest_id = newest == nullptr ? std::string() : newest->id;
  const std::string pinned(mutation_ == Mutation::kDeleteRestoreSource ? std::string_view() : pinned_checkpoint(s_));
  auto excess = std::count_if(s_.checkpoints.begin(), s_.checkpoints.end(), is_kept) - s_.policy.keep;
  for (Checkpoint& checkpoint : s_.checkpoints) {
    if (excess <= 0) return;
    const bool automatic =
        checkpoint.reason == CheckpointReason::kPeriodic || checkpoint.reason == CheckpointReason::kApplication;
    if (!is_kept(checkpoint) || !automatic || checkpoint.id == newest_id || checkpoint.id == pinned) continue;
    checkpoint.phase = CheckpointPhase::kDeleting;
    --excess;
  }
}

}  // namespace cacs::application::internal
