// What the manager does first: loads what is stored, compares the checkpoints with the repositories, and goes on.

#include <set>

#include "application/manager_core.h"
#include "base/log.h"

namespace cacs::application {

namespace {

CheckpointReason reason_from(const std::string& name) {
  for (const auto reason : {CheckpointReason::kPeriodic, CheckpointReason::kRequest, CheckpointReason::kApplication,
                            CheckpointReason::kSuspend, CheckpointReason::kTerminate}) {
    if (checkpoint_reason_name(reason) == name) return reason;
  }
  return CheckpointReason::kRequest;
}

}  // namespace

Status Manager::Core::load() {
  const std::function<Result<bool>()> task = [this]() -> Result<bool> {
    CACS_TRY(load_applications());
    reconcile_checkpoints();
    std::vector<std::string> ids;
    for (const auto& [id, record] : records_) ids.push_back(id);
    // Only now do actions run: what was under way when the last server ended is begun again.
    for (const auto& id : ids) handle(id, Event{.kind = EventKind::kRecovered});
    return true;
  };
  const auto loaded = ask<bool>(task);
  return loaded ? ok_status() : Status(loaded.error());
}

Status Manager::Core::load_applications() {
  CACS_ASSIGN(last_event_, database_.last_event_id());
  CACS_ASSIGN(const auto applications, database_.load_applications());
  for (const auto& row : applications) {
    CACS_ASSIGN(Record record, record_from_row(row));
    CACS_ASSIGN(const auto checkpoints, database_.load_checkpoints(row.id));
    for (const auto& checkpoint : checkpoints) record.details[checkpoint.id] = details_from_json(checkpoint.body);
    CACS_ASSIGN(const auto events, database_.load_events(row.id, 0, 100'000));
    for (const auto& event : events) record.recent.push_back(event_from_row(event));
    while (record.recent.size() > kRecentEvents) record.recent.pop_front();
    records_[row.id] = std::make_unique<Record>(std::move(record));
  }
  CACS_ASSIGN(const auto operations, database_.load_operations());
  for (const auto& operation : operations) board_.post_operation(operation_from_row(operation));
  for (const auto& [id, record] : records_) post_views(*record);
  return database_.apply({database::ExpireIdempotencyKeys{wall_now()},
                          database::ExpireOperations{wall_now() - std::chrono::hours(24 * 7)}});
}

void Manager::Core::reconcile_checkpoints() {
  if (records_.empty()) return;
  std::map<std::string, JsonObject> manifests;
  for (const auto& [name, cloud] : clouds_) {
    const auto nodes = cloud->list_nodes();
    if (!nodes) return;
    for (const auto& node : *nodes) {
      auto agent = cloud->agent(node.id);
      auto listed = agent ? (*agent)->list_checkpoints() : Result<JsonObject>(agent.error());
      if (!listed) {
        // Without knowing what is there nothing may be called lost.
        spdlog::warn("node {}: its checkpoints cannot be listed: {}", node.id, listed.error().to_string());
        return;
      }
      const JsonArray* list = json_find_array(*listed, "checkpoints");
      if (list == nullptr) return;
      for (const auto& item : *list) {
        if (const JsonObject* object = item.if_object()) manifests[json_string_or(*object, "checkpoint", "")] = *object;
      }
    }
  }
  for (const auto& [id, manifest] : manifests) {
    const std::string application = json_string_or(manifest, "application", "");
    Record* record = find(application);
    if (record == nullptr) continue;
    if (find_checkpoint(record->state, id) == nullptr) record->details[id].said = manifest;
    if (const JsonArray* levels = json_find_array(manifest, "levels")) record->details[id].said["levels"] = *levels;
    handle(application, Event{.kind = EventKind::kCheckpointFound,
                              .incarnation = static_cast<int>(json_int_or(manifest, "incarnation", 0)),
                              .checkpoint = id,
                              .reason = reason_from(json_string_or(manifest, "reason", ""))});
  }
  for (const auto& [application, record] : records_) {
    std::vector<std::string> lost;
    for (const auto& checkpoint : record->state.checkpoints) {
      if (checkpoint.phase == CheckpointPhase::kAvailable && manifests.count(checkpoint.id) == 0)
        lost.push_back(checkpoint.id);
    }
    for (const auto& id : lost) handle(application, Event{.kind = EventKind::kCheckpointLost, .checkpoint = id});
  }
}

}  // namespace cacs::application
