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
  const std::scoped_lock one_at_a_time(store_mutex_);
  std::vector<PackId> listed;
  CACS_TRY(backend_.list(std::string(kDamagePrefix), [&](const ObjectInfo& object) -> Status {
    const auto id = PackId::from_hex(std::string_view(object.name).substr(kDamagePrefix.size()));
    if (id) listed.push_back(*id);
    return {};
  }));
  // All of them are read each time: another process may have found more in a pack that is known here, and in a sound
  // repository there is none.
  std::unordered_map<PackId, std::vector<Slot>> now;
  std::vector<PackId> unreadable;
  for (const PackId& id : listed) {
    const auto json = load_document(backend_, DocumentKind::kDamage, keys_, damage_name(id));
    auto slots = json ? from_json(*json, id) : Result<std::vector<Slot>>(json.error());
    if (slots) {
      now.emplace(id, *std::move(slots));
    } else if (slots.error().code == ErrorCode::kCorrupt || slots.error().code == ErrorCode::kUnsupported) {
      spdlog::warn("quarantine of pack {}: {}", id.to_hex(), slots.error().to_string());
      if (slots.error().code == ErrorCode::kCorrupt) unreadable.push_back(id);
    } else if (slots.error().code != ErrorCode::kNotFound) {
      return slots.error();
    }
  }
  std::vector<PackId> fresh;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, slots] : now) {
    const auto known = slots_.find(id);
    if (known == slots_.end() || known->second != slots) fresh.push_back(id);
  }
  for (const auto& [id, slots] : slots_) {
    if (!now.contains(id)) fresh.push_back(id);
  }
  slots_ = std::move(now);
  unreadable_ = std::move(unreadable);
  return fresh;
}

std::vector<PackId> Quarantine::unreadable() const {
  const std::lock_guard lock(mutex_);
  return unreadable_;
}

std::vector<Slot> Quarantine::slots(const PackId& pack) const {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(pack);
  return found == slots_.end() ? std::vector<Slot>() : found->second;
}

Status Quarantine::put(const PackId& pack, const std::vector<Slot>& slots) {
  if (slots.empty()) return drop(pack);
  const std::scoped_lock one_at_a_time(store_mutex_);
  CACS_TRY(
      store_document(backend_, DocumentKind::kDamage, keys_, damage_name(pack), to_json(pack, slots), Overwrite::kYes));
  const std::lock_guard lock(mutex_);
  slots_[pack] = slots;
  return {};
}

Status Quarantine::drop(const PackId& pack) {
  const std::scoped_lock one_at_a_time(store_mutex_);
  {
    const std::lock_guard lock(mutex_);
    if (!slots_.contains(pack) && std::ranges::find(unreadable_, pack) == unreadable_.end()) return {};
  }
  auto removed = backend_.remove(damage_name(pack));
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
  const std::lock_guard lock(mutex_);
  slots_.erase(pack);
  std::erase(unreadable_, pack);
  return {};
}

std::vector<PackId> Quarantine::packs() const {
  const std::lock_guard lock(mutex_);
  std::vector<PackId> ids;
  for (const auto& [id, slots] : slots_) ids.push_back(id);
  return ids;
}

}  // namespace cacs::repository
