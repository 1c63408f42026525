#include <algorithm>
#include <utility>

#include "application/lifecycle_step.h"

namespace cacs::application::internal {

void Step::destroy_live() {
  for (Pod& pod : s_.pods) {
    const bool here = pod.status == PodStatus::kStarting || pod.status == PodStatus::kRunning;
    if (here || pod.status == PodStatus::kWaiting) pod.status = PodStatus::kDestroying;
  }
}

/// Also what is left of those that have ended.
void Step::destroy_all() {
  for (Pod& pod : s_.pods) {
    if (pod.status != PodStatus::kNone) pod.status = PodStatus::kDestroying;
  }
}

void Step::start_pods() {
  ++s_.incarnation;
  s_.exit.reset();
  for (Pod& pod : s_.pods) pod = {.status = PodStatus::kStarting, .incarnation = s_.incarnation, .exit = {}};
  // The command is not to find pods missing that it launches in. Of a restored one all come back at once.
  const bool runs_command = s_.source.empty() || s_.policy.restart_runs_command;
  if (runs_command && mutation_ != Mutation::kLauncherFirst) s_.pods.front().status = PodStatus::kWaiting;
  s_.stage = StartStage::kStart;
}

void Step::run() {
  enter(Phase::kRunning, s_.source.empty() ? "" : "restored from " + s_.source);
  judge_exits();
}

void Step::choose_and_start() {
  if (s_.source.empty() && mutation_ != Mutation::kRestartFromNothing) {
    const bool damaged = std::any_of(s_.checkpoints.begin(), s_.checkpoints.end(),
                                     [](const Checkpoint& checkpoint) { return checkpoint.damaged; });
    const Checkpoint* newest = newest_usable(s_);
    const Checkpoint* best = mutation_ == Mutation::kSameAgain ? newest : best_for_restart(s_);
    if (best != nullptr) {
      s_.source = best->id;
      if (best != newest) {
        notes_.push_back({"application.recovery",
                          "the application died each time after it was restored from checkpoint " + newest->id +
                              ": an older one is tried",
                          best->id});
      }
    } else if (damaged) {
      // Going back to the very start would throw away what may still be mended: that is for the user to say.
      return fail("none of the checkpoints can be restored");
    }
  }
  start_pods();
}

bool Step::settle_start() {
  switch (s_.stage) {
    case StartStage::kNone:
      return false;
    case StartStage::kQuiesce:
      if (s_.cut) return false;
      s_.stage = StartStage::kDestroy;
      return true;
    case StartStage::kDestroy:
      if (s_.moving && mutation_ != Mutation::kLeaveDead) {
        destroy_all();
      } else {
        destroy_live();
      }
      if (!quiet() && mutation_ != Mutation::kStartBeforeDestroyed) return false;
      if (std::exchange(s_.moving, false) && s_.nodes == NodesStatus::kHeld) s_.nodes = NodesStatus::kReleasing;
      if (s_.nodes != NodesStatus::kHeld) {
        enter(Phase::kQueued, "");
        return true;
      }
      if (s_.phase == Phase::kRestarting && s_.attempts > 1 && !s_.asked) {
        s_.stage = StartStage::kBackoff;
        ++s_.timer;
        return true;
      }
      choose_and_start();
      return true;
    case StartStage::kBackoff:  // its timer moves it on
    case StartStage::kOpen:     // its action does
      return false;
    case StartStage::kStart: {
      const auto is_up = [](const Pod& pod) {
        return pod.status == PodStatus::kRunning || pod.status == PodStatus::kDead;
      };
      Pod& first = s_.pods.front();
      if (first.status == PodStatus::kWaiting && std::all_of(s_.pods.begin() + 1, s_.pods.end(), is_up)) {
        first.status = PodStatus::kStarting;
        return true;
      }
      const bool up = std::all_of(s_.pods.begin(), s_.pods.end(), is_up);
      if (!up && !(mutation_ == Mutation::kOpenEarly && !s_.source.empty() && s_.pods.size() > 1)) return false;
      if (s_.source.empty() || s_.pods.size() == 1 || mutation_ == Mutation::kForgetOpen) {
        run();
      } else {
        s_.stage = StartStage::kOpen;
      }
      return true;
    }
  }
  return false;
}

bool Step::settle_end() {
  if (s_.cut && s_.cut->stage != CutStage::kAborting) {
    s_.cut->stage = CutStage::kAborting;
    return true;
  }
  s_.queue.clear();
  s_.outcomes.clear();
  if (s_.cut) return false;
  destroy_all();
  for (Checkpoint& checkpoint : s_.checkpoints) checkpoint.phase = CheckpointPhase::kDeleting;
  const bool empty =
      std::all_of(s_.pods.begin(), s_.pods.end(), [](const Pod& pod) { return pod.status == PodStatus::kNone; });
  if (!empty || !s_.checkpoints.empty()) return false;
  if (s_.nodes == NodesStatus::kHeld || s_.nodes == NodesStatus::kClaiming) {
    s_.nodes = mutation_ == Mutation::kForgetRelease ? NodesStatus::kNone : NodesStatus::kReleasing;
    return true;
  }
  if (s_.nodes != NodesStatus::kNone) return false;
  enter(Phase::kGone, "");
  return true;
}

bool Step::settle_once() {
  switch (s_.phase) {
    case Phase::kQueued:
      if (s_.nodes == NodesStatus::kNone) s_.nodes = NodesStatus::kClaiming;
      if (s_.nodes != NodesStatus::kHeld) return false;
      enter(Phase::kCreating, "");
      return true;
    case Phase::kReady:
    case Phase::kRestarting:
      return settle_start();
    case Phase::kRunning:
    case Phase::kSuspending:
      if (!s_.cut && !s_.queue.empty()) {
        QueuedCut next = std::move(s_.queue.front());
        s_.queue.erase(s_.queue.begin());
        begin_cut(std::move(next));
        return true;
      }
      if (s_.phase == Phase::kRunning || s_.cut) return false;
      destroy_all();
      if (!quiet()) return false;
      if (s_.nodes == NodesStatus::kHeld) s_.nodes = NodesStatus::kReleasing;
      if (s_.nodes != NodesStatus::kNone) return false;
      enter(Phase::kSuspended, s_.reason);
      return true;
    case Phase::kError: {
      destroy_live();
      // Where no pod left anything to read, the nodes serve nobody.
      const bool nothing =
          std::all_of(s_.pods.begin(), s_.pods.end(), [](const Pod& pod) { return pod.status == PodStatus::kNone; });
      if (nothing && !s_.cut && s_.nodes == NodesStatus::kHeld) {
        s_.nodes = mutation_ == Mutation::kForgetRelease ? NodesStatus::kNone : NodesStatus::kReleasing;
      }
      return false;
    }
    case Phase::kCompleted:
      // Those that the command launched in. A checkpoint whose files are taken may still be stored.
      if (!s_.cut && mutation_ != Mutation::kForgetWorkers) destroy_live();
      return false;
    case Phase::kTerminating:
      return settle_end();
    default:
      return false;
  }
}

void Step::settle() {
  retain();
  while (settle_once()) retain();
}

}  // namespace cacs::application::internal
