#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "repository/core.h"
#include "repository/layout.h"
#include "repository/reach.h"
#include "repository/repository.h"

namespace cacs::repository {

namespace {

/// One collection. The order of its steps, and what an interruption leaves, is a table in docs/repository.md.
class Collection {
 public:
  Collection(Core& core, const CollectOptions& options) : core_(core), options_(options), reach_(core) {}

  Result<CollectResult> run() {
    CACS_TRY(mark_all(core_, reach_, [](const Error& error) -> Status {
      return error.with_hint("nothing was removed; remove what it names, then collect again");
    }));
    CACS_TRY(remove_damaged());
    std::vector<std::shared_ptr<const Pack>> dead;
    for (const auto& pack : core_.chunks.packs()) {
      if (reach_.live_bytes(*pack) == 0) dead.push_back(pack);
    }
    CACS_TRY(remove_packs(dead));
    CACS_TRY(rewrite(choose()));
    CACS_TRY(core_.chunks.refresh());
    CACS_TRY(remove_quarantines());
    return std::move(result_);
  }

 private:
  [[nodiscard]] static std::uint64_t payload(const Pack& pack) {
    return pack.file_size - kPackHeaderBytes - kPackTrailerBytes - pack.entries.size() * kPackEntryBytes;
  }

  /// Packs that are worth writing anew.
  std::vector<std::shared_ptr<const Pack>> choose() {
    std::vector<std::shared_ptr<const Pack>> chosen;
    std::vector<std::shared_ptr<const Pack>> small;
    for (const auto& pack : core_.chunks.packs()) {
      const std::uint64_t live = reach_.live_bytes(*pack);
      const std::uint64_t garbage = payload(*pack) - live;
      if (live == 0) continue;  // dead, and removed already
      if (static_cast<double>(garbage) > options_.max_garbage * static_cast<double>(payload(*pack))) {
        chosen.push_back(pack);
      } else {
        result_.bytes_garbage += garbage;
        if (pack->file_size < kPackTargetBytes / 4) small.push_back(pack);
      }
    }
    if (small.size() > options_.max_small_packs) chosen.insert(chosen.end(), small.begin(), small.end());
    return chosen;
  }

  /// Everything that is reached was found in other packs, so these hold nothing that is needed.
  Status remove_damaged() {
    for (const auto& [id, error] : core_.chunks.damaged()) {
      if (error.code != ErrorCode::kCorrupt) continue;  // of a newer version: not ours to judge
      spdlog::warn("collection removes a damaged pack that nothing needs: {}", error.to_string());
      CACS_TRY(core_.storage->remove(pack_file(id)));
      ++result_.packs_removed;
    }
    return {};
  }

  /// Those of packs that are gone. Their packs' removal is durable.
  Status remove_quarantines() {
    const auto names = core_.storage->list(std::string(kDamageDirectory));
    if (!names && names.error().code == ErrorCode::kNotFound) return {};
    if (!names) return names.error();
    CACS_ASSIGN(const auto packs, list_ids(*core_.storage, kPackDirectory, kPackSuffix));
    for (const auto& name : *names) {
      const std::string id = id_of_file(name, kDamageSuffix);
      if (id.empty() || std::binary_search(packs.begin(), packs.end(), id)) continue;
      CACS_TRY(remove_document_file(*core_.storage, kDamageDirectory, damage_file(id)));
    }
    return {};
  }

  /// Writes the live chunks of these packs into new ones, as many old packs at a time as fill a new one, so that the
  /// space needed meanwhile is small. Old ones go only when the new one is durable.
  Status rewrite(const std::vector<std::shared_ptr<const Pack>>& packs) {
    std::vector<std::shared_ptr<const Pack>> moved;
    auto writer = std::make_unique<PackWriter>(*core_.storage, core_.chunks);
    std::uint64_t pending = 0;
    const auto finish = [&]() -> Status {
      CACS_TRY(writer->publish());
      if (writer->stored_bytes() > 0) {
        ++result_.packs_written;
        result_.bytes_freed -= std::min(result_.bytes_freed, writer->stored_bytes());
      }
      writer = std::make_unique<PackWriter>(*core_.storage, core_.chunks);
      pending = 0;
      return remove_packs(std::exchange(moved, {}));
    };
    for (const auto& pack : packs) {
      const std::uint64_t live = reach_.live_bytes(*pack);
      if (pending > 0 && pending + live > kPackTargetBytes) CACS_TRY(finish());
      auto status = copy_live(*pack, *writer);
      if (!status && status.error().code == ErrorCode::kCorrupt) {
        result_.problems.push_back(status.error());  // the pack stays; what was copied of it is a duplicate
      } else {
        CACS_TRY(status);
        moved.push_back(pack);
      }
      pending += live;
    }
    return finish();
  }

  Status copy_live(const Pack& pack, PackWriter& writer) {
    const auto self = core_.chunks.packs();
    const auto shared = std::find_if(self.begin(), self.end(), [&](const auto& other) { return other.get() == &pack; });
    if (shared == self.end()) return make_error(ErrorCode::kInternal, "a pack vanished during a collection");
    std::vector<std::byte> stored;
    std::vector<std::byte> raw;
    for (std::size_t slot = 0; slot < pack.entries.size(); ++slot) {
      if (!reach_.is_live(pack, slot)) continue;
      CACS_TRY(core_.chunks.read_at({*shared, slot, false}, codec_, stored, raw));
      if (!writer.contains(pack.entries[slot].digest)) CACS_TRY(writer.add_packed(pack.entries[slot], stored));
    }
    return {};
  }

  Status remove_packs(const std::vector<std::shared_ptr<const Pack>>& packs) {
    for (const auto& pack : packs) {
      CACS_TRY(core_.storage->remove(pack_file(pack->id)));
      ++result_.packs_removed;
      result_.bytes_freed += pack->file_size;
    }
    return core_.storage->sync_directory(std::string(kPackDirectory));
  }

  Core& core_;
  const CollectOptions& options_;
  Reach reach_;
  ChunkCodec codec_;
  CollectResult result_;
};

}  // namespace

Result<CollectResult> Repository::collect(const CollectOptions& options) {
  const std::string doing = "collect garbage in " + core_->storage->describe();
  auto lock = core_->storage->lock(LockMode::kExclusive, options.wait);
  if (!lock) return lock.error().with_context(doing);
  CACS_TRY(remove_temporaries(*core_->storage).context(doing));
  // A removal that was interrupted before its sync might be undone by a power loss: its manifest must not come back
  // after its chunks are gone.
  CACS_TRY(core_->storage->sync_directory(std::string(kManifestDirectory)).context(doing));
  CACS_TRY(core_->storage->sync_directory(std::string(kPieceDirectory)).context(doing));
  CACS_TRY(core_->chunks.refresh().context(doing));
  return Collection(*core_, options).run().context(doing);
}

Result<CheckResult> Repository::check(bool read_data) {
  const std::string doing = "check the repository in " + core_->storage->describe();
  // Keeps the collector, not writers, away while we look.
  auto lock = core_->storage->lock(LockMode::kShared, LockWait::kBlock);
  if (!lock) return lock.error().with_context(doing);
  CACS_TRY(core_->chunks.refresh().context(doing));
  CheckResult result;
  for (const auto& [id, error] : core_->chunks.damaged()) result.problems.push_back(error);
  Reach reach(*core_);
  CACS_TRY(mark_all(*core_, reach, [&](const Error& error) -> Status {
             result.problems.push_back(error);
             return {};
           }).context(doing));
  if (!read_data) return result;
  ChunkCodec codec;
  std::vector<std::byte> stored;
  std::vector<std::byte> raw;
  for (const auto& pack : core_->chunks.packs()) {
    bool damaged = false;
    for (std::size_t slot = 0; slot < pack->entries.size(); ++slot) {
      auto status = core_->chunks.read_at({pack, slot, false}, codec, stored, raw);
      ++result.chunks_read;
      if (!status) result.problems.push_back(status.error());
      damaged = damaged || !status;
    }
    if (!damaged) continue;
    if (const auto put = core_->chunks.quarantine(pack); !put) result.problems.push_back(put.error());
  }
  return result;
}

}  // namespace cacs::repository
