#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "repository/chunk_store.h"
#include "repository/format.h"
#include "repository/types.h"

namespace cacs::repository {

/// Reads the node of a blob's tree with this digest, which has to be on `level` (any, if it is the root) and stand for
/// `size` bytes. kCorrupt otherwise.
Result<Node> read_node(ChunkStore& chunks, ChunkCodec& codec, const Digest& digest, std::uint64_t size);

/// Calls `visit` for the node, and for every node below it, before their entries are looked at; a visit that returns
/// false leaves out what is below. `leaf` is called for each chunk of level 0 (not for runs of zeros).
struct BlobVisitor {
  std::function<bool(const Digest& node)> enter;
  std::function<Status(const NodeEntry& chunk)> leaf;
};
Status walk_blob(ChunkStore& chunks, ChunkCodec& codec, const BlobRef& blob, const BlobVisitor& visitor);

class Sink;
/// Passes the blob's bytes to `sink` in order, then finishes it.
Status stream_blob(ChunkStore& chunks, const BlobRef& blob, Sink& sink);

/// Finds the chunk at an offset, keeping the nodes on the way to it. One thread at a time.
class BlobCursor {
 public:
  BlobCursor(ChunkStore& chunks, BlobRef blob) : chunks_(chunks), blob_(blob) {}

  struct Piece {
    std::uint64_t start = 0;  ///< in the blob
    NodeEntry entry;
  };
  /// What stands at `offset`, which is below the blob's size.
  Result<Piece> locate(std::uint64_t offset);
  /// The bytes of a chunk that locate() gave; valid until the next call.
  Result<std::span<const std::byte>> read_chunk(const NodeEntry& entry);
  /// Reads the root also of an empty blob.
  Status check_root();

 private:
  struct Step {
    Digest digest;
    std::uint64_t start = 0;
    Node node;
    std::vector<std::uint64_t> ends;  ///< of each entry, in the blob
  };
  Result<Step*> load(std::size_t depth, const Digest& digest, std::uint64_t start, std::uint64_t size);

  ChunkStore& chunks_;
  BlobRef blob_;
  ChunkCodec codec_;
  std::vector<Step> path_;  ///< from the root down
  std::vector<std::byte> chunk_;
  Digest chunk_digest_;
};

}  // namespace cacs::repository
