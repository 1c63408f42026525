#pragma once

#include <boost/unordered/unordered_flat_map.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/codec/compression_policy.h"
#include "repository/lru.h"
#include "repository/pack_catalog.h"
#include "repository/pack_file.h"
#include "repository/quarantine.h"

namespace cacs::repository {

/// Bytes of a slot, and what keeps them alive.
struct Slice {
  std::shared_ptr<const std::vector<std::byte>> segment;
  std::span<const std::byte> bytes;
};

/// Where else a slot may be had: another level of the same repository (levels/). Any thread.
class SlotSource {
 public:
  virtual ~SlotSource() = default;
  /// The content of a slot, checked against its id.
  virtual Result<Slice> read_slot(const PackId& pack, Slot slot, ReadContext& context) = 0;
};

/// The packs of a repository: what is where, and the bytes. Memory is bounded whatever the repository's size, but for
/// the sparse index: tables of packs and expanded segments are kept up to a limit, the ones used last. Any thread.
///
/// A slot found damaged is put into quarantine, durably: from then on writers take it for not there, and store its
/// content anew, so that no new checkpoint shares the damage; and any other copy of the same content serves the old
/// checkpoints too.
class PackStore {
 public:
  PackStore(Backend& backend, const TenantKeys& keys);

  /// Where collectors work beside writers: finds a pack by its name, in the generation that counts; `again`: looks
  /// anew which that is. kNotFound when it is not there. Before any other call.
  using Locate = std::function<Result<PackCatalog::Pack>(const PackId& id, bool again)>;
  void set_locate(Locate locate) { locate_ = std::move(locate); }

  PackCatalog& catalog() { return catalog_; }
  Quarantine& quarantine_list() { return quarantine_; }
  /// Of what is written here, learned over all sessions: stream 0 is memory, 1 files.
  CompressionPolicy& compression() { return compression_; }
  /// Takes in what other processes have stored or removed.
  Status refresh();

  /// The pack, opened. kCorrupt when it is not there or damaged: what names it cannot be whole.
  Result<std::shared_ptr<const OpenPack>> open(std::uint32_t number);
  /// Id, offset and length of a slot; kCorrupt as open(), or when the pack has no such slot.
  Result<SlotPlace> place(const Ref& ref);
  /// Whether the slot is there, undamaged as far as is known.
  Result<bool> contains(const Ref& ref);

  /// The content of a slot, checked against its id. What is not here, or damaged here, comes from elsewhere, if
  /// anywhere; kUnavailable when only a source that does not answer can have it.
  Result<Slice> read(const Ref& ref, ReadContext& context);
  /// Before any other call; outlives this. Asked by read() alone: what writers build on has to be here.
  void set_elsewhere(SlotSource* elsewhere) { elsewhere_ = elsewhere; }

  /// Loads the tables of the packs that have one of these ids for a hook, so that find() sees them.
  Status warm(std::span<const ContentId> ids);
  /// A slot with this content in one of the tables that are loaded.
  [[nodiscard]] std::optional<Ref> find(const ContentId& id);
  /// A pack that was written by us and is durable.
  std::uint32_t add(std::shared_ptr<OpenPack> pack, std::uint64_t size, const std::vector<std::uint64_t>& hooks);
  /// The pack is gone.
  void forget(std::uint32_t number);
  /// The table is read again when it is next needed.
  void drop_table(std::uint32_t number);
  /// Every slot of the pack read and checked; what is damaged goes into quarantine, durably.
  Status quarantine(std::uint32_t number);
  [[nodiscard]] std::uint64_t quarantines() const { return quarantines_; }
  [[nodiscard]] std::size_t memory_bytes();

 private:
  using Segment = std::shared_ptr<const std::vector<std::byte>>;
  Result<std::shared_ptr<const OpenPack>> load(std::uint32_t number);
  Result<PackCatalog::Pack> locate(std::uint32_t number, bool again);
  void insert_table(std::uint32_t number, const std::shared_ptr<const OpenPack>& pack);
  void drop_table_ids(std::uint32_t number, const OpenPack& pack);
  Result<Segment> segment(std::uint32_t number, const OpenPack& pack, std::uint32_t segment, ReadContext& context);
  Result<Slice> read_here(const Ref& ref, ReadContext& context, ContentId& id);
  Result<Slice> read_elsewhere(const Ref& ref, const Error& why, ReadContext& context);
  bool is_absent(std::uint32_t number);
  void note_absent(std::uint32_t number);
  Result<Slice> read_copy(const Ref& damaged, const ContentId& id, const Error& why, ReadContext& context);
  [[nodiscard]] Error missing(std::uint32_t number) const;

  Backend& backend_;
  const TenantKeys& keys_;
  PackCatalog catalog_;
  Quarantine quarantine_;
  CompressionPolicy compression_;
  SlotSource* elsewhere_ = nullptr;
  Locate locate_;  ///< null: the catalogue says where packs are

  std::mutex tables_mutex_;
  LruCache<std::uint32_t, std::shared_ptr<const OpenPack>> tables_;
  boost::unordered_flat_map<std::uint64_t, std::uint64_t> ids_;  ///< of tables_: prefix to pack << 32 | slot
  std::set<std::uint32_t> absent_;  ///< not here when last looked for, and had elsewhere: not looked for at each slot

  std::mutex segments_mutex_;
  LruCache<std::uint64_t, Segment> segments_;
  std::mutex quarantine_mutex_;  ///< one pack at a time
  std::atomic<std::uint64_t> quarantines_ = 0;
};

}  // namespace cacs::repository
