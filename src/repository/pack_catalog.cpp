#include "repository/pack_catalog.h"

#include <algorithm>
#include <utility>

#include "repository/layout.h"
#include "repository/pack_file.h"

namespace cacs::repository {

Status PackCatalog::refresh() {
  const std::scoped_lock one_at_a_time(refresh_mutex_);
  std::unordered_map<PackId, Pack> listed;
  std::vector<bool> before;  // whether each was known to be there
  {
    const std::shared_lock lock(mutex_);
    before.reserve(packs_.size());
    for (const auto& pack : packs_) before.push_back(pack.generation > 0);
  }
  CACS_TRY(backend_.list(std::string(kPackPrefix), [&](const ObjectInfo& object) -> Status {
    const auto name = parse_pack_name(object.name);
    if (!name) return {};
    // Others are on their way in or out.
    if (generation_of_ && name->generation != generation_of_(name->id)) return {};
    Pack& pack = listed[name->id];
    if (name->generation > pack.generation) {
      pack = {.id = name->id, .generation = name->generation, .size = object.size};
    }
    return {};
  }));
  const std::unique_lock lock(mutex_);
  // What was added while the store was listed may not have been listed, but is there.
  for (std::size_t number = 0; number < before.size(); ++number) {
    if (!before[number] || listed.contains(packs_[number].id)) continue;
    packs_[number].generation = 0;
    hooked_[number] = false;
    forgotten_hooks_ = true;
  }
  for (const auto& [id, pack] : listed) {
    Pack& mine = packs_[number_locked(id)];
    if (pack.generation > mine.generation || generation_of_) mine = pack;
  }
  std::erase_if(damaged_, [&](const auto& each) { return !listed.contains(*PackId::from_hex(each.first)); });
  return {};
}

Status PackCatalog::load_hooks() {
  std::vector<std::uint32_t> wanted;
  {
    const std::shared_lock lock(mutex_);
    for (std::uint32_t number = 0; number < packs_.size(); ++number) {
      if (packs_[number].generation > 0 && !hooked_[number]) wanted.push_back(number);
    }
  }
  for (const std::uint32_t number : wanted) {
    const Pack each = pack(number);
    auto hooks = read_pack_hooks(backend_, keys_, each.id, each.generation, each.size);
    const std::unique_lock lock(mutex_);
    if (hooks) {
      add_hooks_locked(number, *hooks);
    } else if (hooks.error().code == ErrorCode::kCorrupt || hooks.error().code == ErrorCode::kUnsupported) {
      damaged_.emplace(each.id.to_hex(), hooks.error());
    } else if (hooks.error().code != ErrorCode::kNotFound) {  // not found: collected since it was listed
      return hooks.error();
    }
    hooked_[number] = true;
  }
  return {};
}

std::uint32_t PackCatalog::number_locked(const PackId& id) {
  const auto [found, fresh] = numbers_.try_emplace(id, static_cast<std::uint32_t>(packs_.size()));
  if (fresh) {
    packs_.push_back({.id = id});
    hooked_.push_back(false);
  }
  return found->second;
}

std::uint32_t PackCatalog::number_of(const PackId& id) {
  {
    const std::shared_lock lock(mutex_);
    if (const auto found = numbers_.find(id); found != numbers_.end()) return found->second;
  }
  const std::unique_lock lock(mutex_);
  return number_locked(id);
}

PackCatalog::Pack PackCatalog::pack(std::uint32_t number) const {
  const std::shared_lock lock(mutex_);
  return packs_[number];
}

std::vector<std::uint32_t> PackCatalog::present() const {
  const std::shared_lock lock(mutex_);
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t number = 0; number < packs_.size(); ++number) {
    if (packs_[number].generation > 0) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end(), [&](auto one, auto other) { return packs_[one].id < packs_[other].id; });
  return numbers;
}

void PackCatalog::add_hooks_locked(std::uint32_t number, const std::vector<std::uint64_t>& hooks) {
  // The newest pack wins: what is stored with it is the likelier neighbourhood.
  for (const std::uint64_t hook : hooks) hooks_.insert_or_assign(hook, number);
}

std::uint32_t PackCatalog::add(const Pack& pack, const std::vector<std::uint64_t>& hooks) {
  const std::unique_lock lock(mutex_);
  const std::uint32_t number = number_locked(pack.id);
  packs_[number] = pack;
  hooked_[number] = true;
  add_hooks_locked(number, hooks);
  return number;
}

void PackCatalog::note(const Pack& pack) {
  const std::unique_lock lock(mutex_);
  packs_[number_locked(pack.id)] = pack;
}

void PackCatalog::forget(std::uint32_t number) {
  const std::unique_lock lock(mutex_);
  packs_[number].generation = 0;
  hooked_[number] = false;
  damaged_.erase(packs_[number].id.to_hex());
  forgotten_hooks_ = true;  // looking for its hooks among all would take a large repository seconds for each pack
}

void PackCatalog::drop_stale_hooks() {
  const std::unique_lock lock(mutex_);
  if (!std::exchange(forgotten_hooks_, false)) return;
  boost::unordered::erase_if(hooks_, [&](const auto& each) { return packs_[each.second].generation == 0; });
  hooks_.rehash(0);
}

std::uint32_t PackCatalog::find_hook(std::uint64_t hook) const {
  const std::shared_lock lock(mutex_);
  const auto found = hooks_.find(hook);
  if (found == hooks_.end() || packs_[found->second].generation == 0) return Ref::kNoPack;
  return found->second;
}

std::map<std::string, Error> PackCatalog::damaged() const {
  const std::shared_lock lock(mutex_);
  return damaged_;
}

std::size_t PackCatalog::memory_bytes() const {
  const std::shared_lock lock(mutex_);
  constexpr std::size_t kMapNode = sizeof(PackId) + sizeof(std::uint32_t) + 2 * sizeof(void*);
  return packs_.capacity() * sizeof(Pack) + numbers_.size() * (kMapNode + sizeof(void*)) +
         hooks_.bucket_count() * (sizeof(std::uint64_t) + sizeof(std::uint64_t) + 1);
}

}  // namespace cacs::repository
