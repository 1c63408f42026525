#include "repository/levels/levels.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/time.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

Error no_remote() {
  return make_error(ErrorCode::kUnsupported, "there is no remote level", "start the agent with --remote LOCATION");
}

Error is_removed(std::string_view checkpoint) {
  return make_error(ErrorCode::kNotFound, fmt::format("checkpoint {} was removed", checkpoint));
}

}  // namespace

bool Levels::is_at_remote(const LevelRecord& record) const {
  return remote_ && std::ranges::any_of(record.reached, [&](const ReachedLevel& each) {
           return each.level == kRemoteLevel && each.place == remote_->place();
         });
}

Result<CopyResult> Levels::copy(std::string_view checkpoint, const CopyOptions& options) {
  if (!remote_) return no_remote();
  const std::lock_guard one_at_a_time(copy_mutex_);
  CACS_ASSIGN(const bool removing, is_removing(checkpoint));
  if (removing) return is_removed(checkpoint);
  CACS_ASSIGN(const auto store, remote_->store());
  CACS_ASSIGN(const auto pass, remote_->enter());
  LevelCopier copier(local_, *store);
  const auto before = std::chrono::steady_clock::now();
  CACS_ASSIGN(CopyResult result, copier.copy(checkpoint, options));
  learn(result.bytes_copied, std::chrono::steady_clock::now() - before);
  CACS_TRY(note_reached(checkpoint, result.manifest));
  return result;
}

void Levels::learn(std::uint64_t bytes, std::chrono::duration<double> spent) {
  // Of less, most of the time goes into asking what is there.
  constexpr std::uint64_t kEnough = std::uint64_t{1} << 20U;
  if (bytes < kEnough) return;
  sent_bytes_ = sent_bytes_ / 2 + static_cast<double>(bytes);
  sent_seconds_ = sent_seconds_ / 2 + spent.count();
  local_.compression().set_further_upload(sent_seconds_ / sent_bytes_);
}

/// After its manifest there is durable; as it was copied.
Status Levels::note_reached(std::string_view checkpoint, const std::vector<std::byte>& manifest) {
  Core& core = local_.core();
  const std::lock_guard lock(records_mutex_);
  const auto now = get_object(core.backend(), manifest_name(core.keys(), checkpoint), kMaxDocumentBytes);
  if (now && *now != manifest) {
    return make_error(ErrorCode::kUnavailable,
                      fmt::format("checkpoint {} has been extended since it was copied", checkpoint));
  }
  CACS_ASSIGN(auto record, load_level_record(core.backend(), core.keys(), checkpoint));
  if (record && record->removing) return is_removed(checkpoint);  // whoever finishes the removal takes it away again
  if (!record) record = LevelRecord{.checkpoint = std::string(checkpoint)};
  if (is_at_remote(*record)) return {};
  std::erase_if(record->reached, [](const ReachedLevel& each) { return each.level == kRemoteLevel; });
  record->reached.push_back(
      {.level = std::string(kRemoteLevel), .place = remote_->place(), .reached_at = format_time(wall_now())});
  return store_level_record(core.backend(), core.keys(), *record);
}

Result<std::vector<std::string>> Levels::levels_of(std::string_view checkpoint) {
  Core& core = local_.core();
  CACS_ASSIGN(const auto record, load_level_record(core.backend(), core.keys(), checkpoint));
  std::vector<std::string> levels;
  if (record && record->removing) return levels;
  const auto here = core.backend().size(manifest_name(core.keys(), checkpoint));
  if (!here && here.error().code != ErrorCode::kNotFound) return here.error();
  if (here) levels.emplace_back(kLocalLevel);
  bool at_remote = record && is_at_remote(*record);
  if (!here && !at_remote && remote_) at_remote = remote_->load_manifest(checkpoint).ok();
  if (at_remote) levels.emplace_back(kRemoteLevel);
  return levels;
}

Status Levels::list_remote(std::vector<Summary>& all) {
  Core& core = local_.core();
  CACS_ASSIGN(const auto there, remote_->repository());
  std::vector<std::string> names;
  CACS_TRY(there->core().backend().list(std::string(kManifestPrefix), [&](const ObjectInfo& object) -> Status {
    names.push_back(object.name);
    return {};
  }));
  for (const auto& name : names) {
    if (core.backend().size(name).ok()) continue;  // here, too: names are the same
    const auto document = read_manifest(there->core(), name);
    if (!document && document.error().code == ErrorCode::kNotFound) continue;
    Summary summary;
    if (document) {
      CACS_ASSIGN(const bool removing, is_removing(document->head.checkpoint));
      if (removing) continue;
      summary.head = document->head;
      summary.entry_count = document->entry_count;
    } else {
      summary.head.checkpoint = name.substr(kManifestPrefix.size());
      summary.problem = document.error();
    }
    all.push_back(std::move(summary));
  }
  return {};
}

Result<std::vector<Summary>> Levels::list() {
  CACS_ASSIGN(auto all, local_.list());
  if (!remote_) return all;
  const std::size_t here = all.size();
  const Status listed = list_remote(all);
  if (!listed && listed.error().code != ErrorCode::kNotFound) {  // not found: nothing was copied yet
    if (local_.core().backend().size(std::string(kTakenUpName)).ok()) return listed.error();
    spdlog::warn("checkpoints of the remote level: {}", listed.error().to_string());
    all.resize(here);
  }
  std::sort(all.begin(), all.end(),
            [](const Summary& one, const Summary& other) { return one.head.checkpoint < other.head.checkpoint; });
  return all;
}

Status Levels::extend(std::string_view checkpoint, const std::vector<std::string>& pieces, JsonObject meta) {
  Core& core = local_.core();
  const std::lock_guard lock(records_mutex_);
  CACS_ASSIGN(auto record, load_level_record(core.backend(), core.keys(), checkpoint));
  if (record && record->removing) return is_removed(checkpoint);
  // First: a record must never say more than there is.
  if (record && !record->reached.empty()) {
    record->reached.clear();
    CACS_TRY(store_level_record(core.backend(), core.keys(), *record));
  }
  return local_.extend_checkpoint(checkpoint, pieces, std::move(meta));
}

Result<bool> Levels::is_removing(std::string_view checkpoint) {
  Core& core = local_.core();
  CACS_ASSIGN(const auto record, load_level_record(core.backend(), core.keys(), checkpoint));
  return record && record->removing;
}

Status Levels::remove(std::string_view checkpoint) {
  Core& core = local_.core();
  // To its end: an extension in between would bring it back.
  const std::lock_guard lock(records_mutex_);
  CACS_ASSIGN(auto record, load_level_record(core.backend(), core.keys(), checkpoint));
  if (!record && !remote_) return local_.remove(checkpoint);
  if (!record) record = LevelRecord{.checkpoint = std::string(checkpoint)};
  if (!record->removing) {
    record->removing = true;
    CACS_TRY(store_level_record(core.backend(), core.keys(), *record));
  }
  auto removed = local_.remove(checkpoint);
  if (!removed && removed.error().code == ErrorCode::kNotFound) return {};
  return removed;
}

Status Levels::finish_removal(std::string_view checkpoint) {
  if (!remote_) return no_remote();
  const std::lock_guard one_at_a_time(copy_mutex_);
  CACS_ASSIGN(const bool removing, is_removing(checkpoint));
  if (!removing) return {};
  auto here = local_.remove(checkpoint);
  if (!here && here.error().code != ErrorCode::kNotFound) return here;
  CACS_ASSIGN(const auto store, remote_->store());
  // Somebody else's repository is left alone; nothing of ours can be in it.
  const auto repository = remote_->repository();
  if (repository) {
    CACS_TRY(LevelCopier(local_, *store).remove(checkpoint));
  } else if (repository.error().code != ErrorCode::kNotFound && repository.error().code != ErrorCode::kConflict) {
    return repository.error();
  }
  Core& core = local_.core();
  const std::lock_guard lock(records_mutex_);
  return remove_level_record(core.backend(), core.keys(), checkpoint);
}

Result<LevelsWork> Levels::outstanding(const std::function<bool(const Manifest&)>& wanted) {
  Core& core = local_.core();
  CACS_ASSIGN(const auto records, list_level_records(core.backend(), core.keys()));
  LevelsWork work;
  std::vector<std::string> done;
  for (const auto& record : records) {
    if (record.removing) work.removals.push_back(record.checkpoint);
    if (!record.removing && is_at_remote(record)) work.reached.push_back(record.checkpoint);
    if (record.removing || is_at_remote(record)) done.push_back(record.checkpoint);
  }
  std::sort(done.begin(), done.end());
  CACS_ASSIGN(const auto summaries, local_.list());
  for (const auto& summary : summaries) {
    if (summary.problem || !wanted(summary.head)) continue;
    if (std::binary_search(done.begin(), done.end(), summary.head.checkpoint)) continue;
    work.copies.push_back(summary.head.checkpoint);
  }
  return work;
}

Result<CollectResult> Levels::collect_remote() {
  if (!remote_) return no_remote();
  const std::lock_guard one_at_a_time(copy_mutex_);
  CACS_ASSIGN(const auto store, remote_->store());
  if (!store->traits().current_listing) {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("collect garbage in {}: its listings may be late, and not show a checkpoint that is "
                                  "there",
                                  store->describe()),
                      "nothing was removed; its space comes back when the store is replaced");
  }
  CACS_ASSIGN(const auto repository, remote_->repository());
  constexpr double kWholePacksOnly = 1.0;
  return repository->collect({.max_garbage = kWholePacksOnly, .wait = GateWait::kBlock});
}

}  // namespace cacs::repository
