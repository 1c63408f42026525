// Chunks that were found damaged: docs/repository.md, *Quarantine*.

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/time.h"
#include "repository/chunk_store.h"
#include "repository/core.h"
#include "repository/layout.h"

namespace cacs::repository {

JsonObject damage_to_json(std::string_view pack, const std::vector<bool>& slots) {
  JsonArray runs;
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    if (!slots[slot]) continue;
    const std::size_t first = slot;
    while (slot < slots.size() && slots[slot]) ++slot;
    runs.push_back(JsonArray{first, slot - first});
  }
  return {{"pack", pack}, {"chunks", std::move(runs)}, {"found_at", format_time(wall_now())}};
}

Result<std::vector<bool>> damage_from_json(const JsonObject& json, std::string_view pack, std::size_t count) {
  if (json_string_or(json, "pack", "") != pack) return corrupt("it is that of another pack");
  const JsonArray* runs = json_find_array(json, "chunks");
  if (runs == nullptr) return corrupt("it names no chunks");
  std::vector<bool> slots(count);
  for (const auto& run : *runs) {
    const JsonArray* pair = run.if_array();
    if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_int64() || !(*pair)[1].is_int64()) {
      return corrupt("a run of chunks that is none");
    }
    const std::int64_t first = (*pair)[0].get_int64();
    const std::int64_t length = (*pair)[1].get_int64();
    const auto limit = static_cast<std::int64_t>(count);
    if (first < 0 || length < 0 || first > limit || length > limit - first) {
      return corrupt("it names chunks that the pack has not");
    }
    std::fill_n(slots.begin() + first, length, true);
  }
  return slots;
}

/// Quarantines of packs that are here and not known to have any. One that cannot be read is passed over: the damage
/// that it told of is found again when it is read.
Status ChunkStore::load_quarantines(const std::vector<std::shared_ptr<const Pack>>& packs,
                                    std::map<std::string, std::vector<bool>>& found) {
  const auto names = storage_.list(std::string(kDamageDirectory));
  if (!names && names.error().code == ErrorCode::kNotFound) return {};
  if (!names) return names.error();
  for (const auto& name : *names) {
    const std::string id = id_of_file(name, kDamageSuffix);
    const auto pack = std::find_if(packs.begin(), packs.end(), [&](const auto& each) { return each->id == id; });
    if (id.empty() || pack == packs.end()) continue;
    {
      const std::shared_lock lock(mutex_);
      if (quarantine_.contains(id)) continue;
    }
    const auto load = [&]() -> Result<std::vector<bool>> {
      CACS_ASSIGN(const auto bytes, read_document_file(storage_, damage_file(id)));
      CACS_ASSIGN(const JsonObject json, parse_document(DocumentKind::kDamage, bytes, "a quarantine"));
      return damage_from_json(json, id, (*pack)->entries.size());
    };
    auto slots = load();
    if (slots) {
      found.emplace(id, *std::move(slots));
    } else {
      spdlog::warn("quarantine of pack {}: {}", id, slots.error().to_string());
    }
  }
  return {};
}

Status ChunkStore::quarantine(const std::shared_ptr<const Pack>& pack) {
  const std::scoped_lock one_at_a_time(quarantine_mutex_);
  std::vector<bool> slots(pack->entries.size());
  {
    const std::shared_lock lock(mutex_);
    if (const auto known = quarantine_.find(pack->id); known != quarantine_.end()) slots = known->second;
  }
  ChunkCodec codec;
  std::vector<std::byte> stored;
  std::vector<std::byte> raw;
  std::size_t found = 0;
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    if (slots[slot]) continue;
    Status status = read_at({pack, slot, false}, codec, stored, raw);
    if (status) continue;
    if (status.error().code != ErrorCode::kCorrupt) return status;
    slots[slot] = true;
    ++found;
  }
  if (found == 0) return {};
  const std::string doing = fmt::format("put {} damaged chunks of pack {} into quarantine", found, pack->id);
  // Durable first: a copy that is stored only because of the quarantine must not be taken for the spare one, after a
  // crash, by a collection that knows nothing of the damage.
  CACS_TRY(storage_.make_directory(std::string(kDamageDirectory)).context(doing));
  CACS_TRY(storage_.sync_directory("").context(doing));
  CACS_TRY(write_document_file(storage_, kDamageDirectory, damage_file(pack->id),
                               encode_document(DocumentKind::kDamage, damage_to_json(pack->id, slots)))
               .context(doing));
  spdlog::warn("{}: the next checkpoint with the same content stores it anew", doing);
  const std::unique_lock lock(mutex_);
  quarantine_[pack->id] = std::move(slots);
  rebuild(std::move(packs_));
  ++quarantines_;
  return {};
}

}  // namespace cacs::repository
