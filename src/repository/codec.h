#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "repository/format.h"

namespace cacs::repository {

/// Compresses and expands chunks, keeping zstd's working memory between calls. One thread at a time.
class ChunkCodec {
 public:
  ChunkCodec();
  ~ChunkCodec();
  ChunkCodec(const ChunkCodec&) = delete;
  ChunkCodec& operator=(const ChunkCodec&) = delete;
  ChunkCodec(ChunkCodec&&) noexcept;
  ChunkCodec& operator=(ChunkCodec&&) noexcept;

  /// What to store for `raw`: compressed where that saves at least a sixteenth, else `raw` itself. Valid until the next
  /// call.
  struct Packed {
    std::span<const std::byte> bytes;
    Codec codec = Codec::kNone;
  };
  Packed compress(std::span<const std::byte> raw);

  /// Expands `stored` to exactly out.size() bytes; kCorrupt if it does not.
  Status expand(std::span<const std::byte> stored, Codec codec, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cacs::repository
