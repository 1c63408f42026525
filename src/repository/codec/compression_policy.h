#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>

#include "repository/codec/codec.h"
#include "repository/codec/decayed_ratio.h"
#include "repository/codec/texture.h"

namespace cacs::repository {

/// What kind of data a segment is of: each has estimates of its own.
enum class DataStream : std::uint8_t { kMemory, kFile, kMetadata };
inline constexpr std::size_t kDataStreams = 3;

/// What may be chosen, from the fastest to the smallest (docs/compression.md says why these).
inline constexpr std::array<Compression, 5> kCandidates = {
    {{Codec::kNone, 0}, {Codec::kLz4, 0}, {Codec::kZstd, 1}, {Codec::kZstd, 3}, {Codec::kZstd, 6}}};

enum class Preference {
  kTime,   ///< the earliest end of the ingest
  kSpace,  ///< the fewest bytes with which the ingest takes at most space_bound times as long as the fastest
};

enum class Pipeline {
  kSequential,  ///< a segment is compressed, then uploaded, then the next: times add, as in the paper's rule
  kOverlapped,  ///< compression of the next segments goes on while one is uploaded: the longer of the two sums counts
};

struct PolicySettings {
  Preference prefer = Preference::kTime;
  double space_bound = 1.25;  ///< for kSpace; taken as 1 if less, 10 if more
  Pipeline pipeline = Pipeline::kSequential;
  /// Share of all time that trying other candidates may cost; taken as 0 if less, 0.02 if more. With 0 nothing is
  /// tried.
  double exploration = 0.015;
  double start_upload_seconds_per_byte = 1.0 / 110e6;  ///< believed until the first upload: gigabit Ethernet
  std::uint64_t seed = 1;                              ///< same seed and same calls, same choices
};

/// What choose() said, to be handed back to compressed() with the result.
struct CompressionChoice {
  Compression how;
  bool probe = false;     ///< chosen to learn, not because it is thought best
  Compression otherwise;  ///< what is thought best; `how` unless probe
  // The policy's own notes.
  DataStream stream = DataStream::kMemory;
  std::uint8_t texture = 0;
  std::uint8_t candidate = 0;
  double expected_loss = 0;  ///< seconds booked for a probe
  double best_seconds = 0;   ///< a raw byte, of what is thought best
};

/// What the policy believes of a candidate for segments like a given one.
struct CompressionEstimate {
  double seconds_per_byte = 0;  ///< of raw bytes, to compress
  double ratio = 1;             ///< stored / raw
};

struct PolicyReport {
  std::array<std::uint64_t, kCandidates.size()> chosen{};  ///< segments, by candidate
  std::uint64_t probes = 0;                                ///< segments among them chosen to learn
  double probe_loss_seconds = 0;                           ///< what the probes cost, as far as it can be told
  double total_seconds = 0;                                ///< of compression and upload, as estimated when chosen
  double upload_seconds_per_byte = 0;                      ///< of stored bytes, as believed now
};

/// Decides for every segment whether, and how, it is compressed: so that
///
///     t_compress + t_upload_compressed < t_upload_uncompressed
///
/// (Goiri et al. 2010, equation 1), with several ways to compress: the one with the least sum, and none where no sum is
/// less than the plain upload's. The times are estimated from those of earlier segments that were alike: the same
/// stream, the same texture (texture.h), the same candidate. There is no clock here: the caller measures and tells.
/// Threads: any; calls take a short lock. With n threads that compress at once, tell the seconds divided by n.
class CompressionPolicy {
 public:
  explicit CompressionPolicy(const PolicySettings& settings = {});

  /// How to compress a segment of `raw_bytes`. `sample`: the segment, or part of it (a KiB of it is looked at, spread
  /// over the whole; nothing is kept); empty if it cannot be shown. About a microsecond.
  CompressionChoice choose(DataStream stream, std::size_t raw_bytes, std::span<const std::byte> sample);

  /// What came of a choice: `stored` bytes in `seconds` of compression. Not calling it (the segment was not stored
  /// after all) is harmless.
  void compressed(const CompressionChoice& choice, std::size_t raw_bytes, std::size_t stored_bytes, double seconds);

  /// Stored bytes that reached the destination, and how long that took, in units of which each carries its own cost: if
  /// a commit waits for the disk, tell bytes and seconds of the object, commit included, not of its pieces.
  void uploaded(std::size_t stored_bytes, double seconds);

  /// What the thread that compresses does besides (reading, hashing, sealing), for Pipeline::kOverlapped: if that alone
  /// takes longer than uploading, compression only adds to it. Not needed with kSequential.
  void prepared(std::size_t raw_bytes, double seconds);

  /// For metrics and tests. `candidate` is an index of kCandidates.
  [[nodiscard]] CompressionEstimate estimate(DataStream stream, std::size_t texture, std::size_t candidate) const;
  [[nodiscard]] PolicyReport report() const;

 private:
  /// One candidate for one texture of one stream. Nothing is known before the first result but what is assumed.
  struct Known {
    std::optional<DecayedRatio> seconds;
    std::optional<DecayedRatio> ratio;
    double measured_at = 0;  ///< Cell::bytes then
  };
  struct Cell {
    std::array<Known, kCandidates.size()> known;
    double bytes = 0;                     ///< raw, of all results
    std::optional<double> seconds_scale;  ///< the same of seconds
    double ratio_scale = 1;  ///< how ratios of this cell, where measured last, compare with what was assumed
  };

  [[nodiscard]] CompressionEstimate believed(const Cell& cell, std::size_t texture, std::size_t candidate) const;
  [[nodiscard]] double cost(const CompressionEstimate& estimate) const;
  [[nodiscard]] double time(const CompressionEstimate& estimate) const;
  [[nodiscard]] std::size_t best(const Cell& cell, std::size_t texture) const;
  [[nodiscard]] std::optional<std::size_t> pick_probe(const Cell& cell, std::size_t texture, std::size_t best,
                                                      double raw_bytes);
  [[nodiscard]] bool could_be_better(const Cell& cell, std::size_t texture, std::size_t candidate,
                                     const CompressionEstimate& thought_best) const;
  static void follow(Cell& cell, std::size_t candidate, double seconds_factor, double ratio_factor);
  void follow_balance(const CompressionEstimate& chosen);
  double random();

  const PolicySettings settings_;
  mutable std::mutex mutex_;
  std::array<std::array<Cell, kTextures>, kDataStreams> cells_;
  DecayedRatio upload_;
  bool upload_known_ = false;
  DecayedRatio preparation_;
  double machine_ = 1;   ///< how compression's seconds compare with what was assumed, over all that was measured
  double weight_ = 0.5;  ///< of compression's seconds against upload's: one half each is the paper's rule
  double balance_scale_ = 0;
  std::uint64_t random_state_;
  PolicyReport report_;
};

}  // namespace cacs::repository
