// What the manager does first: loads what is stored, compares the checkpoints with the repositories, and goes on.

#include <algorithm>

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
  for (const auto& [id, record] : records_) {
    last_network_id_ = std::max(last_network_id_, record->network_id);
    post_views(*record);
  }
  return database_.apply({database::ExpireIdempotencyKeys{wall_now()},
                          database::ExpireOperations{wall_now() - std::chrono::hours(24 * 7)}});
}

void Manager::Core::reconcile_checkpoints() {
  if (records_.empty()) return;
  std::map<std::string, std::vector<Part>> found;
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
        const JsonObject* object = item.if_object();
        if (object != nullptr) found[json_string_or(*object, "checkpoint", "")].push_back({node.id, *object});
      }
    }
  }
  for (const auto& [id, parts] : found) {
    if (is_whole(parts)) {
      take_found(id, parts);
    } else {
      remove_incomplete(id, parts);
    }
  }
  for (const auto& [application, record] : records_) {
    std::vector<std::string> lost;
    for (const auto& checkpoint : record->state.checkpoints) {
      const auto parts = found.find(checkpoint.id);
      const bool there = parts != found.end() && is_whole(parts->second);
      if (checkpoint.phase == CheckpointPhase::kAvailable && !there) lost.push_back(checkpoint.id);
    }
    for (const auto& id : lost) handle(application, Event{.kind = EventKind::kCheckpointLost, .checkpoint = id});
  }
}

void Manager::Core::take_found(const std::string& checkpoint, const std::vector<Part>& parts) {
  const JsonObject manifest = merge_parts(parts);
  const std::string application = json_string_or(manifest, "application", "");
  Record* record = find(application);
  if (record == nullptr) return;
  JsonObject& said = record->details[checkpoint].said;
  if (find_checkpoint(record->state, checkpoint) == nullptr) said = manifest;
  for (const char* member : {"levels", "parts"}) {
    if (manifest.contains(member)) said[member] = manifest.at(member);
  }
  handle(application, Event{.kind = EventKind::kCheckpointFound,
                            .incarnation = static_cast<int>(json_int_or(manifest, "incarnation", 0)),
                            .checkpoint = checkpoint,
                            .reason = reason_from(json_string_or(manifest, "reason", ""))});
}

/// Some of its nodes stored theirs, and then it came to nothing. Where it is being made or deleted, that goes on; of
/// one that was there once the rest is left as it is, for whoever looks for what became of it.
void Manager::Core::remove_incomplete(const std::string& checkpoint, const std::vector<Part>& parts) {
  const Record* record = find(json_string_or(parts.front().said, "application", ""));
  if (record == nullptr) return;
  const Checkpoint* known = find_checkpoint(record->state, checkpoint);
  if (known != nullptr && known->phase != CheckpointPhase::kFailed) return;
  const auto details = record->details.find(checkpoint);
  if (details != record->details.end() && details->second.available_at) return;
  const auto found = clouds_.find(record->asr->cloud);
  if (found == clouds_.end()) return;
  for (const Part& part : parts) {
    workers_.post([cloud = found->second, node = part.node, checkpoint] {
      const auto agent = cloud->agent(node);
      const Status gone = agent ? (*agent)->delete_checkpoint(checkpoint) : Status(agent.error());
      if (!gone) spdlog::warn("node {}: {}", node, gone.error().to_string());
    });
  }
}

}  // namespace cacs::application
