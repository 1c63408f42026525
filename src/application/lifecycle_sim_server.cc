#include <algorithm>
#include <string>
#include <utility>

#include "application/lifecycle_json.h"
#include "application/lifecycle_sim.h"

namespace cacs::application::sim {
namespace {

bool about_pod(EventKind kind) {
  return kind == EventKind::kPodGone || kind == EventKind::kPodRunning || kind == EventKind::kPodExited ||
         kind == EventKind::kPodFailed || kind == EventKind::kPodTainted || kind == EventKind::kPodMissing;
}

}  // namespace

void Simulation::apply(const Event& event) {
  if (violation_ || memory_.phase == Phase::kGone) return;
  const Transition next = step(memory_, event, mutation_);
  note(static_cast<std::uint64_t>(event.kind) * 1000 + static_cast<std::uint64_t>(next.state.phase));
  if (about_pod(event.kind) && event.incarnation < memory_.incarnation) {
    const Pod& pod = memory_.pods.at(static_cast<std::size_t>(event.pod));
    if (pod.incarnation == memory_.incarnation && !(next.state == memory_)) broken("a stale event changed the state");
  }
  if (next.refusal) {
    if (!(next.state == memory_)) broken("a refused request changed the state");
    return;
  }
  check_retention(next.state);
  check_restart(event, next.state);
  check_blame(next.state);
  check_source(next.state);
  if (fault_ == DriverFault::kActBeforePersist) {
    memory_ = next.state;
    dispatch(next.actions);
    if (!calm_ && chance(1)) return crash();
    durable_ = next.state;
    return;
  }
  if (!calm_ && chance(1)) return crash();  // written, not synced: the write is lost
  const bool died = memory_.phase == Phase::kRunning && next.state.phase == Phase::kRestarting && !next.state.asked;
  const bool saved = std::any_of(memory_.checkpoints.begin(), memory_.checkpoints.end(), [&](const Checkpoint& each) {
    return each.phase == CheckpointPhase::kAvailable && each.incarnation == memory_.incarnation;
  });
  if (died && !saved && find_checkpoint(memory_, memory_.source) != nullptr) ++deaths_[memory_.source];
  const bool at_once = event.kind == EventKind::kCutPrepared && recovers_alike(memory_, next.state);
  const bool skipped = fault_ == DriverFault::kSkipPersist && chance(10);
  if (!at_once && !skipped) durable_ = next.state;
  if (!calm_ && chance(1)) return crash();  // nothing done yet
  memory_ = next.state;
  dispatch(next.actions);
}

void Simulation::check_retention(const State& next) {
  if (next.phase == Phase::kTerminating || next.phase == Phase::kGone) return;
  for (const Checkpoint& row : next.checkpoints) {
    const Checkpoint* before = find_checkpoint(memory_, row.id);
    if (row.phase != CheckpointPhase::kDeleting || before == nullptr || before->phase == CheckpointPhase::kDeleting)
      continue;
    if (user_deleted_.contains(row.id)) continue;
    int kept = 0;
    bool newer = false;
    for (const Checkpoint& other : next.checkpoints) {
      if (other.phase != CheckpointPhase::kAvailable) continue;
      ++kept;
      newer = newer || (!other.damaged && other.id > row.id);
    }
    if (kept < memory_.policy.keep) broken("a checkpoint within `keep` was deleted: " + row.id);
    if (!newer && !row.damaged) broken("the newest checkpoint was deleted: " + row.id);
  }
}

void Simulation::check_restart(const Event& event, const State& next) {
  const bool begins =
      next.asked && next.source != memory_.source && (next.phase == Phase::kRestarting || next.phase == Phase::kQueued);
  if (begins && !sound_.contains(next.source)) broken("torn down for a checkpoint that nobody had looked at");
  if (event.kind == EventKind::kCheckpointSound && next.asked && next.phase != memory_.phase) user_restart_ = true;
}

/// Not a third time in a row from one that led to the application's death twice, while another is at hand.
void Simulation::check_source(const State& next) {
  const auto tries = [&](const std::string& id) { return deaths_[id] / kDeathsBeforeOlder; };
  if (next.incarnation <= memory_.incarnation || next.asked || next.source.empty()) return;
  for (const Checkpoint& other : next.checkpoints) {
    const bool usable = other.phase == CheckpointPhase::kAvailable && !other.damaged;
    if (usable && tries(other.id) < tries(next.source)) broken("restored again from what led to its death");
  }
}

void Simulation::check_blame(const State& next) {
  if (next.phase != Phase::kError || memory_.phase == Phase::kError) return;
  const auto first = pods_.find(0);
  const bool dragged = first != pods_.end() && first->second.dragged && first->second.incarnation == next.incarnation;
  if (dragged && next.reason == first->second.exit.to_string()) {
    broken("the command was blamed for the death of another pod");
  }
}

void Simulation::dispatch(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    if (action.kind == ActionKind::kArmTimer) {
      timer_ = action;
    } else if (action.delay_ms > 0) {
      delayed_.push_back(action);
    } else {
      lanes_.add(action);
    }
  }
  start_ready();
}

void Simulation::start_ready() {
  for (Action& action : lanes_.take(memory_)) {
    const bool known = is_wanted(durable_, action) || (is_wanted(memory_, action) && recovers_alike(durable_, memory_));
    if (!known) broken("an action was started that the durable state does not want");
    running_.push_back({std::move(action), std::nullopt});
  }
}

void Simulation::effect(Running& running) {
  note(static_cast<std::uint64_t>(running.action.kind) + 77);
  const bool unreachable = !calm_ && chance(10);
  if (unreachable && chance(50)) {  // the request was lost
    running.result = Event{.kind = EventKind::kActionFailed,
                           .error = make_error(ErrorCode::kUnavailable, "lost"),
                           .action = running.action};
    return;
  }
  Event result = execute(running.action);
  if (!calm_ && chance(5)) result = execute(running.action);  // the request was repeated
  if (unreachable) {                                          // the answer was lost
    result = Event{.kind = EventKind::kActionFailed,
                   .error = make_error(ErrorCode::kUnavailable, "lost"),
                   .action = running.action};
  }
  // A cut whose state nobody knows is given up, not begun again.
  if (result.kind == EventKind::kActionFailed && running.action.kind == ActionKind::kBeginCut) {
    result = Event{.kind = EventKind::kCutFailed, .checkpoint = running.action.checkpoint, .error = result.error};
  }
  running.result = std::move(result);
}

void Simulation::finish(std::size_t index) {
  const Running done = std::move(running_[index]);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  lanes_.done(done.action);
  apply(*done.result);
  start_ready();
}

void Simulation::crash() {
  note(4242);
  std::vector<Running> lost = std::exchange(running_, {});
  for (Running& each : lost) {
    // What was on the wire may still take effect; its answer reaches nobody.
    if (!each.result && chance(50)) effect(each);
  }
  lanes_ = {};
  delayed_.clear();
  timer_.reset();
  const auto stored = state_from_json(state_to_json(durable_));
  if (!stored.ok() || !(*stored == durable_)) return broken("the stored state does not read back as it was");
  memory_ = *stored;
  reconcile_checkpoints();
  apply(Event{.kind = EventKind::kRecovered});
  reconcile_ = true;
}

void Simulation::reconcile_checkpoints() {
  const std::map<std::string, Manifest> found = manifests_;
  for (const auto& [id, manifest] : found) {
    apply(Event{.kind = EventKind::kCheckpointFound,
                .incarnation = manifest.incarnation,
                .checkpoint = id,
                .reason = manifest.reason});
  }
  const std::vector<Checkpoint> rows = memory_.checkpoints;
  for (const Checkpoint& row : rows) {
    if (!manifests_.contains(row.id)) apply(Event{.kind = EventKind::kCheckpointLost, .checkpoint = row.id});
    if (row.phase == CheckpointPhase::kAvailable && !manifests_.contains(row.id)) {
      broken("an available checkpoint has no manifest: " + row.id);
    }
  }
}

void Simulation::reconcile_pods() {
  reconcile_ = false;
  const std::vector<Pod> known = memory_.pods;
  for (std::size_t i = 0; i < known.size(); ++i) {
    Event fact{.kind = EventKind::kPodMissing, .pod = static_cast<int>(i), .incarnation = known[i].incarnation};
    const auto there = pods_.find(static_cast<int>(i));
    if (there != pods_.end() && there->second.incarnation > known[i].incarnation) {
      broken("a pod runs in an incarnation that was never stored");
    }
    if (there != pods_.end() && there->second.incarnation == known[i].incarnation) {
      const SimPod& pod = there->second;
      fact.exit = pod.exit;
      fact.error = pod.error;
      fact.kind = pod.life == Life::kDead      ? EventKind::kPodExited
                  : pod.life == Life::kFailed  ? EventKind::kPodFailed
                  : pod.life == Life::kTainted ? EventKind::kPodTainted
                                               : EventKind::kPodRunning;
    }
    apply(fact);
  }
}

void Simulation::user_acts() {
  const std::string fresh = fresh_checkpoint();
  const std::string some =
      memory_.checkpoints.empty() ? fresh : memory_.checkpoints[pick(memory_.checkpoints.size())].id;
  switch (pick(12)) {
    case 0:
      if (chance(15)) apply(Event{.kind = EventKind::kDeleteRequested});
      return;
    case 1:
    case 2:
      if (chance(70)) return apply(Event{.kind = EventKind::kRestartRequested, .checkpoint = some});
      return apply(Event{.kind = EventKind::kRestartRequested,
                         .checkpoint = some,
                         .wish = NodeWish{.count = 1, .names = {"n" + std::to_string(pick(3))}}});
    case 3:
    case 4: {
      const Event wish{.kind = EventKind::kDeleteCheckpointRequested, .checkpoint = some};
      if (!step(memory_, wish, mutation_).refusal) user_deleted_.insert(some);
      return apply(wish);
    }
    case 5:
      if (chance(10)) apply(Event{.kind = EventKind::kTimeLimit, .checkpoint = fresh});
      return;
    default:
      return apply(Event{.kind = EventKind::kCheckpointRequested,
                         .checkpoint = fresh,
                         .reason = chance(50) ? CheckpointReason::kRequest : CheckpointReason::kPeriodic});
  }
}

}  // namespace cacs::application::sim
