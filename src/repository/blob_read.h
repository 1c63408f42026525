#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "repository/file_node.h"
#include "repository/pack_store.h"
#include "repository/page_ingest.h"
#include "repository/page_tree.h"
#include "repository/stream.h"
#include "repository/work_pool.h"

namespace cacs::repository {

/// A place in a blob, mostly moved forwards: the path to the last one is kept. One thread at a time.
class BlobCursor {
 public:
  /// Has to be opened before use.
  BlobCursor(PackStore& store, ReadContext& context, const BlobRef& blob)
      : store_(store), context_(context), blob_(blob) {}
  /// Reads the blob's head; kCorrupt when it is not what its name says.
  Status open();

  /// A part of the blob around an offset: one slot, or a run of zeros.
  struct Piece {
    std::uint64_t start = 0;
    std::uint64_t length = 0;
    Ref ref;  ///< none: zeros
  };
  /// `offset` is below the blob's size.
  Result<Piece> locate(std::uint64_t offset);
  /// The piece's bytes, verified. Valid until the next call.
  Result<std::span<const std::byte>> read(const Piece& piece);
  [[nodiscard]] const BlobRef& blob() const { return blob_; }

 private:
  struct Step {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    FileNode node;
    std::vector<std::uint64_t> ends;
  };
  Result<Piece> locate_chunk(std::uint64_t offset);
  Result<Piece> locate_page(std::uint64_t offset);
  Status load_step(std::size_t depth, const Ref& ref, std::uint64_t start, std::uint64_t size, std::uint8_t level);

  PackStore& store_;
  ReadContext& context_;
  BlobRef blob_;
  std::vector<Step> path_;               ///< kFile: from the root down
  std::optional<OpenPageMap> map_;       ///< kPages
  std::optional<PageTreeCursor> pages_;  ///< kPages
  std::vector<std::uint64_t> extent_ends_;
  Slice slice_;
};

/// As pread: fewer bytes only at the end of the blob.
Result<std::size_t> read_at(BlobCursor& cursor, std::uint64_t offset, std::span<std::byte> out);

/// Passes the blob's bytes to `sink` in order, zeros as holes, then finishes it.
Status stream_blob(PackStore& store, ReadContext& context, const BlobRef& blob, Sink& sink);

/// Fills an empty file with the blob, on all processors; zeros stay holes. `contexts`: one a worker.
Status restore_blob(PackStore& store, WorkPool& pool, std::vector<ReadContext>& contexts, const BlobRef& blob, int fd);

}  // namespace cacs::repository
