#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "repository/codec/codec.h"

namespace cacs::repository {

/// What may be chosen, each slower than the one before.
inline constexpr std::array<Compression, 5> kCompressionWays = {
    {{Codec::kNone, 0}, {Codec::kLz4, 0}, {Codec::kZstd, 1}, {Codec::kZstd, 3}, {Codec::kZstd, 6}}};

/// Decides for each segment of a stream how it is compressed, if at all: by the rule of Goiri et al. 2010 (equation 1),
///
///     t_compress + t_upload_compressed < t_upload_uncompressed,
///
/// taken for several ways to compress, of which the one with the least sum is chosen. All times are estimated from what
/// was just measured: of each stream and way, seconds and stored bytes for a raw byte; of the store, seconds for a
/// stored byte. What the other ways would take is found out by trying them, so seldom that all trials together
/// cost about a hundredth of the time. docs/compression.md has the measurements. Deterministic; there is no
/// clock here: the caller measures, and tells. Any thread; calls take a short lock.
class CompressionPolicy {
 public:
  /// `streams`: how many kinds of data there are, each with estimates of its own. `upload_seconds_per_byte`: what is
  /// believed of the store until the first upload.
  CompressionPolicy(std::size_t streams, double upload_seconds_per_byte);

  /// The way for the next segment of `raw_bytes`: an index of kCompressionWays.
  std::size_t choose(std::size_t stream, std::size_t raw_bytes);
  /// What came of it: `stored` bytes, in `seconds` of the ingest's time (with n threads that compress at once: an n-th
  /// of the thread's). Not calling it is harmless.
  void compressed(std::size_t stream, std::size_t way, std::size_t raw_bytes, std::size_t stored_bytes, double seconds);
  /// Seconds that storing took. A commit, which waits for bytes that were told before, tells 0 bytes.
  void uploaded(std::size_t stored_bytes, double seconds);
  /// From now on nothing else is chosen (an index of kCompressionWays); nothing: the policy decides.
  void use_only(std::optional<std::size_t> way);
  /// What every stored byte costs besides: a copy to a farther level.
  void set_further_upload(double seconds_per_byte);

  struct Estimate {
    double seconds_per_byte = 0;  ///< of raw bytes, to compress
    double ratio = 1;             ///< stored / raw
    bool measured = false;
  };
  [[nodiscard]] Estimate estimate(std::size_t stream, std::size_t way) const;
  [[nodiscard]] double upload_seconds_per_byte() const;
  [[nodiscard]] double further_upload_seconds_per_byte() const;

 private:
  static constexpr std::size_t kWays = kCompressionWays.size();
  struct Stream {
    std::array<Estimate, kWays> ways;
    std::array<double, kWays> weight{};   ///< raw bytes that the estimate stands on
    std::array<double, kWays> untried{};  ///< raw bytes of others since it was last chosen
    std::array<double, kWays> unheard{};  ///< raw bytes of others since it was last measured
    std::size_t best = 0;
  };

  static Estimate believed(const Stream& stream, std::size_t way);
  [[nodiscard]] double storing() const;
  [[nodiscard]] double cost(const Stream& stream, std::size_t way) const;
  [[nodiscard]] std::size_t cheapest(const Stream& stream) const;
  [[nodiscard]] bool is_worth_a_trial(const Stream& stream, std::size_t way, double raw_bytes) const;

  mutable std::mutex mutex_;
  std::vector<Stream> streams_;
  double upload_bytes_;  ///< and their seconds, those of long ago counting less
  double upload_seconds_;
  double further_ = 0;
  std::optional<std::size_t> only_;
};

}  // namespace cacs::repository
