#include "repository/sizes.h"

#include <fmt/format.h>

#include "repository/pack_format.h"

namespace cacs::repository {

namespace {

/// Packs are ended by their bytes alone, and the number of their segments is bounded.
constexpr std::size_t kLeastSegmentBytes = kPageBytes;

bool is_sound(const SegmentLimits& limits) {
  return limits.slots >= 1 && limits.slots <= kMaxSegmentSlots && limits.bytes >= kLeastSegmentBytes &&
         limits.bytes <= kMaxRawBytes;
}

bool is_sound(const ChunkSizes& sizes) {
  constexpr unsigned kMaskBits = 24;
  return sizes.unit >= 1 && sizes.unit <= kMaxChunkBytes && sizes.min >= 1 && sizes.min < sizes.max &&
         sizes.max <= kMaxChunkBytes && sizes.mask_bits >= 1 && sizes.mask_bits <= kMaskBits;
}

}  // namespace

Status check_sizes(const StorageSizes& sizes) {
  for (std::size_t kind = 0; kind < kStreamKinds; ++kind) {
    const bool chunked = kind != static_cast<std::size_t>(StreamKind::kMemory);
    if (is_sound(sizes.segments.at(kind)) && (!chunked || is_sound(sizes.chunks.at(kind)))) continue;
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("sizes of stream {}: what was written so could not be read", kind),
                      "repository/sizes.h has the limits");
  }
  return {};
}

}  // namespace cacs::repository
