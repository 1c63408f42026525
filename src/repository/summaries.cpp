#include "repository/summaries.h"

#include <fmt/format.h>

#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "repository/layout.h"
#include "repository/work_pool.h"

namespace cacs::repository {

namespace {

/// A document is written when it spares the next list so many reads: a handful of checkpoints needs none.
constexpr std::size_t kWorthWriting = 16;
constexpr std::size_t kShardDigits = 2;

/// A summary together with its manifest's length in the store, by which one that was replaced is told.
struct KeptSummary {
  std::uint64_t object_bytes = 0;
  BriefSummary summary;
};
/// By the part of the manifest's name behind the prefix.
using Shard = std::unordered_map<std::string, KeptSummary>;

std::string shard_name(std::string_view digits) { return std::string(kSummaryPrefix) + std::string(digits); }

JsonObject to_json(const Shard& shard) {
  JsonObject all;
  for (const auto& [name, kept] : shard) {
    const auto& summary = kept.summary;
    all[name] = JsonArray{kept.object_bytes,   summary.checkpoint, summary.application,  summary.created_at,
                          summary.incarnation, summary.size_bytes, summary.stored_bytes, summary.entry_count};
  }
  return {{"checkpoints", std::move(all)}};
}

/// Nothing for one that this version would not have written.
std::optional<KeptSummary> kept_from_json(const boost::json::value& json) {
  const JsonArray* fields = json.if_array();
  if (fields == nullptr || fields->size() != 8) return std::nullopt;
  const auto number = [&](std::size_t at) -> std::optional<std::uint64_t> {
    const auto& field = (*fields)[at];
    if (field.is_uint64()) return field.get_uint64();
    if (field.is_int64() && field.get_int64() >= 0) return static_cast<std::uint64_t>(field.get_int64());
    return std::nullopt;
  };
  const auto text = [&](std::size_t at) { return (*fields)[at].if_string(); };
  const auto bytes = number(0);
  const auto incarnation = number(4);
  const auto size = number(5);
  const auto stored = number(6);
  const auto entries = number(7);
  const bool texts = text(1) != nullptr && text(2) != nullptr && text(3) != nullptr;
  if (!texts || !bytes || !incarnation || *incarnation > INT32_MAX || !size || !stored || !entries) return std::nullopt;
  return KeptSummary{.object_bytes = *bytes,
                     .summary = {.checkpoint = std::string(*text(1)),
                                 .application = std::string(*text(2)),
                                 .created_at = std::string(*text(3)),
                                 .incarnation = static_cast<int>(*incarnation),
                                 .size_bytes = *size,
                                 .stored_bytes = *stored,
                                 .entry_count = *entries}};
}

/// Empty where there is none, or none that can be read.
Shard load_shard(Core& core, const std::string& name) {
  Shard shard;
  const auto json = load_document(core.backend(), DocumentKind::kSummaries, core.keys(), name);
  if (!json) {
    if (json.error().code != ErrorCode::kNotFound) spdlog::debug("{}: {}", name, json.error().to_string());
    return shard;
  }
  const JsonObject* all = json_find_object(*json, "checkpoints");
  if (all == nullptr) return shard;
  for (const auto& member : *all) {
    if (auto kept = kept_from_json(member.value())) shard.emplace(member.key(), *std::move(kept));
  }
  return shard;
}

BriefSummary brief(const ManifestDocument& document) {
  return {.checkpoint = document.head.checkpoint,
          .application = document.head.application,
          .created_at = document.head.created_at,
          .incarnation = document.head.incarnation,
          .size_bytes = document.head.size_bytes,
          .stored_bytes = document.head.stored_bytes,
          .entry_count = document.entry_count};
}

/// The summaries of one document's share of the manifests.
class ShardList {
 public:
  ShardList(Core& core, const std::string& digits) : core_(core), name_(shard_name(digits)) {}

  Result<std::vector<BriefSummary>> list(const std::vector<ObjectInfo>& listed) {
    const Shard before = listed.size() < kWorthWriting ? Shard() : load_shard(core_, name_);
    std::size_t read = 0;
    std::vector<BriefSummary> all;
    all.reserve(listed.size());
    for (const auto& object : listed) {
      const std::string key = object.name.substr(kManifestPrefix.size());
      const auto found = before.find(key);
      if (found != before.end() && found->second.object_bytes == object.size) {
        all.push_back(found->second.summary);
        now_.emplace(key, found->second);
        continue;
      }
      ++read;
      auto document = read_manifest(core_, object.name);
      if (document) {
        all.push_back(brief(*document));
        now_.emplace(key, KeptSummary{.object_bytes = object.size, .summary = all.back()});
      } else if (document.error().code != ErrorCode::kNotFound) {  // else removed since it was listed
        all.push_back({.checkpoint = key, .problem = document.error()});
      }
    }
    if (read >= kWorthWriting) keep();
    return all;
  }

 private:
  /// That it cannot be written (by somebody who may only read) costs time, no list.
  void keep() {
    const auto kept =
        store_document(core_.backend(), DocumentKind::kSummaries, core_.keys(), name_, to_json(now_), Overwrite::kYes);
    if (!kept) spdlog::debug("{}: {}", name_, kept.error().to_string());
  }

  Core& core_;
  std::string name_;
  Shard now_;
};

}  // namespace

Result<std::vector<BriefSummary>> list_summaries(Core& core) {
  std::map<std::string, std::vector<ObjectInfo>> shards;
  CACS_TRY(core.backend().list(std::string(kManifestPrefix), [&](const ObjectInfo& object) -> Status {
    const auto digits = std::string_view(object.name).substr(kManifestPrefix.size(), kShardDigits);
    shards[std::string(digits)].push_back(object);
    return {};
  }));
  std::vector<std::pair<const std::string*, const std::vector<ObjectInfo>*>> work;
  work.reserve(shards.size());
  for (const auto& [digits, listed] : shards) work.emplace_back(&digits, &listed);
  std::vector<std::vector<BriefSummary>> found(work.size());
  std::mutex mutex;
  Status failed;
  WorkPool pool(work.size() < kWorthWriting ? 1 : 0);
  pool.run(work.size(), [&](std::size_t index, std::size_t /*worker*/) {
    auto shard = ShardList(core, *work[index].first).list(*work[index].second);
    const std::lock_guard lock(mutex);
    if (shard) {
      found[index] = *std::move(shard);
    } else if (failed) {
      failed = shard.error();
    }
  });
  CACS_TRY(failed);
  std::vector<BriefSummary> all;
  for (auto& shard : found) std::move(shard.begin(), shard.end(), std::back_inserter(all));
  return all;
}

Status forget_summary(Core& core, std::string_view manifest_object) {
  const auto digits = manifest_object.substr(kManifestPrefix.size(), kShardDigits);
  auto removed = core.backend().remove(shard_name(digits));
  if (!removed && removed.error().code == ErrorCode::kNotFound) return {};
  return removed;
}

}  // namespace cacs::repository
