#include "repository/pack_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "repository/codec/data_class.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kTableBytes = std::size_t{64} << 20U;
constexpr std::size_t kSegmentBytes = std::size_t{48} << 20U;
/// What an id in PackStore::ids_ takes.
constexpr std::size_t kIdCost = 20;

constexpr std::uint64_t packed(std::uint32_t number, std::uint32_t low) {
  return (static_cast<std::uint64_t>(number) << 32U) | low;
}

/// Believed of a store until something was written to it: a disk of this machine, a Gigabit network.
constexpr double kDiskSecondsPerByte = 1 / 300e6;
constexpr double kNetworkSecondsPerByte = 1 / 100e6;

bool is_damage(const Error& error) {
  return error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kUnsupported;
}

}  // namespace

PackStore::PackStore(Backend& backend, const TenantKeys& keys)
    : backend_(backend),
      keys_(keys),
      catalog_(backend, keys),
      quarantine_(backend, keys),
      compression_(2 * kDataClasses, backend.traits().local ? kDiskSecondsPerByte : kNetworkSecondsPerByte),
      tables_(kTableBytes),
      segments_(kSegmentBytes) {}

Status PackStore::refresh() {
  CACS_TRY(catalog_.refresh());
  {
    const std::lock_guard lock(tables_mutex_);
    absent_.clear();
    tables_.erase_if(
        [&](std::uint32_t number, const auto& pack) { return catalog_.pack(number).generation != pack->generation; },
        [&](auto& pack) { drop_table_ids(catalog_.number_of(pack->id), *pack); });
  }
  CACS_ASSIGN(const auto quarantined, quarantine_.refresh());
  for (const auto& id : quarantined) {
    const std::uint32_t number = catalog_.number_of(id);
    const std::lock_guard lock(tables_mutex_);
    tables_.erase(number, [&](auto& pack) { drop_table_ids(number, *pack); });
  }
  return {};
}

Error PackStore::missing(std::uint32_t number) const {
  std::string text = fmt::format("pack {} is not there", catalog_.id_of(number).to_hex());
  return corrupt(std::move(text));
}

// --- tables ----------------------------------------------------------------------------------------------------------

/// Where the pack is, as far as is known. Generation 0: it is not there. `again`: it was not there.
Result<PackCatalog::Pack> PackStore::locate(std::uint32_t number, bool again) {
  if (!locate_) {
    // Another process has stored it since, or a collection has put the next generation in its place.
    if (again) CACS_TRY(catalog_.refresh());
    return catalog_.pack(number);
  }
  const auto known = catalog_.pack(number);
  if (!again && known.generation != 0) return known;
  auto found = locate_(known.id, again);
  if (!found && found.error().code == ErrorCode::kNotFound) return PackCatalog::Pack{.id = known.id};
  if (found) catalog_.note(*found);
  return found;
}

Result<std::shared_ptr<const OpenPack>> PackStore::load(std::uint32_t number) {
  for (const bool again : {false, true}) {
    CACS_ASSIGN(const auto known, locate(number, again));
    if (known.generation == 0) continue;
    auto pack = open_pack(backend_, keys_, known.id, known.generation, known.size);
    if (!pack && pack.error().code == ErrorCode::kNotFound) continue;
    if (!pack) return pack.error();
    (*pack)->damaged = quarantine_.slots(known.id);
    return std::shared_ptr<const OpenPack>(*std::move(pack));
  }
  return missing(number);
}

Result<std::shared_ptr<const OpenPack>> PackStore::open(std::uint32_t number) {
  {
    const std::lock_guard lock(tables_mutex_);
    if (const auto* found = tables_.find(number)) return *found;
  }
  CACS_ASSIGN(auto pack, load(number));
  insert_table(number, pack);
  return pack;
}

void PackStore::insert_table(std::uint32_t number, const std::shared_ptr<const OpenPack>& pack) {
  const std::lock_guard lock(tables_mutex_);
  if (tables_.find(number) != nullptr) return;
  pack->table.for_each([&](Slot slot, const SlotPlace& place) {
    if (!pack->is_damaged(slot)) ids_.try_emplace(place.id.prefix(), packed(number, slot));
  });
  tables_.insert(number, pack, pack->memory_bytes() + pack->table.slots() * kIdCost,
                 [&](auto& evicted) { drop_table_ids(catalog_.number_of(evicted->id), *evicted); });
}

void PackStore::drop_table_ids(std::uint32_t number, const OpenPack& pack) {
  pack.table.for_each([&](Slot slot, const SlotPlace& place) {
    const auto found = ids_.find(place.id.prefix());
    if (found != ids_.end() && found->second == packed(number, slot)) ids_.erase(found);
  });
}

Result<SlotPlace> PackStore::place(const Ref& ref) {
  CACS_ASSIGN(const auto pack, open(ref.pack));
  const auto place = pack->table.place(ref.slot);
  if (!place) {
    return corrupt(
        fmt::format("pack {} has no slot {}:{}", pack->id.to_hex(), segment_of(ref.slot), index_of(ref.slot)));
  }
  return *place;
}

Result<bool> PackStore::contains(const Ref& ref) {
  const auto pack = open(ref.pack);
  if (!pack && is_damage(pack.error())) return false;
  if (!pack) return pack.error();
  return (*pack)->table.place(ref.slot).has_value() && !(*pack)->is_damaged(ref.slot);
}

Status PackStore::warm(std::span<const ContentId> ids) {
  for (const auto& id : ids) {
    if ((id.prefix() & 15U) != 0) continue;  // never a hook (is_hook)
    const std::uint32_t number = catalog_.find_hook(id.prefix());
    if (number == Ref::kNoPack) continue;
    const auto pack = open(number);
    // One that cannot be opened is of no use here, and no harm.
    if (!pack && !is_damage(pack.error()) && pack.error().code != ErrorCode::kNotFound) return pack.error();
  }
  return {};
}

std::optional<Ref> PackStore::find(const ContentId& id) {
  const std::lock_guard lock(tables_mutex_);
  const auto found = ids_.find(id.prefix());
  if (found == ids_.end()) return std::nullopt;
  const Ref ref{.pack = static_cast<std::uint32_t>(found->second >> 32U),
                .slot = static_cast<Slot>(found->second & 0xffffffffU)};
  const auto* pack = tables_.find(ref.pack);
  if (pack == nullptr || catalog_.pack(ref.pack).generation == 0) return std::nullopt;
  const auto place = (*pack)->table.place(ref.slot);
  if (!place || place->id != id) return std::nullopt;
  return ref;
}

std::uint32_t PackStore::add(std::shared_ptr<OpenPack> pack, std::uint64_t size,
                             const std::vector<std::uint64_t>& hooks) {
  const std::uint32_t number = catalog_.add({.id = pack->id, .generation = pack->generation, .size = size}, hooks);
  {
    const std::lock_guard lock(tables_mutex_);
    absent_.erase(number);
    tables_.erase(number, [&](auto& before) { drop_table_ids(number, *before); });
  }
  pack->damaged = quarantine_.slots(pack->id);
  insert_table(number, std::move(pack));
  return number;
}

void PackStore::forget(std::uint32_t number) {
  catalog_.forget(number);
  drop_table(number);
}

void PackStore::drop_table(std::uint32_t number) {
  const std::lock_guard lock(tables_mutex_);
  tables_.erase(number, [&](auto& pack) { drop_table_ids(number, *pack); });
}

// --- reading ---------------------------------------------------------------------------------------------------------

Result<PackStore::Segment> PackStore::segment(std::uint32_t number, const OpenPack& pack, std::uint32_t segment,
                                              ReadContext& context) {
  // A later generation has the same slots, but lays them out anew.
  const std::uint64_t key = packed(number, ((pack.generation & 0xffffU) << 16U) | segment);
  {
    const std::lock_guard lock(segments_mutex_);
    if (const auto* found = segments_.find(key)) return *found;
  }
  auto bytes = std::make_shared<std::vector<std::byte>>();
  CACS_TRY(read_segment(backend_, pack, segment, context, *bytes));
  const std::lock_guard lock(segments_mutex_);
  segments_.insert(key, bytes, bytes->size());
  return Segment(std::move(bytes));
}

/// From where the ref points to; `id` is what it should be, when that much is known.
Result<Slice> PackStore::read_here(const Ref& ref, ReadContext& context, ContentId& id) {
  for (const bool again : {false, true}) {
    CACS_ASSIGN(const auto pack, open(ref.pack));
    const auto place = pack->table.place(ref.slot);
    if (!place) return this->place(ref).error();
    id = place->id;
    auto bytes = segment(ref.pack, *pack, segment_of(ref.slot), context);
    if (!bytes && bytes.error().code == ErrorCode::kNotFound && !again) {
      // A collection has put the next generation in its place since it was opened.
      forget(ref.pack);
      continue;
    }
    if (!bytes) return bytes.error();
    Slice slice{.segment = *bytes, .bytes = std::span(**bytes).subspan(place->offset, place->length)};
    if (context.hasher(slice.bytes) != place->id) {
      return corrupt(fmt::format("pack {}, slot {}:{}: the content is not what its id says", pack->id.to_hex(),
                                 segment_of(ref.slot), index_of(ref.slot)));
    }
    return slice;
  }
  return missing(ref.pack);
}

bool PackStore::is_absent(std::uint32_t number) {
  const std::lock_guard lock(tables_mutex_);
  return absent_.contains(number);
}

void PackStore::note_absent(std::uint32_t number) {
  if (catalog_.pack(number).generation != 0) return;
  const std::lock_guard lock(tables_mutex_);
  absent_.insert(number);
}

Result<Slice> PackStore::read_elsewhere(const Ref& ref, const Error& why, ReadContext& context) {
  auto slice = elsewhere_->read_slot(catalog_.id_of(ref.pack), ref.slot, context);
  if (slice) return slice;
  const bool may_pass = slice.error().code == ErrorCode::kUnavailable || slice.error().code == ErrorCode::kTimeout;
  // What may be whole there is not lost.
  if (may_pass) return slice.error().with_context(why.message + "; read it from the next level");
  Error both = why;
  both.message += "; nor can the next level give it: " + slice.error().message;
  return both;
}

Result<Slice> PackStore::read(const Ref& ref, ReadContext& context) {
  if (elsewhere_ != nullptr && is_absent(ref.pack)) return read_elsewhere(ref, missing(ref.pack), context);
  ContentId id;
  auto slice = read_here(ref, context, id);
  if (slice) return slice;
  Error why = slice.error();
  if (why.code != ErrorCode::kCorrupt) return elsewhere_ == nullptr ? slice : read_elsewhere(ref, why, context);
  const auto pack = open(ref.pack);
  // The whole pack is read for its quarantine: not again for each slot that is known to be damaged.
  const bool known = pack && (*pack)->is_damaged(ref.slot);
  if (const Status put = known ? Status() : quarantine(ref.pack); !put) {
    spdlog::warn("{}; it could not be put into quarantine: {}", why.message, put.error().to_string());
  }
  if (elsewhere_ != nullptr) {
    note_absent(ref.pack);
    auto there = read_elsewhere(ref, why, context);
    if (there) return there;
    why = there.error();
  }
  if (id == ContentId{}) return why;  // the table itself is damaged: nothing says what to look for
  return read_copy(ref, id, why, context);
}

/// Looks through all packs for the same content: slow, for where damage has been found.
Result<Slice> PackStore::read_copy(const Ref& damaged, const ContentId& id, const Error& why, ReadContext& context) {
  auto numbers = catalog_.present();
  std::reverse(numbers.begin(), numbers.end());  // the newest first
  for (const std::uint32_t number : numbers) {
    const auto pack = open(number);
    if (!pack) continue;
    std::optional<Slot> found;
    (*pack)->table.for_each([&](Slot slot, const SlotPlace& place) {
      if (place.id == id && !(*pack)->is_damaged(slot)) found = slot;
    });
    if (!found) continue;
    // The damaged place itself, when it was sound as it was read again: the memory's fault, or the cable's.
    ContentId again;
    auto slice = read_here({.pack = number, .slot = *found}, context, again);
    if (slice) return slice;
  }
  return why.with_context(fmt::format("slot {}:{} is damaged, and there is no other copy", segment_of(damaged.slot),
                                      index_of(damaged.slot)));
}

// --- quarantine ------------------------------------------------------------------------------------------------------

Status PackStore::quarantine(std::uint32_t number) {
  const std::scoped_lock one_at_a_time(quarantine_mutex_);
  auto pack = load(number);
  if (!pack) return {};  // its table cannot be read, so nobody builds on it anyway
  ReadContext context(keys_);
  std::vector<Slot> damaged;
  std::vector<std::byte> bytes;
  for (std::uint32_t segment = 0; segment < (*pack)->table.segments().size(); ++segment) {
    const auto& info = (*pack)->table.segments()[segment];
    if (info.slots == 0) continue;
    auto status = read_segment(backend_, **pack, segment, context, bytes);
    if (!status && !is_damage(status.error())) return status;
    for (std::uint32_t index = 0; index < info.slots; ++index) {
      const auto place = (*pack)->table.place(make_slot(segment, index));
      if (!place) continue;
      const bool sound =
          status.ok() && context.hasher(std::span(bytes).subspan(place->offset, place->length)) == place->id;
      if (!sound) damaged.push_back(make_slot(segment, index));
    }
  }
  if (damaged == (*pack)->damaged) return {};
  CACS_TRY(quarantine_.put((*pack)->id, damaged));
  ++quarantines_;
  spdlog::warn("pack {}: {} slots are damaged and in quarantine", (*pack)->id.to_hex(), damaged.size());
  const std::lock_guard lock(tables_mutex_);
  tables_.erase(number, [&](auto& before) { drop_table_ids(number, *before); });
  return {};
}

std::size_t PackStore::memory_bytes() {
  std::size_t bytes = catalog_.memory_bytes();
  {
    const std::lock_guard lock(tables_mutex_);
    bytes += tables_.used_bytes();
  }
  const std::lock_guard lock(segments_mutex_);
  return bytes + segments_.used_bytes();
}

}  // namespace cacs::repository
