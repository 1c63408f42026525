#pragma once

#include <array>
#include <cstddef>

#include "base/result.h"
#include "repository/ref.h"
#include "repository/types.h"

namespace cacs::repository {

/// What ends a segment of one kind.
struct SegmentLimits {
  std::size_t slots = 0;  ///< at most kMaxSegmentSlots
  std::size_t bytes = 0;  ///< before compression
};

/// Content-defined chunks in bytes; the average is about min + 2^mask_bits. At most kMaxChunkBytes.
struct ChunkSizes {
  std::size_t unit = 4096;  ///< grain in which zeros are found
  std::size_t min = 0;
  std::size_t max = 0;
  unsigned mask_bits = 0;
};

/// Into what a writer cuts what it stores, by StreamKind. docs/repository.md has the measurement behind the values
/// (bench/repository_bench.cpp, which is what others are for): no reader depends on them, but what is cut otherwise
/// from one version to the next is stored anew.
struct StorageSizes {
  std::array<SegmentLimits, kStreamKinds> segments = {
      SegmentLimits{.slots = 64, .bytes = std::size_t{256} << 10U},
      SegmentLimits{.slots = kMaxSegmentSlots, .bytes = std::size_t{512} << 10U},
      SegmentLimits{.slots = kMaxSegmentSlots, .bytes = std::size_t{128} << 10U}};
  std::array<ChunkSizes, kStreamKinds> chunks = {
      ChunkSizes{},  // memory goes by pages
      ChunkSizes{.min = std::size_t{4} << 10U, .max = std::size_t{64} << 10U, .mask_bits = 14},
      ChunkSizes{.min = std::size_t{2} << 10U, .max = std::size_t{64} << 10U, .mask_bits = 13}};

  [[nodiscard]] const SegmentLimits& segment(StreamKind kind) const {
    return segments.at(static_cast<std::size_t>(kind));
  }
  [[nodiscard]] const ChunkSizes& chunk(StreamKind kind) const { return chunks.at(static_cast<std::size_t>(kind)); }
};

/// kInvalidArgument when readers would refuse what is written so.
Status check_sizes(const StorageSizes& sizes);

}  // namespace cacs::repository
