#include <algorithm>
#include <string>
#include <utility>

#include "application/lifecycle_sim.h"

namespace cacs::application::sim {

Simulation::Simulation(std::uint64_t seed, Mutation mutation, DriverFault fault)
    : random_(seed), seed_(seed), mutation_(mutation), fault_(fault) {
  Policy policy;
  policy.pods = 1 + static_cast<int>(pick(3));
  policy.keep = 1 + static_cast<int>(pick(3));
  policy.max_attempts = static_cast<int>(pick(4));
  policy.restart_on_codes = {7};
  policy.interval_ms = chance(70) ? 1000 : 0;
  durable_ = memory_ = initial_state(policy);  // submitted: durable before it is answered
}

bool Simulation::chance(int percent) { return random_() % 100 < static_cast<std::uint64_t>(percent); }
std::size_t Simulation::pick(std::size_t count) { return random_() % count; }

void Simulation::broken(std::string what) {
  if (!violation_) violation_ = Violation{seed_, std::move(what)};
}

void Simulation::note(std::uint64_t value) { trace_ = (trace_ ^ value) * 1099511628211ULL; }

bool Simulation::alive(const SimPod& pod) const {
  return pod.life == Life::kRunning || pod.life == Life::kFrozen || pod.life == Life::kTainted;
}

Event Simulation::execute(const Action& action) {
  switch (action.kind) {
    case ActionKind::kClaimNodes:
    case ActionKind::kReachNodes:
    case ActionKind::kPrepareNodes:
    case ActionKind::kReleaseNodes:
      return execute_nodes(action);
    case ActionKind::kStartPod:
      return execute_start(action);
    case ActionKind::kDestroyPod: {
      const auto it = pods_.find(action.pod);
      if (it != pods_.end() && it->second.incarnation <= action.incarnation) pods_.erase(it);
      return Event{.kind = EventKind::kPodGone, .pod = action.pod, .incarnation = action.incarnation};
    }
    case ActionKind::kOpenNetwork:
      return execute_open(action);
    case ActionKind::kLookAtPods:
      return execute_look(action);
    case ActionKind::kDeleteCheckpoint:
      return execute_delete(action);
    case ActionKind::kCheckCheckpoint:
      return execute_check(action);
    case ActionKind::kReportOutcome: {
      Requester requester{.pod = action.pod, .incarnation = action.incarnation, .request = action.request};
      for (const Outcome& outcome : memory_.outcomes) {
        if (outcome.requester.request == action.request) requester = outcome.requester;
      }
      return Event{.kind = EventKind::kOutcomeReported, .requester = requester};
    }
    case ActionKind::kRemoveRecord:
    case ActionKind::kArmTimer:
      return Event{.kind = EventKind::kSubmitted};
    default:
      return execute_cut(action);
  }
}

Event Simulation::execute_nodes(const Action& action) {
  Event result{.kind = EventKind::kNodesClaimed};
  const bool fails = !calm_ && chance(10);
  if (fails) {
    result = Event{
        .kind = EventKind::kActionFailed, .error = make_error(ErrorCode::kUnavailable, "no room"), .action = action};
    if (chance(10) && action.kind != ActionKind::kReleaseNodes) result.kind = EventKind::kNodesFailed;
    return result;
  }
  switch (action.kind) {
    case ActionKind::kClaimNodes:
      if (!claimed_) {
        ++claims_;
        const bool named = memory_.wish && !memory_.wish->names.empty();
        held_ = named ? memory_.wish->names : std::vector<std::string>{"n" + std::to_string(pick(3))};
      }
      claimed_ = true;
      result.nodes = held_;
      return result;
    case ActionKind::kReleaseNodes:
      if (claimed_) ++releases_;
      claimed_ = false;
      for (const auto& [index, pod] : pods_) {
        if (alive(pod)) broken("nodes were given back with a live pod on them");
        if (!alive(pod)) broken("nodes were given back with what a pod had left on them");
      }
      return Event{.kind = EventKind::kNodesReleased};
    case ActionKind::kReachNodes:
      return Event{.kind = EventKind::kNodesReady};
    default:
      return Event{.kind = EventKind::kNodesPrepared};
  }
}

Event Simulation::execute_start(const Action& action) {
  const int incarnation = action.incarnation;
  if (!claimed_) broken("a pod was started without nodes");
  if (memory_.wish && !memory_.wish->names.empty() && memory_.wish->names != held_ && is_wanted(memory_, action)) {
    broken("a pod was started on other nodes than those asked for");
  }
  int& highest = highest_[action.pod];
  Event result{.kind = EventKind::kPodFailed, .pod = action.pod, .incarnation = incarnation};
  if (incarnation < highest) {
    result.error = make_error(ErrorCode::kStale, "the node knows a newer incarnation");
    return result;
  }
  if (incarnation > last_started_) {
    last_started_ = incarnation;
    if (std::exchange(user_restart_, false)) starts_without_progress_ = 0;
    if (std::exchange(fallback_, false)) --starts_without_progress_;
    ++starts_without_progress_;
    if (starts_without_progress_ > memory_.policy.max_attempts + 1) {
      broken("more restarts without progress than allowed");
    }
    if (action.checkpoint.empty()) {
      for (const auto& [id, manifest] : manifests_) {
        const Checkpoint* row = find_checkpoint(memory_, id);
        if (row != nullptr && !row->damaged && row->phase != CheckpointPhase::kDeleting) {
          broken("started from nothing although checkpoint " + id + " was committed");
        }
      }
    }
  }
  // A start overtaken by its own destruction (next in its lane) may find nothing.
  if (!action.checkpoint.empty() && !manifests_.contains(action.checkpoint)) {
    if (is_wanted(memory_, action)) broken("restored from checkpoint " + action.checkpoint + ", which is deleted");
    result.error = make_error(ErrorCode::kNotFound, "no such checkpoint");
    return result;
  }
  const auto there = pods_.find(action.pod);
  if (there == pods_.end() || there->second.incarnation < incarnation) {
    for (const auto& [index, pod] : pods_) {
      if (alive(pod) && pod.incarnation < incarnation) broken("two live copies: an older incarnation still runs");
      if (alive(pod) && pod.incarnation > incarnation) broken("two live copies: a newer incarnation runs");
    }
    highest = incarnation;
    SimPod pod{.incarnation = incarnation};
    if (!action.checkpoint.empty() && manifests_[action.checkpoint].corrupt) {
      pod.life = Life::kFailed;
      fallback_ = true;  // going on to an older one is no attempt
      pod.error = make_error(ErrorCode::kCorrupt, "page 17 of pod-0/pages-1 is not what was stored");
    } else if (!calm_ && chance(5)) {
      pod.life = Life::kFailed;
      pod.error = make_error(chance(50) ? ErrorCode::kNoSpace : ErrorCode::kInternal, "could not be made");
    }
    pod.open = action.checkpoint.empty() || memory_.policy.pods == 1;
    if (action.pod == 0 && action.checkpoint.empty() && is_wanted(memory_, action)) {
      for (int i = 1; i < memory_.policy.pods; ++i) {
        const auto other = pods_.find(i);
        if (other == pods_.end() || other->second.incarnation != incarnation) {
          broken("the command was started before the pods that it launches in");
        }
      }
    }
    pods_[action.pod] = pod;
  }
  const SimPod& pod = pods_[action.pod];
  result.error = pod.error;
  result.exit = pod.exit;
  if (pod.life == Life::kFailed) return result;
  result.kind = pod.life == Life::kDead ? EventKind::kPodExited : EventKind::kPodRunning;
  return result;
}

Event Simulation::execute_open(const Action& action) {
  if (!calm_ && chance(10)) {
    return Event{
        .kind = EventKind::kActionFailed, .error = make_error(ErrorCode::kUnavailable, "no answer"), .action = action};
  }
  for (int i = 0; i < memory_.policy.pods; ++i) {
    const auto pod = pods_.find(i);
    const bool there = pod != pods_.end() && pod->second.incarnation == action.incarnation;
    if (!there && is_wanted(memory_, action)) broken("the network was opened before every pod was back");
    if (there) pod->second.open = true;
  }
  return Event{.kind = EventKind::kNetworkOpened, .incarnation = action.incarnation};
}

Event Simulation::execute_look(const Action& action) {
  if (!calm_ && chance(10)) {
    return Event{
        .kind = EventKind::kActionFailed, .error = make_error(ErrorCode::kUnavailable, "no answer"), .action = action};
  }
  Event result{.kind = EventKind::kPodsLookedAt, .incarnation = action.incarnation};
  for (int i = 1; i < memory_.policy.pods; ++i) {
    const auto pod = pods_.find(i);
    const bool lives = pod != pods_.end() && pod->second.incarnation == action.incarnation && alive(pod->second);
    if (!lives) result.dead.push_back(i);
  }
  return result;
}

/// The command cannot do without a pod that died: it fails, and who hears of which first is open.
void Simulation::drag_command(int incarnation) {
  const auto it = pods_.find(0);
  if (it == pods_.end() || it->second.life != Life::kRunning || it->second.incarnation != incarnation) return;
  SimPod& first = it->second;
  first.life = Life::kDead;
  first.dragged = true;
  first.exit = {.kind = ExitKind::kExited, .code = 1};
  messages_.push_back(
      Event{.kind = EventKind::kPodExited, .pod = 0, .incarnation = first.incarnation, .exit = first.exit});
}

Event Simulation::execute_cut(const Action& action) {
  const std::string& id = action.checkpoint;
  Event failed{.kind = EventKind::kCutFailed, .checkpoint = id, .error = make_error(ErrorCode::kIo, "refused")};
  switch (action.kind) {
    case ActionKind::kBeginCut: {
      SimCut& cut = cuts_[id];
      if (cut.prepared) return cut.thawed ? failed : Event{.kind = EventKind::kCutPrepared, .checkpoint = id};
      for (int i = 0; i < memory_.policy.pods; ++i) {
        const auto pod = pods_.find(i);
        if (pod == pods_.end() || pod->second.life != Life::kRunning || pod->second.incarnation != action.incarnation) {
          return failed;
        }
      }
      if (!calm_ && chance(10)) {
        if (chance(30)) {
          SimPod& pod = pods_.begin()->second;
          pod.life = Life::kTainted;
          messages_.push_back(Event{.kind = EventKind::kPodTainted, .pod = 0, .incarnation = pod.incarnation});
        }
        return failed;
      }
      cut.prepared = true;
      for (auto& [index, pod] : pods_) pod.life = Life::kFrozen;
      return Event{.kind = EventKind::kCutPrepared, .checkpoint = id};
    }
    case ActionKind::kThaw:
      if (!cuts_[id].prepared) return failed;
      cuts_[id].thawed = true;
      unfreeze();
      return Event{.kind = EventKind::kCutThawed, .checkpoint = id};
    case ActionKind::kStore:
      if (!cuts_[id].thawed || (!calm_ && chance(10))) return failed;
      cuts_[id].stored = true;
      return Event{.kind = EventKind::kCutStored, .checkpoint = id, .pieces = {"piece"}};
    case ActionKind::kCommit: {
      if (manifests_.contains(id)) return Event{.kind = EventKind::kCommitted, .checkpoint = id};
      if (!cuts_.contains(id)) return failed;  // the agent was restarted
      if (!cuts_[id].stored) broken("a checkpoint was committed before it was stored");
      const Checkpoint* row = find_checkpoint(memory_, id);
      manifests_[id] = {action.incarnation, row == nullptr ? CheckpointReason::kRequest : row->reason, false};
      starts_without_progress_ = 0;
      return Event{.kind = EventKind::kCommitted, .checkpoint = id};
    }
    default:
      if (cuts_.contains(id) && cuts_[id].prepared && !cuts_[id].thawed) unfreeze();
      cuts_.erase(id);
      return Event{.kind = EventKind::kCutAborted, .checkpoint = id};
  }
}

Event Simulation::execute_delete(const Action& action) {
  const std::string& id = action.checkpoint;
  const Checkpoint* row = find_checkpoint(durable_, id);
  if (row != nullptr && row->phase != CheckpointPhase::kDeleting)
    broken("a checkpoint still wanted was deleted: " + id);
  manifests_.erase(id);
  return Event{.kind = EventKind::kCheckpointDeleted, .checkpoint = id};
}

Event Simulation::execute_check(const Action& action) {
  Event result{.kind = EventKind::kCheckpointUnusable, .checkpoint = action.checkpoint};
  const auto found = manifests_.find(action.checkpoint);
  if (found == manifests_.end()) {
    // An answer to a question that nobody asks any more may be anything.
    if (is_wanted(memory_, action)) broken("a checkpoint is gone that a restart is prepared from");
    result.error = make_error(ErrorCode::kNotFound, "no such checkpoint");
  } else if (found->second.corrupt) {
    result.error = make_error(ErrorCode::kCorrupt, "page 17 of pod-0/pages-1 is not what was stored");
  } else if (!calm_ && chance(10)) {
    result.error = make_error(ErrorCode::kConflict, "it was taken on another kind of machine");
  } else {
    result.kind = EventKind::kCheckpointSound;
    sound_.insert(action.checkpoint);
  }
  return result;
}

void Simulation::unfreeze() {
  for (auto& [index, pod] : pods_) {
    if (pod.life == Life::kFrozen) pod.life = Life::kRunning;
  }
}

void Simulation::program_acts() {
  if (pods_.empty()) return;
  const int index = static_cast<int>(pick(static_cast<std::size_t>(memory_.policy.pods)));
  const auto it = pods_.find(index);
  if (it == pods_.end() || !alive(it->second)) return;
  SimPod& pod = it->second;
  Event event{.kind = EventKind::kPodExited, .pod = index, .incarnation = pod.incarnation};
  switch (pick(8)) {
    case 0:
      event.exit = {.kind = ExitKind::kExited, .code = 0};
      break;
    case 1:
      event.exit = {.kind = ExitKind::kExited, .code = chance(70) ? 7 : 1};
      break;
    case 2:
      event.exit = {.kind = ExitKind::kSignaled, .signal = 9};
      break;
    case 3:
      event.exit = {.kind = chance(50) ? ExitKind::kOom : ExitKind::kUnknown};
      break;
    default: {
      if (pod.life != Life::kRunning) return;
      const std::string request = "r" + std::to_string(messages_.size()) + "-" + std::to_string(random_());
      event.kind = EventKind::kCheckpointRequested;
      event.reason = CheckpointReason::kApplication;
      event.requester = Requester{index, pod.incarnation, request, "local", chance(50)};
      messages_.push_back(std::move(event));
      return;
    }
  }
  if (pod.life == Life::kFrozen && event.exit.kind == ExitKind::kExited) return;  // a frozen task cannot exit
  pod.life = Life::kDead;
  pod.exit = event.exit;
  const bool drags = index > 0 && event.exit.kind != ExitKind::kExited && chance(50);
  messages_.push_back(std::move(event));
  if (drags) drag_command(pod.incarnation);
}

void Simulation::agent_crash() {
  // Its shims live on: they abort what was being cut. What it had not told yet is found by listing.
  messages_.clear();
  cuts_.clear();
  unfreeze();
  reconcile_ = true;
}

Event Simulation::received(Event message) {
  // Checkpoints are named when they are decided, so that names are in order of age.
  if (message.kind == EventKind::kCheckpointRequested) message.checkpoint = fresh_checkpoint();
  return message;
}

std::string Simulation::fresh_checkpoint() { return "c" + std::to_string(100000 + next_checkpoint_++); }

void Simulation::chaos_step() {
  switch (pick(20)) {
    case 0:
      return user_acts();
    case 1:
      return program_acts();
    case 2:
      if (chance(10)) agent_crash();
      if (chance(10)) crash();
      if (chance(10) && !manifests_.empty()) {
        auto it = manifests_.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(pick(manifests_.size())));
        it->second.corrupt = true;
      }
      return;
    case 3:
      if (timer_) {
        apply(Event{.kind = EventKind::kTimer, .checkpoint = fresh_checkpoint(), .timer = timer_->timer});
      }
      return;
    case 4:
      for (auto& [index, pod] : pods_) {
        if (pod.life != Life::kTainted) continue;
        pod.life = Life::kDead;  // its agent has killed it
        pod.exit = {.kind = ExitKind::kSignaled, .signal = 9};
        messages_.push_back(
            Event{.kind = EventKind::kPodExited, .pod = index, .incarnation = pod.incarnation, .exit = pod.exit});
      }
      return;
    default:
      break;
  }
  if (reconcile_ && chance(30)) return reconcile_pods();
  if (!messages_.empty() && chance(40)) {
    const std::size_t index = pick(messages_.size());
    const Event event = received(messages_[index]);
    if (calm_ || chance(90)) messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(index));
    return apply(event);
  }
  if (!delayed_.empty() && chance(50)) {
    const std::size_t index = pick(delayed_.size());
    lanes_.add(delayed_[index]);
    delayed_.erase(delayed_.begin() + static_cast<std::ptrdiff_t>(index));
    return start_ready();
  }
  if (running_.empty()) return;
  const std::size_t index = pick(running_.size());
  if (running_[index].result) return finish(index);
  effect(running_[index]);
}

bool Simulation::drain() {
  calm_ = true;
  for (int i = 0; i < 2000 && !violation_; ++i) {
    for (auto& [index, pod] : pods_) {
      if (pod.life != Life::kTainted) continue;
      pod.life = Life::kDead;
      pod.exit = {.kind = ExitKind::kSignaled, .signal = 9};
      messages_.push_back(
          Event{.kind = EventKind::kPodExited, .pod = index, .incarnation = pod.incarnation, .exit = pod.exit});
    }
    if (reconcile_) {
      reconcile_pods();
    } else if (!messages_.empty()) {
      const Event event = received(messages_.front());
      messages_.erase(messages_.begin());
      apply(event);
    } else if (!running_.empty()) {
      if (!running_.front().result) effect(running_.front());
      finish(0);
    } else if (!delayed_.empty()) {
      lanes_.add(delayed_.front());
      delayed_.erase(delayed_.begin());
      start_ready();
    } else if (timer_ && memory_.stage == StartStage::kBackoff) {
      apply(Event{.kind = EventKind::kTimer, .checkpoint = "unused", .timer = timer_->timer});
    } else {
      return true;
    }
  }
  return false;
}

void Simulation::check_calm() {
  for (const auto& [index, pod] : pods_) {
    if (pod.life == Life::kFrozen) broken("a pod stays frozen");
  }
  switch (memory_.phase) {
    case Phase::kRunning:
      for (std::size_t i = 0; i < memory_.pods.size(); ++i) {
        const auto pod = pods_.find(static_cast<int>(i));
        if (pod == pods_.end() || pod->second.incarnation != memory_.incarnation) broken("RUNNING without its pods");
        if (pod != pods_.end() && !pod->second.open) broken("RUNNING with a pod that nobody hears");
      }
      break;
    case Phase::kCompleted:
    case Phase::kError:
      for (const auto& [index, pod] : pods_) {
        if (alive(pod)) broken("the application has ended, but a pod of it lives");
      }
      break;
    case Phase::kSuspended:
    case Phase::kGone:
      break;
    default:
      broken("no way out of " + std::string(phase_name(memory_.phase)));
  }
  if (memory_.phase == Phase::kSuspended && claimed_) broken("suspended, but nodes are held");
  if (!memory_.check.empty()) broken("a restart that was asked for is forgotten");
  for (const Checkpoint& row : memory_.checkpoints) {
    if (row.phase == CheckpointPhase::kAvailable && !manifests_.contains(row.id))
      broken("a committed checkpoint is lost");
  }
  for (const auto& [id, manifest] : manifests_) {
    if (find_checkpoint(memory_, id) == nullptr) broken("a manifest has no row: " + id);
  }
}

void Simulation::check_clean() {
  if (memory_.phase != Phase::kGone) broken("deletion does not end: " + std::string(phase_name(memory_.phase)));
  if (claimed_ || claims_ != releases_) broken("nodes were not given back exactly once");
  if (!pods_.empty()) broken("a pod is left behind");
  if (!manifests_.empty()) broken("a checkpoint is left behind");
}

std::optional<Violation> Simulation::run() {
  apply(Event{.kind = EventKind::kSubmitted});
  const std::size_t length = 50 + pick(250);
  for (std::size_t i = 0; i < length && !violation_; ++i) chaos_step();
  if (!drain()) broken("it does not come to rest in " + std::string(phase_name(memory_.phase)));
  check_calm();
  apply(Event{.kind = EventKind::kDeleteRequested});
  if (!drain()) broken("deletion does not come to rest");
  check_clean();
  return violation_;
}

}  // namespace cacs::application::sim
