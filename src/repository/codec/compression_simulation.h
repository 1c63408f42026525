#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "repository/codec/compression_policy.h"

namespace cacs::repository::simulation {

/// Ingest of segments whose times and ratios are known for every candidate, so that a policy can be compared with what
/// any fixed choice would have cost. Time is summed, not spent.

inline constexpr std::size_t kSegmentBytes = std::size_t{256} << 10U;

/// How a kind of data behaves: what each candidate would take and leave, and what a sample of it looks like.
struct Behaviour {
  std::array<double, kCandidates.size()> nanoseconds{};  ///< a raw byte
  std::array<double, kCandidates.size()> ratio{};
  std::size_t sample = 0;  ///< which of samples() is shown
};

struct Segment {
  DataStream stream = DataStream::kMemory;
  std::size_t behaviour = 0;  ///< index into Scenario::behaviours
  double compress_noise = 1;
  double ratio_noise = 1;
  double upload_nanoseconds = 1;  ///< a stored byte
};

struct Scenario {
  std::vector<Behaviour> behaviours;
  std::vector<Segment> segments;
  std::vector<std::size_t> parts;  ///< where each part ends, in segments: something changes there
  std::size_t report_every = 1;    ///< uploads are told once so many segments
  Pipeline pipeline = Pipeline::kSequential;
  double preparation_nanoseconds = 0;  ///< a raw byte
  std::size_t queue = 8;               ///< segments between compression and upload, when overlapped

  /// Segments after a start or a change for which the policy may not know yet: four reports of uploads, and what is to
  /// be tried.
  [[nodiscard]] std::size_t warm_up() const { return 4 * report_every + kToTry; }
  static constexpr std::size_t kToTry = 32;

  [[nodiscard]] double compress_seconds(std::size_t segment, std::size_t candidate) const;
  [[nodiscard]] double stored_bytes(std::size_t segment, std::size_t candidate) const;
  [[nodiscard]] double upload_seconds(std::size_t segment, std::size_t candidate) const;
};

enum class Family {
  kSteady,           ///< nothing changes
  kRatioChanges,     ///< other data from part to part, looking the same or not
  kBandwidthChanges  ///< another bandwidth from part to part
};

/// What the samples are worth.
enum class Looks {
  kTelling,    ///< a look suggests a size, and kinds that alternate in a stream look different
  kMisleading  ///< any kind may have any look, and the same as another that alternates with it
};

Scenario make_scenario(Family family, Looks looks, Pipeline pipeline, std::uint64_t seed);

/// What is put through the simulation: the policy, or one with a planted mistake.
class Chooser {
 public:
  virtual ~Chooser() = default;
  virtual CompressionChoice choose(DataStream stream, std::size_t raw_bytes, std::span<const std::byte> sample) = 0;
  virtual void compressed(const CompressionChoice& choice, std::size_t raw, std::size_t stored, double seconds) = 0;
  virtual void uploaded(std::size_t bytes, double seconds) = 0;
  virtual void prepared(std::size_t raw, double seconds) = 0;
};

/// Seconds of each part: of its warm-up (the first Scenario::warm_up() segments) and of the rest.
struct PartSeconds {
  double warm_up = 0;
  double settled = 0;
};

struct Outcome {
  std::vector<PartSeconds> mixed;                                  ///< with the policy, by part
  std::array<std::vector<PartSeconds>, kCandidates.size()> fixed;  ///< with one candidate for all, by part
  double probe_loss = 0;       ///< seconds by which probes were slower than what was thought best (sequential only)
  double slowest_segment = 0;  ///< seconds of the slowest upload of a segment as it is
  std::uint64_t mixed_bytes = 0;

  /// Time with the policy over that of the best fixed candidate, the best of each part by itself. 1 is as good.
  [[nodiscard]] double settled_ratio() const;  ///< outside of the warm-ups
  [[nodiscard]] double whole_ratio() const;
  [[nodiscard]] double mixed_seconds() const;
};

Outcome run(const Scenario& scenario, Chooser& chooser);

}  // namespace cacs::repository::simulation
