#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cacs::repository {

/// How a segment is compressed. The numbers stand in files.
enum class Codec : std::uint8_t { kNone = 0, kZstd = 1, kLz4 = 2 };

/// "none", "zstd", "lz4"; "unknown" for a number that stands for none of them.
std::string_view codec_name(Codec codec);

/// A codec and its level (zstd's, -7 to 19, 0 being zstd's own default; 0 for the others).
struct Compression {
  Codec codec = Codec::kNone;
  int level = 0;
  friend bool operator==(const Compression&, const Compression&) = default;
};

/// "zstd-3", "lz4", "none": for messages, metrics and tables.
std::string to_string(const Compression& compression);

/// What is longer is stored as it is, and no LZ4 block expands to more. A repository's segments are far shorter.
inline constexpr std::size_t kMaxSegmentBytes = std::size_t{1} << 30U;

/// Compresses and expands segments of up to a few MiB, keeping the libraries' working memory between calls. What is
/// kept grows with the longest segment seen (its length for compression, nothing for expansion) and the highest level
/// (about 0.6 MiB at level 1, about 3.5 MiB at level 6). One thread at a time.
class SegmentCodec {
 public:
  SegmentCodec();
  ~SegmentCodec();
  SegmentCodec(const SegmentCodec&) = delete;
  SegmentCodec& operator=(const SegmentCodec&) = delete;
  SegmentCodec(SegmentCodec&&) noexcept;
  SegmentCodec& operator=(SegmentCodec&&) noexcept;

  /// Appends `raw` to `out`, compressed, and returns the codec it ended with: kNone, and the bytes as they are, where
  /// compression saves less than a thirty-second. `raw` must not lie in `out`.
  Codec compress(std::span<const std::byte> raw, const Compression& how, std::vector<std::byte>& out);
  /// Expands `stored` to exactly out.size() bytes; kCorrupt if it does not. Takes any bytes whatsoever, and
  /// any number as codec; writes nothing outside of `out`, whose contents are undefined after a failure.
  Status expand(std::span<const std::byte> stored, Codec codec, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cacs::repository
