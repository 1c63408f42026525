#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "repository/keys/sealing.h"
#include "repository/sizes.h"
#include "repository/stream.h"

namespace cacs::repository {

/// 256 random numbers, from a key: without it nobody can tell from a content where its chunks end, nor from the lengths
/// of chunks what the content is.
using GearTable = std::array<std::uint64_t, 256>;
GearTable make_gear(const SecretKey& key);

/// Where the first chunk of `data` ends, by a gear hash (FastCDC, Xia et al., USENIX ATC 2016, without its normalised
/// second mask). At most data.size().
std::size_t find_cut(std::span<const std::byte> data, const ChunkSizes& sizes, const GearTable& gear);

/// Cuts a stream into chunks and runs of zeros, in order. Where the cuts fall depends on the bytes alone, not on which
/// of the zeros were holes, nor on how many bytes each read gives.
class Chunker {
 public:
  struct Output {
    std::function<Status(std::span<const std::byte> chunk)> chunk;
    std::function<Status(std::uint64_t bytes)> zeros;
  };
  /// `gear` has to live as long.
  Chunker(const ChunkSizes& sizes, const GearTable& gear);
  /// Reads `source` to its end. May be called again for the next stream.
  Status run(Source& source, const Output& output);

 private:
  Status fill(Source& source);
  Status cut(const Output& output);
  [[nodiscard]] std::size_t find_zero_unit(std::size_t from, std::size_t limit) const;
  [[nodiscard]] std::size_t zero_run_length(std::size_t from, std::size_t limit) const;
  void drop_front(std::size_t bytes);

  ChunkSizes sizes_;
  const GearTable& gear_;
  std::vector<std::byte> window_;
  std::size_t filled_ = 0;
  std::uint64_t position_ = 0;  ///< in the stream, of window_[0]
  bool at_end_ = false;
  bool at_hole_ = false;  ///< a hole of at least a unit comes next
};

}  // namespace cacs::repository
