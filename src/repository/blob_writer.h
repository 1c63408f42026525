#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "repository/chunk_store.h"
#include "repository/format.h"
#include "repository/pack_writer.h"

namespace cacs::repository {

/// Stores a chunk unless it is stored already; returns its digest.
Result<Digest> store_chunk(std::span<const std::byte> raw, ChunkStore& chunks, PackWriter& packs);

/// Builds the tree of digests that is a blob, from its chunks in order. One thread at a time; one blob an object.
class BlobBuilder {
 public:
  BlobBuilder(ChunkStore& chunks, PackWriter& packs) : chunks_(chunks), packs_(packs) {}
  Status add_chunk(std::span<const std::byte> raw);
  Status add_zeros(std::uint64_t bytes);
  /// Stores what is left of the tree and returns its root.
  Result<BlobRef> finish();

 private:
  Status add_entry(std::size_t level, const NodeEntry& entry);
  Result<NodeEntry> store_node(std::size_t level);

  ChunkStore& chunks_;
  PackWriter& packs_;
  std::array<std::vector<NodeEntry>, kMaxBlobLevels> levels_;
  std::size_t top_ = 0;  ///< the highest level that has had entries
  std::uint64_t size_ = 0;
};

}  // namespace cacs::repository
