#include "repository/levels/level_record.h"

#include "base/log.h"
#include "base/uuid.h"
#include "repository/core.h"
#include "repository/document.h"
#include "repository/layout.h"
#include "repository/pack_format.h"

namespace cacs::repository {

namespace {

/// More than there will be.
constexpr std::size_t kMaxLevels = 16;

/// The same as its manifest's.
std::string record_name(const TenantKeys& keys, std::string_view checkpoint) {
  return std::string(kLevelPrefix) + manifest_name(keys, checkpoint).substr(kManifestPrefix.size());
}

Result<LevelRecord> load_named(Backend& backend, const TenantKeys& keys, const std::string& name) {
  CACS_ASSIGN(const JsonObject json, load_document(backend, DocumentKind::kLevels, keys, name));
  CACS_ASSIGN(LevelRecord record, level_record_from_json(json));
  if (record_name(keys, record.checkpoint) != name) return corrupt("record " + name + ": it is of another checkpoint");
  return record;
}

}  // namespace

JsonObject level_record_to_json(const LevelRecord& record) {
  JsonArray reached;
  for (const auto& each : record.reached) {
    reached.push_back(JsonObject{{"level", each.level}, {"place", each.place}, {"reached_at", each.reached_at}});
  }
  return {{"checkpoint", record.checkpoint}, {"removing", record.removing}, {"reached", std::move(reached)}};
}

Result<LevelRecord> level_record_from_json(const JsonObject& json) {
  LevelRecord record;
  record.checkpoint = json_string_or(json, "checkpoint", "");
  if (!is_uuid(record.checkpoint)) return corrupt("a record of levels that names no checkpoint");
  record.removing = json_bool_or(json, "removing", false);
  const JsonArray* reached = json_find_array(json, "reached");
  if (reached == nullptr || reached->size() > kMaxLevels) return corrupt("a record of levels without its levels");
  for (const auto& item : *reached) {
    const JsonObject* each = item.if_object();
    if (each == nullptr) return corrupt("a record of levels with a level that is none");
    record.reached.push_back({.level = json_string_or(*each, "level", ""),
                              .place = json_string_or(*each, "place", ""),
                              .reached_at = json_string_or(*each, "reached_at", "")});
  }
  return record;
}

Result<std::optional<LevelRecord>> load_level_record(Backend& backend, const TenantKeys& keys,
                                                     std::string_view checkpoint) {
  if (!is_uuid(checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  auto record = load_named(backend, keys, record_name(keys, checkpoint));
  if (record) return std::optional(*std::move(record));
  if (record.error().code == ErrorCode::kNotFound) return std::optional<LevelRecord>();
  if (record.error().code != ErrorCode::kCorrupt) return record.error();
  spdlog::warn("levels of checkpoint {}: {}", checkpoint, record.error().to_string());
  return std::optional<LevelRecord>();
}

Status store_level_record(Backend& backend, const TenantKeys& keys, const LevelRecord& record) {
  return store_document(backend, DocumentKind::kLevels, keys, record_name(keys, record.checkpoint),
                        level_record_to_json(record), Overwrite::kYes);
}

Status remove_level_record(Backend& backend, const TenantKeys& keys, std::string_view checkpoint) {
  auto removed = backend.remove(record_name(keys, checkpoint));
  if (!removed && removed.error().code == ErrorCode::kNotFound) return {};
  return removed;
}

Result<std::vector<LevelRecord>> list_level_records(Backend& backend, const TenantKeys& keys) {
  std::vector<std::string> names;
  CACS_TRY(backend.list(std::string(kLevelPrefix), [&](const ObjectInfo& object) -> Status {
    if (object.name != kTakenUpName) names.push_back(object.name);
    return {};
  }));
  std::vector<LevelRecord> records;
  for (const auto& name : names) {
    auto record = load_named(backend, keys, name);
    if (record) {
      records.push_back(*std::move(record));
    } else if (record.error().code == ErrorCode::kCorrupt || record.error().code == ErrorCode::kUnsupported) {
      spdlog::warn("{}: {}", name, record.error().to_string());
    } else if (record.error().code != ErrorCode::kNotFound) {
      return record.error();
    }
  }
  return records;
}

}  // namespace cacs::repository
