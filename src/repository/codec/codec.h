#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"

namespace cacs::repository {

/// How a segment is compressed. The numbers stand in files.
enum class Codec : std::uint8_t { kNone = 0, kZstd = 1, kLz4 = 2 };

/// A codec and its level (zstd's; 0 for the others).
struct Compression {
  Codec codec = Codec::kNone;
  int level = 0;
  friend bool operator==(const Compression&, const Compression&) = default;
};

/// Compresses and expands segments of up to a few MiB, keeping the libraries' working memory between calls. One thread
/// at a time.
class SegmentCodec {
 public:
  SegmentCodec();
  ~SegmentCodec();
  SegmentCodec(const SegmentCodec&) = delete;
  SegmentCodec& operator=(const SegmentCodec&) = delete;
  SegmentCodec(SegmentCodec&&) noexcept;
  SegmentCodec& operator=(SegmentCodec&&) noexcept;

  /// Appends `raw` to `out`, compressed, and returns the codec it ended with: kNone, and the bytes as they are, where
  /// compression saves less than a thirty-second.
  Codec compress(std::span<const std::byte> raw, const Compression& how, std::vector<std::byte>& out);
  /// Expands `stored` to exactly out.size() bytes; kCorrupt if it does not. Takes any bytes whatsoever.
  Status expand(std::span<const std::byte> stored, Codec codec, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cacs::repository
