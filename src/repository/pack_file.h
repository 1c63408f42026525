#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/codec/codec.h"
#include "repository/keys/sealing.h"
#include "repository/keys/tenant_keys.h"
#include "repository/pack_format.h"

namespace cacs::repository {

/// What one thread needs to read: working memory of ciphers and codecs. One thread at a time.
struct ReadContext {
  explicit ReadContext(const TenantKeys& keys) : hasher(keys.hasher()) {}
  ContentHasher hasher;
  SegmentCodec codec;
  std::vector<std::byte> sealed;
  std::vector<std::byte> packed;
};

/// A pack that was opened: its table, and what it takes to read its segments. Immutable; any thread.
struct OpenPack {
  PackId id;
  std::uint32_t generation = 0;
  std::string name;  ///< of the object
  Sealing sealing = Sealing::kNone;
  SecretKey key;
  std::string context;  ///< the header, which every segment authenticates
  SessionId creator;    ///< zeros where there is a gate
  PackTable table;
  std::vector<Slot> damaged;  ///< in quarantine, ascending

  [[nodiscard]] bool is_damaged(Slot slot) const;
  [[nodiscard]] std::size_t memory_bytes() const { return sizeof *this + table.memory_bytes() + damaged.size() * 4; }
};

/// Header and trailer are read and the parts that they promise authenticated against both. kNotFound when there is no
/// such object; kCorrupt names it.
Result<std::shared_ptr<OpenPack>> open_pack(Backend& backend, const TenantKeys& keys, const PackId& id,
                                            std::uint32_t generation, std::uint64_t size);
/// The ids that the sparse index knows the pack by; a small read.
Result<std::vector<std::uint64_t>> read_pack_hooks(Backend& backend, const TenantKeys& keys, const PackId& id,
                                                   std::uint32_t generation, std::uint64_t size);
/// One segment as it is stored.
Status load_segment(Backend& backend, const OpenPack& pack, std::uint32_t segment, std::vector<std::byte>& sealed);
/// What load_segment() gave, opened and expanded into `out`.
Status open_segment(const OpenPack& pack, std::uint32_t segment, std::span<const std::byte> sealed,
                    ReadContext& context, std::vector<std::byte>& out);
/// Both.
Status read_segment(Backend& backend, const OpenPack& pack, std::uint32_t segment, ReadContext& context,
                    std::vector<std::byte>& out);

/// Ends a pack that is being written: table, hooks, trailer; and commits it. `pack` has everything but `damaged`;
/// `end`: bytes written so far. Returns the size of the whole.
Result<std::uint64_t> finish_pack(ObjectWriter& object, const OpenPack& pack, std::span<const std::uint64_t> hooks,
                                  std::uint64_t end);

/// What authenticates the segments of a pack (its trailer is not known while they are sealed).
std::string segment_context(std::string_view header, std::uint32_t segment);

}  // namespace cacs::repository
