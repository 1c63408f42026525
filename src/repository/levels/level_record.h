#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/keys/tenant_keys.h"

namespace cacs::repository {

/// A level that a checkpoint has reached.
struct ReachedLevel {
  std::string level;       ///< "remote"
  std::string place;       ///< where that level was: a location; in another place the checkpoint is not
  std::string reached_at;  ///< RFC 3339

  friend bool operator==(const ReachedLevel&, const ReachedLevel&) = default;
};

/// What is known of a checkpoint beyond its own store, as an object `levels/NAME` there (docs/repository-format.md):
/// written only after what it says is durable, so that what it says is so.
struct LevelRecord {
  std::string checkpoint;
  /// The checkpoint is to be removed from every level: set before the first of them has lost it, and gone with the last
  /// one.
  bool removing = false;
  std::vector<ReachedLevel> reached;

  friend bool operator==(const LevelRecord&, const LevelRecord&) = default;
};

JsonObject level_record_to_json(const LevelRecord& record);
/// kCorrupt for what is none.
Result<LevelRecord> level_record_from_json(const JsonObject& json);

/// An object of no bytes in a store that was made from a further level (adopt_repository): checkpoints may be there
/// that were never here.
inline constexpr std::string_view kTakenUpName = "levels/taken-up";

/// Nothing when there is none, or when it cannot be read: a level that is not known to be reached is gone for again.
Result<std::optional<LevelRecord>> load_level_record(Backend& backend, const TenantKeys& keys,
                                                     std::string_view checkpoint);
Status store_level_record(Backend& backend, const TenantKeys& keys, const LevelRecord& record);
/// Success when there is none.
Status remove_level_record(Backend& backend, const TenantKeys& keys, std::string_view checkpoint);
/// All that can be read; the others are told of in the log.
Result<std::vector<LevelRecord>> list_level_records(Backend& backend, const TenantKeys& keys);

}  // namespace cacs::repository
