#include "application/record.h"

#include <fmt/format.h>

#include "application/app_options.h"
#include "application/lifecycle_json.h"
#include "application/placement.h"

namespace cacs::application {
namespace {

Json time_json(const std::optional<WallTime>& time) { return time ? Json(to_ms(*time)) : Json(nullptr); }

std::optional<WallTime> time_from(const JsonObject& object, std::string_view name) {
  const std::int64_t ms = json_int_or(object, name, -1);
  return ms < 0 ? std::nullopt : std::optional(from_ms(ms));
}

std::string_view pod_state(const Pod& pod) {
  switch (pod.status) {
    case PodStatus::kNone:
    case PodStatus::kWaiting:
      return "NONE";
    case PodStatus::kStarting:
      return "CREATING";
    case PodStatus::kRunning:
      return "RUNNING";
    case PodStatus::kDead:
      return pod.exit ? "EXITED" : "FAILED";
    case PodStatus::kDestroying:
      break;
  }
  return "DESTROYING";
}

ExitView exit_view(const PodExit& exit) { return {std::string(exit_kind_name(exit.kind)), exit.code, exit.signal}; }

std::uint64_t bytes_of(const JsonObject& object, std::string_view name) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_int_or(object, name, 0)));
}

}  // namespace

std::int64_t to_ms(WallTime time) { return time.time_since_epoch().count(); }
WallTime from_ms(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }

Policy policy_of(const Asr& asr) {
  Policy policy;
  policy.pods = asr.pods;
  policy.keep = asr.checkpoint_keep;
  policy.max_attempts = asr.recovery_max_attempts;
  policy.restart_on_signal = asr.restart_on_signal;
  policy.restart_on_oom = asr.restart_on_oom;
  policy.restart_on_codes = asr.restart_on_codes;
  policy.interval_ms = asr.checkpoint_interval ? asr.checkpoint_interval->count() : 0;
  policy.restart_runs_command = saves_itself(asr);
  // Which one it is is decided anew each time (periodic_input).
  if (asr.checkpoint_interval_auto) policy.interval_ms = checkpoint::periodic_interval({.automatic = true})->count();
  return policy;
}

checkpoint::PeriodicInput periodic_input(const Record& record) {
  checkpoint::PeriodicInput input{.interval = record.asr->checkpoint_interval,
                                  .automatic = record.asr->checkpoint_interval_auto,
                                  .running_since = record.running_since.value_or(record.created_at)};
  for (const Checkpoint& each : record.state.checkpoints) {  // the oldest first
    const auto details = record.details.find(each.id);
    if (details == record.details.end()) continue;
    const bool available = each.phase == CheckpointPhase::kAvailable;
    const JsonObject* timings = json_find_object(details->second.said, "timings");
    if (available && timings != nullptr) input.cost = std::chrono::milliseconds(json_int_or(*timings, "frozen_ms", 0));
    if (each.incarnation != record.state.incarnation) continue;
    input.last_begun = details->second.created_at;
    input.failures_in_a_row = each.phase == CheckpointPhase::kFailed ? input.failures_in_a_row + 1 : 0;
  }
  if (record.failures > 0 && record.started_at) {
    input.mean_failure =
        std::chrono::duration_cast<checkpoint::Milliseconds>(wall_now() - *record.started_at) / record.failures;
  }
  return input;
}

JsonObject record_to_json(const Record& record) {
  JsonArray operations;
  for (const OpenOperation& each : record.operations) {
    operations.push_back(JsonObject{{"id", each.id},
                                    {"kind", each.kind},
                                    {"checkpoint", each.checkpoint},
                                    {"incarnation", each.incarnation},
                                    {"created_at", to_ms(each.created_at)}});
  }
  return {{"asr", asr_to_stored_json(*record.asr, true)},
          {"state", state_to_json(record.state)},
          {"created_at", to_ms(record.created_at)},
          {"updated_at", to_ms(record.updated_at)},
          {"started_at", time_json(record.started_at)},
          {"ended_at", time_json(record.ended_at)},
          {"limit_started_at", time_json(record.limit_started_at)},
          {"running_since", time_json(record.running_since)},
          {"failures", record.failures},
          {"network_id", record.network_id},
          {"operations", std::move(operations)},
          {"logs", record.logs->to_json()}};
}

Result<Record> record_from_row(const database::ApplicationRow& row) {
  const JsonObject* asr = json_find_object(row.state, "asr");
  const JsonObject* state = json_find_object(row.state, "state");
  if (asr == nullptr || state == nullptr) {
    return make_error(ErrorCode::kCorrupt, fmt::format("the stored application {} is damaged", row.id));
  }
  Record record;
  record.id = row.id;
  record.tenant = row.tenant;
  record.version = row.version;
  CACS_ASSIGN(Asr parsed, asr_from_stored_json(*asr).context("application " + row.id));
  record.asr = std::make_shared<const Asr>(std::move(parsed));
  CACS_ASSIGN(record.state, state_from_json(*state).context("application " + row.id));
  record.created_at = from_ms(json_int_or(row.state, "created_at", 0));
  record.updated_at = from_ms(json_int_or(row.state, "updated_at", 0));
  record.started_at = time_from(row.state, "started_at");
  record.ended_at = time_from(row.state, "ended_at");
  record.limit_started_at = time_from(row.state, "limit_started_at");
  record.running_since = time_from(row.state, "running_since");
  record.failures = static_cast<int>(json_int_or(row.state, "failures", 0));
  record.network_id = static_cast<std::uint32_t>(json_int_or(row.state, "network_id", 0));
  if (const JsonArray* operations = json_find_array(row.state, "operations")) {
    for (const Json& item : *operations) {
      if (!item.is_object()) continue;
      const JsonObject& each = item.get_object();
      record.operations.push_back(
          {json_string_or(each, "id", ""), json_string_or(each, "kind", ""), json_string_or(each, "checkpoint", ""),
           static_cast<int>(json_int_or(each, "incarnation", 0)), from_ms(json_int_or(each, "created_at", 0))});
    }
  }
  if (const JsonArray* logs = json_find_array(row.state, "logs")) {
    record.logs = std::make_shared<const LogLineage>(LogLineage::from_json(*logs));
  }
  return record;
}

std::shared_ptr<const LogLineage> logs_after(const Record& record, const State& next, const Event& event) {
  const int now = record.state.incarnation;
  const bool begins = next.incarnation > now;
  const bool tells = event.log_base && event.incarnation > 0 && !record.logs->knows(event.incarnation, event.pod) &&
                     (event.incarnation == now || record.logs->has(event.incarnation));
  if (!begins && !tells) return record.logs;
  auto logs = std::make_shared<LogLineage>(*record.logs);
  if (tells) {
    // Begun under a version that kept no lineage: what it has in common with those before it is not known.
    if (!logs->has(event.incarnation)) logs->begin(event.incarnation, 0, next.policy.pods);
    logs->learn(event.incarnation, event.pod, *event.log_base);
  }
  if (begins) {
    const Checkpoint* source = find_checkpoint(next, next.source);
    logs->begin(next.incarnation, source == nullptr ? 0 : source->incarnation, next.policy.pods);
  }
  return *logs == *record.logs ? record.logs : logs;
}

JsonObject details_to_json(const CheckpointDetails& details) {
  return {{"created_at", to_ms(details.created_at)},
          {"available_at", time_json(details.available_at)},
          {"said", details.said}};
}

CheckpointDetails details_from_json(const JsonObject& object) {
  CheckpointDetails details;
  details.created_at = from_ms(json_int_or(object, "created_at", 0));
  details.available_at = time_from(object, "available_at");
  if (const JsonObject* said = json_find_object(object, "said")) details.said = *said;
  return details;
}

namespace {

/// What the agent has said last; before it has, the checkpoint is where it was stored.
std::vector<std::string> levels_of(const JsonObject& said) {
  std::vector<std::string> levels;
  if (const JsonArray* list = json_find_array(said, "levels")) {
    for (const auto& level : *list) {
      if (level.is_string()) levels.emplace_back(level.get_string());
    }
  }
  if (levels.empty()) levels.emplace_back("local");
  return levels;
}

}  // namespace

CheckpointView checkpoint_view(const Record& record, const Checkpoint& checkpoint) {
  CheckpointView view;
  view.id = checkpoint.id;
  view.application = record.id;
  // A checkpoint that is being deleted is not there any more for anyone.
  view.state = checkpoint_phase_name(checkpoint.phase);
  view.reason = checkpoint_reason_name(checkpoint.reason);
  view.incarnation = checkpoint.incarnation;
  view.problem = problem_of(checkpoint);
  for (int pod = 0; pod < record.state.policy.pods; ++pod) view.pods.push_back(fmt::format("pod-{}", pod));
  const auto details = record.details.find(checkpoint.id);
  if (details == record.details.end()) return view;
  const JsonObject& said = details->second.said;
  view.created_at = details->second.created_at;
  view.available_at = details->second.available_at;
  view.size_bytes = bytes_of(said, "size_bytes");
  view.stored_bytes = bytes_of(said, "stored_bytes");
  if (checkpoint.phase == CheckpointPhase::kAvailable) view.levels = levels_of(said);
  if (const JsonObject* compatibility = json_find_object(said, "compatibility")) view.compatibility = *compatibility;
  if (const JsonObject* timings = json_find_object(said, "timings")) view.timings = *timings;
  return view;
}

ApplicationView application_view(const Record& record) {
  const State& state = record.state;
  ApplicationView view;
  view.id = record.id;
  view.name = record.asr->name;
  view.state = phase_name(state.phase);
  view.reason = state.reason;
  view.cloud = record.asr->cloud;
  view.engine = record.asr->engine;
  view.incarnation = state.incarnation;
  view.attempts = state.attempts;
  view.created_at = record.created_at;
  view.started_at = record.started_at;
  view.updated_at = record.updated_at;
  view.ended_at = record.ended_at;
  for (std::size_t i = 0; i < state.pods.size(); ++i) {
    const Pod& pod = state.pods[i];
    const std::string node = node_of(state, static_cast<int>(i));
    view.pods.push_back({fmt::format("pod-{}", i), node, std::string(pod_state(pod)),
                         pod.exit ? std::optional(exit_view(*pod.exit)) : std::nullopt});
  }
  if (state.nodes != NodesStatus::kNone) view.nodes = state.node_names;
  if (state.exit) view.exit = exit_view(*state.exit);
  view.restored_from = state.incarnation > 0 ? state.source : "";
  for (const Checkpoint& checkpoint : state.checkpoints) {
    if (checkpoint.phase != CheckpointPhase::kAvailable) continue;
    ++view.checkpoint_count;
    view.last_checkpoint = checkpoint_view(record, checkpoint);
  }
  view.progress = record.progress;
  if (state.phase == Phase::kRunning && !state.cut) view.next_checkpoint_at = record.next_checkpoint_at;
  if (!record.operations.empty()) view.operation = record.operations.back().id;
  view.asr = asr_to_json(*record.asr);
  view.events.assign(record.recent.begin(), record.recent.end());
  return view;
}

JsonObject operation_to_json(const OperationView& operation) {
  return {{"kind", operation.kind},
          {"checkpoint", operation.checkpoint},
          {"state", operation.state},
          {"phase", operation.phase},
          {"created_at", to_ms(operation.created_at)},
          {"result", operation.result},
          {"problem", operation.problem ? Json(error_to_json(*operation.problem)) : Json(nullptr)}};
}

OperationView operation_from_row(const database::OperationRow& row) {
  OperationView view;
  view.id = row.id;
  view.application = row.application;
  view.updated_at = row.updated_at;
  view.kind = json_string_or(row.body, "kind", "");
  view.checkpoint = json_string_or(row.body, "checkpoint", "");
  view.state = json_string_or(row.body, "state", "");
  view.phase = json_string_or(row.body, "phase", "");
  view.created_at = from_ms(json_int_or(row.body, "created_at", 0));
  if (const JsonObject* result = json_find_object(row.body, "result")) view.result = *result;
  if (const JsonObject* problem = json_find_object(row.body, "problem")) view.problem = error_from_json(*problem);
  return view;
}

EventView event_from_row(const database::EventRow& row) {
  EventView view{.id = row.id, .time = row.time, .application = row.application, .kind = row.kind};
  view.message = json_string_or(row.body, "message", "");
  if (const JsonObject* data = json_find_object(row.body, "data")) view.data = *data;
  return view;
}

}  // namespace cacs::application
