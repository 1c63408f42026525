#include "application/manager_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "base/uuid.h"

namespace cacs::application {

namespace {

constexpr std::chrono::milliseconds kDatabaseRetry{1000};

/// Events whose handling may make a checkpoint get its id now: ids must be in the order of age.
bool names_checkpoint(EventKind kind) {
  return kind == EventKind::kTimer || kind == EventKind::kTimeLimit || kind == EventKind::kCheckpointRequested;
}

/// All pods are frozen, and are not to wait for a disk: that they are to be thawed is not stored where a server that
/// starts does not care whether it was.
bool acts_at_once(const Record& record, const Event& event, const Transition& next) {
  return event.kind == EventKind::kCutPrepared && next.notes.empty() && recovers_alike(record.state, next.state);
}

bool at_end(Phase phase) { return phase == Phase::kCompleted || phase == Phase::kError || phase == Phase::kSuspended; }

bool differs(const Checkpoint& a, const Checkpoint* b) { return b == nullptr || !(a == *b); }

/// What was measured before stays beside what is new.
void add_timings(JsonObject& said, const JsonObject& more) {
  Json& timings = said["timings"];
  if (!timings.is_object()) timings = JsonObject{};
  for (const auto& each : more) timings.as_object()[each.key()] = each.value();
}

/// The cut as the server sees it: from its first command until all pods were frozen, and until all of them ran again.
void note_cut_time(Record& record, const Event& event) {
  const bool prepared = event.kind == EventKind::kCutPrepared;
  if (!prepared && event.kind != EventKind::kCutThawed) return;
  const auto details = record.details.find(event.checkpoint);
  if (details == record.details.end()) return;
  const auto passed = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - record.cut_begun);
  // One decimal: whole milliseconds are too coarse for what takes a few of them.
  add_timings(details->second.said,
              {{prepared ? "prepare_ms" : "coordination_ms", std::round(passed.count() * 10) / 10}});
}

}  // namespace

Manager::Core::Core(database::Database& database, Clouds clouds, const ManagerOptions& options)
    : database_(database), clouds_(std::move(clouds)), options_(options), workers_(options.workers) {}

Manager::Core::~Core() {
  {
    const std::lock_guard lock(stop_mutex_);
    stopping_ = true;
    stop_changed_.notify_all();
  }
  board_.close();
  for (auto& pump : pumps_) pump.join();
  workers_.stop();
  mailbox_.stop();
}

Record* Manager::Core::find(const std::string& application) {
  const auto found = records_.find(application);
  return found == records_.end() ? nullptr : found->second.get();
}

void Manager::Core::handle(const std::string& application, const Event& event) {
  Record* record = find(application);
  if (record == nullptr) return;
  if (const auto status = apply(*record, event); !status) {
    if (status.error().code == ErrorCode::kConflict || status.error().code == ErrorCode::kInvalidArgument) return;
    spdlog::error("application {}: {}", application, status.error().to_string());
    mailbox_.post_after(kDatabaseRetry, [this, application, event] { handle(application, event); });
  }
}

Status Manager::Core::apply(Record& record, const Event& given, std::vector<database::Write> extra) {
  Event event = given;
  if (names_checkpoint(event.kind) && event.checkpoint.empty()) event.checkpoint = new_uuid();
  Transition next = step(record.state, event);
  if (next.refusal) return *next.refusal;
  const bool gone = next.state.phase == Phase::kGone;
  const bool changed = !(next.state == record.state);
  const auto finished = settle_operations(record, next);
  const auto logs = logs_after(record, next.state, event);
  if (extra.empty() && finished.empty() && logs == record.logs && acts_at_once(record, event, next)) {
    record.state = next.state;
  } else if (changed || logs != record.logs || !extra.empty() || !next.notes.empty() || !finished.empty()) {
    const State before = std::exchange(record.state, next.state);
    const Record saved = record;  // without what is going on, which does not change here
    record.logs = logs;
    note_times(record, before);
    if (record.state.incarnation != before.incarnation) {
      record.progress.reset();
      record.network_id = record.asr->node_count > 1 ? next_network_id() : 0;
    }
    for (const auto& done : finished) {
      std::erase_if(record.operations, [&](const OpenOperation& open) { return open.id == done.id; });
    }
    std::vector<database::Write> writes;
    std::vector<EventView> events;
    if (gone) {
      writes.emplace_back(database::DeleteApplication{record.id, record.version});
    } else {
      writes.emplace_back(
          database::UpdateApplication{record.id, record.version, record.version.owner_epoch, record_to_json(record)});
      add_checkpoint_writes(record, before, writes);
    }
    const std::uint64_t last_event = last_event_;
    for (const Note& note : next.notes) add_event(record, note, writes, events);
    for (const auto& done : finished) {
      writes.emplace_back(
          database::PutOperation{{done.id, record.id, record.tenant, done.updated_at, operation_to_json(done)}});
    }
    for (auto& write : extra) writes.push_back(std::move(write));
    if (const Status stored = database_.apply(std::move(writes)); !stored) {
      last_event_ = last_event;
      record = saved;
      record.state = before;
      return stored.error();
    }
    ++record.version.version;
  }
  if (gone) {
    board_.remove(record.id);
    for (const auto& done : finished) board_.post_operation(done);
    board_.announce(last_event_);
    records_.erase(record.id);  // `record` is gone from here on
    return {};
  }
  if (changed) {
    for (auto& [action, cancelled] : record.running) {
      if (!is_wanted(record.state, action)) cancelled.request_stop();
    }
  }
  dispatch(record, event.kind == EventKind::kRecovered ? wanted(record.state) : next.actions);
  post_views(record, finished);  // after it: the timers are armed
  return {};
}

/// Never the one that another application has, nor, for a long time, one that any had: what is left of an old copy on a
/// node that was not heard of for a while is in nobody's network.
std::uint32_t Manager::Core::next_network_id() {
  constexpr std::uint32_t kLast = (1U << 24U) - 1;  // of VXLAN
  const auto taken = [&](std::uint32_t id) {
    return std::ranges::any_of(records_, [&](const auto& each) { return each.second->network_id == id; });
  };
  do {
    last_network_id_ = last_network_id_ % kLast + 1;
  } while (taken(last_network_id_));
  return last_network_id_;
}

void Manager::Core::add_checkpoint_writes(const Record& record, const State& before,
                                          std::vector<database::Write>& writes) {
  for (const auto& checkpoint : record.state.checkpoints) {
    const auto details = record.details.find(checkpoint.id);
    if (details == record.details.end()) continue;
    if (!differs(checkpoint, find_checkpoint(before, checkpoint.id))) continue;
    writes.emplace_back(database::PutCheckpoint{
        {checkpoint.id, record.id, record.tenant, details->second.created_at, details_to_json(details->second)}});
  }
  for (const auto& checkpoint : before.checkpoints) {
    if (find_checkpoint(record.state, checkpoint.id) == nullptr) {
      writes.emplace_back(database::DeleteCheckpoint{checkpoint.id});
    }
  }
}

void Manager::Core::add_event(Record& record, const Note& note, std::vector<database::Write>& writes,
                              std::vector<EventView>& events) {
  EventView event;
  event.id = ++last_event_;
  event.time = wall_now();
  event.application = record.id;
  event.kind = note.kind;
  event.message = note.message;
  if (!note.checkpoint.empty()) event.data["checkpoint"] = note.checkpoint;
  const bool gone = record.state.phase == Phase::kGone;
  // An application's events go with it: that it is gone is the server's to tell.
  if (gone) event.data["application"] = record.id;
  writes.emplace_back(database::AddEvent{{event.id, gone ? "" : record.id, record.tenant, event.time, event.kind,
                                          JsonObject{{"message", event.message}, {"data", event.data}}}});
  record.recent.push_back(event);
  if (record.recent.size() > kRecentEvents) record.recent.pop_front();
  events.push_back(std::move(event));
}

OperationView Manager::Core::open_view(const Record& record, const OpenOperation& open) {
  OperationView view;
  view.id = open.id;
  view.kind = open.kind;
  view.application = record.id;
  view.checkpoint = open.checkpoint;
  view.state = "RUNNING";
  view.created_at = open.created_at;
  view.updated_at = wall_now();
  return view;
}

std::vector<OperationView> Manager::Core::settle_operations(const Record& record, const Transition& transition) const {
  std::vector<OperationView> finished;
  for (const auto& open : record.operations) {
    if (auto view = settle(record, open, transition)) finished.push_back(*std::move(view));
  }
  return finished;
}

/// The operation's end, if the transition shows that it has come.
std::optional<OperationView> Manager::Core::settle(const Record& record, const OpenOperation& open,
                                                   const Transition& transition) const {
  const State& next = transition.state;
  OperationView view = open_view(record, open);
  const auto succeed = [&](JsonObject result) {
    view.state = "SUCCEEDED";
    view.result = std::move(result);
    return std::optional(view);
  };
  const auto fail = [&](ErrorCode code, const std::string& why) {
    view.state = "FAILED";
    view.problem = make_error(code, why);
    return std::optional(view);
  };
  view.phase = phase_name(next.phase);
  const bool leaving = next.phase == Phase::kTerminating || next.phase == Phase::kGone;
  if (open.kind == "delete") return next.phase == Phase::kGone ? succeed({}) : std::nullopt;
  if (open.kind == "delete-checkpoint") {
    return find_checkpoint(next, open.checkpoint) == nullptr ? succeed({}) : std::nullopt;
  }
  if (leaving) return fail(ErrorCode::kAborted, "the application is being deleted");
  if (open.kind == "checkpoint") {
    const Checkpoint* checkpoint = find_checkpoint(next, open.checkpoint);
    const bool queued = std::any_of(next.queue.begin(), next.queue.end(),
                                    [&](const QueuedCut& cut) { return cut.checkpoint == open.checkpoint; });
    if (queued) return std::nullopt;
    if (checkpoint == nullptr) return fail(ErrorCode::kAborted, "the checkpoint was not taken");
    view.phase = checkpoint_phase_name(checkpoint->phase);
    if (checkpoint->phase == CheckpointPhase::kAvailable) return succeed({{"checkpoint", open.checkpoint}});
    if (checkpoint->phase == CheckpointPhase::kFailed) {
      view.state = "FAILED";
      view.problem = problem_of(*checkpoint);
      return view;
    }
    return std::nullopt;
  }
  if (open.kind == "restart") {
    if (next.check == open.checkpoint) return std::nullopt;
    if (transition.restart_refusal && record.state.check == open.checkpoint) {
      view.state = "FAILED";
      view.problem = transition.restart_refusal;
      return view;
    }
  }
  // submit, restart: until it runs in a new incarnation
  const bool newer = next.incarnation > open.incarnation;
  if (newer && (next.phase == Phase::kRunning || next.phase == Phase::kCompleted)) {
    return succeed({{"incarnation", next.incarnation}});
  }
  if (next.phase == Phase::kError || next.phase == Phase::kSuspended) return fail(ErrorCode::kAborted, next.reason);
  return std::nullopt;
}

void Manager::Core::note_times(Record& record, const State& before) {
  const WallTime now = wall_now();
  record.updated_at = now;
  if (record.state.phase == Phase::kRestarting && before.phase == Phase::kRunning && !record.state.asked)
    ++record.failures;
  if (record.state.phase == Phase::kRunning && before.phase != Phase::kRunning) {
    record.running_since = now;
    if (!record.started_at) record.started_at = now;
    if (!record.limit_started_at && record.asr->time_limit.count() > 0) record.limit_started_at = now;
    record.ended_at.reset();
  }
  if (at_end(record.state.phase) && !at_end(before.phase)) {
    record.ended_at = now;
    record.limit_started_at.reset();  // whoever restarts it gives it the whole time again
  }
  for (const auto& checkpoint : record.state.checkpoints) {
    CheckpointDetails& details = record.details[checkpoint.id];
    if (details.created_at == WallTime{}) details.created_at = now;
    if (checkpoint.phase == CheckpointPhase::kAvailable && !details.available_at) details.available_at = now;
  }
  std::erase_if(record.details, [&](const auto& each) { return find_checkpoint(record.state, each.first) == nullptr; });
}

void Manager::Core::post_views(const Record& record, const std::vector<OperationView>& finished) {
  Posted posted;
  posted.tenant = record.tenant;
  posted.logs = record.logs;
  posted.application = std::make_shared<const ApplicationView>(application_view(record));
  auto checkpoints = std::make_shared<std::vector<CheckpointView>>();
  for (const auto& checkpoint : record.state.checkpoints) {
    if (checkpoint.phase != CheckpointPhase::kDeleting) checkpoints->push_back(checkpoint_view(record, checkpoint));
  }
  posted.checkpoints = std::move(checkpoints);
  board_.post(record.id, std::move(posted));
  for (const auto& open : record.operations) {
    OperationView view;
    const bool known = board_.find_operation(open.id, view);
    if (!known) view = open_view(record, open);
    const Checkpoint* checkpoint = open.kind == "checkpoint" ? find_checkpoint(record.state, open.checkpoint) : nullptr;
    const std::string phase(checkpoint != nullptr ? checkpoint_phase_name(checkpoint->phase)
                                                  : phase_name(record.state.phase));
    if (known && view.phase == phase) continue;
    view.phase = phase;
    view.updated_at = wall_now();
    board_.post_operation(view);
  }
  // Who sees that an operation has ended sees what it has brought.
  for (const auto& done : finished) board_.post_operation(done);
  board_.announce(last_event_);
}

void Manager::Core::dispatch(Record& record, const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    if (action.kind == ActionKind::kArmTimer) {
      arm_timer(record, action);
    } else if (action.delay_ms > 0) {
      mailbox_.post_after(std::chrono::milliseconds(action.delay_ms),
                          [this, id = record.id, delayed = Action(action)]() mutable {
                            Record* late = find(id);
                            if (late == nullptr) return;
                            delayed.delay_ms = 0;
                            late->lanes.add(delayed);
                            start_ready(*late);
                          });
    } else {
      record.lanes.add(action);
    }
  }
  arm_time_limit(record);
  start_ready(record);
}

void Manager::Core::arm_timer(Record& record, const Action& action) {
  std::chrono::milliseconds delay(action.delay_ms);
  if (record.state.phase == Phase::kRunning && record.state.stage != StartStage::kBackoff) {
    delay = checkpoint::periodic_delay(periodic_input(record), wall_now()).value_or(delay);
    record.next_checkpoint_at = wall_now() + delay;
  }
  Event event{.kind = EventKind::kTimer, .timer = action.timer};
  mailbox_.post_after(delay, [this, id = record.id, event] { handle(id, event); });
}

/// When the last checkpoint must begin, so that the end of the time limit loses nothing. nullopt: there is no limit, or
/// nothing runs.
std::optional<WallTime> Manager::Core::last_save(const Record& record) const {
  const bool at_work = record.state.phase == Phase::kRunning || record.state.phase == Phase::kRestarting;
  if (!record.limit_started_at || !at_work) return std::nullopt;
  std::vector<checkpoint::Milliseconds> durations;
  for (const auto& [id, details] : record.details) {
    if (!details.available_at) continue;
    durations.push_back(std::chrono::ceil<checkpoint::Milliseconds>(*details.available_at - details.created_at));
  }
  return checkpoint::last_chance(*record.limit_started_at, record.asr->time_limit, durations,
                                 options_.time_limit_margin);
}

void Manager::Core::arm_time_limit(Record& record) {
  const auto due = last_save(record);
  // A timer cannot be taken back: one that fires too early looks again.
  if (!due || (record.limit_armed && *record.limit_armed <= *due)) return;
  record.limit_armed = due;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - wall_now());
  mailbox_.post_after(std::max(left, std::chrono::milliseconds(0)), [this, id = record.id] { time_limit_due(id); });
}

void Manager::Core::time_limit_due(const std::string& application) {
  Record* record = find(application);
  if (record == nullptr) return;
  record->limit_armed.reset();
  const auto due = last_save(*record);
  if (!due) return;  // armed anew when it runs
  if (*due > wall_now()) return arm_time_limit(*record);
  handle(application, Event{.kind = EventKind::kTimeLimit});
}

void Manager::Core::start_ready(Record& record) {
  for (const Action& action : record.lanes.take(record.state)) run(record, action);
}

void Manager::Core::run(Record& record, const Action& action) {
  const std::stop_source cancelled;
  record.running.emplace_back(action, cancelled);
  if (action.kind == ActionKind::kBeginCut) record.cut_begun = std::chrono::steady_clock::now();
  ActionContext context;
  context.application = record.id;
  context.tenant = record.tenant;
  context.asr = record.asr;
  context.state = record.state;
  context.network_id = record.network_id;
  context.cancelled = cancelled.get_token();
  const auto open = std::find_if(record.operations.begin(), record.operations.end(), [&](const OpenOperation& each) {
    return each.kind == "checkpoint" && each.checkpoint == action.checkpoint;
  });
  if (action.kind == ActionKind::kStore && open != record.operations.end()) {
    const auto begun = std::chrono::steady_clock::now();
    context.progress = [this, id = open->id, begun](std::uint64_t done, std::uint64_t total) {
      const auto running =
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
      board_.progress(id, done, total, running.count());
    };
  }
  workers_.post([this, context = std::move(context), action] {
    ActionResult result = run_action(clouds_, context, action);
    mailbox_.post([this, id = context.application, action, result = std::move(result)] { finish(id, action, result); });
  });
}

void Manager::Core::finish(const std::string& application, const Action& action, const ActionResult& result) {
  Record* record = find(application);
  if (record == nullptr) return;
  if (result.event.kind == EventKind::kActionFailed || result.event.kind == EventKind::kCutFailed) {
    spdlog::info("application {}: {}", application, result.event.error.to_string());
  }
  record->lanes.done(action);
  std::erase_if(record->running, [&](const auto& each) { return each.first.same_as(action); });
  if (!result.details.empty() && !action.checkpoint.empty()) {
    JsonObject& said = record->details[action.checkpoint].said;
    for (const auto& member : result.details) {
      if (member.key() != "timings") said[member.key()] = member.value();
    }
    if (const JsonObject* timings = json_find_object(result.details, "timings")) add_timings(said, *timings);
  }
  note_cut_time(*record, result.event);
  handle(application, result.event);
  if (Record* still = find(application)) start_ready(*still);
}

}  // namespace cacs::application
