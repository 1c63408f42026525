#include "repository/quarantine.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/time.h"
#include "repository/document.h"
#include "repository/layout.h"
#include "repository/pack_format.h"

namespace cacs::repository {

namespace {

JsonObject to_json(const PackId& pack, const std::vector<Slot>& slots) {
  JsonArray runs;
  for (std::size_t at = 0; at < slots.size();) {
    std::size_t end = at + 1;
    while (end < slots.size() && slots[end] == slots[end - 1] + 1) ++end;
    runs.push_back(JsonArray{slots[at], end - at});
    at = end;
  }
  return {{"pack", pack.to_hex()}, {"slots", std::move(runs)}, {"found_at", format_time(wall_now())}};
}

Result<std::vector<Slot>> from_json(const JsonObject& json, const PackId& pack) {
  if (json_string_or(json, "pack", "") != pack.to_hex()) return corrupt("it is that of another pack");
  const JsonArray* runs = json_find_array(json, "slots");
  if (runs == nullptr) return corrupt("it names no slots");
  std::vector<Slot> slots;
  for (const auto& run : *runs) {
    const JsonArray* pair = run.if_array();
    if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_int64() || !(*pair)[1].is_int64()) {
      return corrupt("a run of slots that is none");
    }
    const std::int64_t first = (*pair)[0].get_int64();
    const std::int64_t count = (*pair)[1].get_int64();
    constexpr auto kLimit = static_cast<std::int64_t>(kMaxSegments * kMaxSegmentSlots);
    if (first < 0 || count < 1 || first > kLimit || count > kLimit - first ||
        (!slots.empty() && static_cast<std::int64_t>(slots.back()) >= first)) {
      return corrupt("a run of slots that cannot be");
    }
    for (std::int64_t i = 0; i < count; ++i) slots.push_back(static_cast<Slot>(first + i));
  }
  return slots;
}

}  // namespace

Result<std::vector<PackId>> Quarantine::refresh() {
  std::vector<PackId> listed;
  CACS_TRY(backend_.list(std::string(kDamagePrefix), [&](const ObjectInfo& object) -> Status {
    const auto id = PackId::from_hex(std::string_view(object.name).substr(kDamagePrefix.size()));
    if (id) listed.push_back(*id);
    return {};
  }));
  std::vector<PackId> fresh;
  for (const PackId& id : listed) {
    {
      const std::lock_guard lock(mutex_);
      if (slots_.contains(id)) continue;
    }
    const auto load = [&]() -> Result<std::vector<Slot>> {
      CACS_ASSIGN(const JsonObject json, load_document(backend_, DocumentKind::kDamage, keys_, damage_name(id)));
      return from_json(json, id);
    };
    auto slots = load();
    if (!slots) {
      spdlog::warn("quarantine of pack {}: {}", id.to_hex(), slots.error().to_string());
      continue;
    }
    fresh.push_back(id);
    const std::lock_guard lock(mutex_);
    slots_.try_emplace(id, *std::move(slots));
  }
  return fresh;
}

std::vector<Slot> Quarantine::slots(const PackId& pack) const {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(pack);
  return found == slots_.end() ? std::vector<Slot>() : found->second;
}

Status Quarantine::put(const PackId& pack, const std::vector<Slot>& slots) {
  if (slots.empty()) return drop(pack);
  CACS_TRY(
      store_document(backend_, DocumentKind::kDamage, keys_, damage_name(pack), to_json(pack, slots), Overwrite::kYes));
  const std::lock_guard lock(mutex_);
  slots_[pack] = slots;
  return {};
}

Status Quarantine::drop(const PackId& pack) {
  {
    const std::lock_guard lock(mutex_);
    if (!slots_.contains(pack)) return {};
  }
  auto removed = backend_.remove(damage_name(pack));
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
  const std::lock_guard lock(mutex_);
  slots_.erase(pack);
  return {};
}

std::vector<PackId> Quarantine::packs() const {
  const std::lock_guard lock(mutex_);
  std::vector<PackId> ids;
  for (const auto& [id, slots] : slots_) ids.push_back(id);
  return ids;
}

}  // namespace cacs::repository
