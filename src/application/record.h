#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "application/action_lanes.h"
#include "application/asr.h"
#include "application/lifecycle.h"
#include "application/log_lineage.h"
#include "application/views.h"
#include "base/time.h"
#include "checkpoint/policy.h"
#include "database/database.h"

namespace cacs::application {

/// An operation that has not ended, and what its end is seen by.
struct OpenOperation {
  std::string id;
  std::string kind;
  std::string checkpoint;
  int incarnation = 0;  ///< the application's when it was asked for
  WallTime created_at;
};

/// What is known of a checkpoint beside the machine's own part: kept in its row.
struct CheckpointDetails {
  WallTime created_at;
  std::optional<WallTime> available_at;
  JsonObject said;  ///< by the agent: sizes, levels, compatibility, timings
};

/// One application as the manager's own thread holds it.
struct Record {
  std::string id;
  std::string tenant;
  std::shared_ptr<const Asr> asr;
  State state;
  database::RowVersion version;
  WallTime created_at;
  WallTime updated_at;
  std::optional<WallTime> started_at;
  std::optional<WallTime> ended_at;
  std::optional<WallTime> limit_started_at;  ///< the time limit counts from here
  std::optional<WallTime> next_checkpoint_at;
  std::optional<WallTime> running_since;  ///< of this incarnation
  int failures = 0;                       ///< that it was brought back from
  std::uint32_t network_id = 0;           ///< of this incarnation's network between nodes; 0: it is on one
  std::map<std::string, CheckpointDetails> details;
  std::vector<OpenOperation> operations;
  std::shared_ptr<const LogLineage> logs = std::make_shared<LogLineage>();  ///< never null
  std::deque<EventView> recent;                                             ///< newest last, at most kRecentEvents

  // Not stored.
  std::optional<std::int64_t> progress;  ///< of this incarnation
  ActionLanes lanes;
  std::vector<std::pair<Action, std::stop_source>> running;
  std::optional<WallTime> limit_armed;              ///< when the timer for the time limit fires
  std::chrono::steady_clock::time_point cut_begun;  ///< the last one: when its first command was sent
};

inline constexpr std::size_t kRecentEvents = 20;

Policy policy_of(const Asr& asr);
/// What decides when its next periodic checkpoint is due.
checkpoint::PeriodicInput periodic_input(const Record& record);

JsonObject record_to_json(const Record& record);
/// Without its checkpoints' details and events, which have rows of their own.
Result<Record> record_from_row(const database::ApplicationRow& row);

JsonObject details_to_json(const CheckpointDetails& details);
CheckpointDetails details_from_json(const JsonObject& object);

/// The record's `logs` once `next` follows its state because of `event`; the same pointer where nothing is new.
std::shared_ptr<const LogLineage> logs_after(const Record& record, const State& next, const Event& event);

CheckpointView checkpoint_view(const Record& record, const Checkpoint& checkpoint);
ApplicationView application_view(const Record& record);

JsonObject operation_to_json(const OperationView& operation);
OperationView operation_from_row(const database::OperationRow& row);
EventView event_from_row(const database::EventRow& row);

std::int64_t to_ms(WallTime time);
WallTime from_ms(std::int64_t ms);

}  // namespace cacs::application
