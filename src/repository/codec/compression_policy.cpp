#include "repository/codec/compression_policy.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cacs::repository {

namespace {

constexpr double kMiB = 1048576;

/// Believed of a way until it is measured: roughly what memory of programs gives on a core of 2.5 GHz. Which way is
/// tried first, and when, hangs on it; nothing is chosen for good without a result of its own.
constexpr std::array<CompressionPolicy::Estimate, kCompressionWays.size()> kAssumed = {{
    {.seconds_per_byte = 0.05e-9, .ratio = 1, .measured = false},
    {.seconds_per_byte = 1.5e-9, .ratio = 0.6, .measured = false},
    {.seconds_per_byte = 3e-9, .ratio = 0.5, .measured = false},
    {.seconds_per_byte = 5e-9, .ratio = 0.47, .measured = false},
    {.seconds_per_byte = 14e-9, .ratio = 0.45, .measured = false},
}};
constexpr std::size_t kNone = 0;
constexpr std::size_t kFirst = 2;  ///< where a stream begins that does not know the store: zstd at its fastest

/// How much of the past an estimate stands on: long enough to even out a scheduler's whims, short enough to follow a
/// program into another phase.
constexpr double kWindow = 8 * kMiB;
constexpr double kUploadWindow = 64 * kMiB;
/// What is believed of the store at the beginning counts like so much that was stored.
constexpr double kBelievedBytes = kMiB / 2;

/// Segments are chosen for some at a time, before the results of the first are there.
constexpr double kNextBatch = 2 * kMiB;
/// How much less the first result of a way counts than the next.
constexpr double kFirstResult = 1.0 / 16;

/// Of all time, what trying the other ways may cost.
constexpr double kTrials = 0.01;
/// A way that was never tried, or not for a long time, may be this much better than believed.
constexpr double kHope = 0.5;
constexpr double kLongAgo = 256 * kMiB;

/// The estimate moves to `value` by the weight of what is new.
double moved(double estimate, double value, double old_weight, double new_weight) {
  return estimate + (value - estimate) * new_weight / (old_weight + new_weight);
}

}  // namespace

CompressionPolicy::CompressionPolicy(std::size_t streams, double upload_seconds_per_byte)
    : streams_(streams, Stream{.ways = kAssumed, .weight = {}, .untried = {}, .unheard = {}, .best = kFirst}),
      upload_bytes_(kBelievedBytes),
      upload_seconds_(kBelievedBytes * upload_seconds_per_byte) {}

double CompressionPolicy::storing() const { return upload_seconds_ / upload_bytes_ + further_; }

/// As it was measured; or else, or if that is long ago, as the nearest way that was measured later, by what is assumed
/// of how the two compare.
CompressionPolicy::Estimate CompressionPolicy::believed(const Stream& stream, std::size_t way) {
  const Estimate& own = stream.ways[way];
  if (way == kNone || (own.measured && stream.unheard[way] < kLongAgo)) return own;
  for (std::size_t distance = 1; distance < kWays; ++distance) {
    for (const std::size_t other : {way - distance, way + distance}) {
      if (other == kNone || other >= kWays || !stream.ways[other].measured) continue;
      if (own.measured && stream.unheard[other] >= stream.unheard[way]) continue;
      const Estimate& near = stream.ways[other];
      return {
          .seconds_per_byte = near.seconds_per_byte * kAssumed[way].seconds_per_byte / kAssumed[other].seconds_per_byte,
          .ratio = std::min(1.0, near.ratio * kAssumed[way].ratio / kAssumed[other].ratio)};
    }
  }
  return own;
}

double CompressionPolicy::cost(const Stream& stream, std::size_t way) const {
  const Estimate estimate = believed(stream, way);
  return estimate.seconds_per_byte + estimate.ratio * storing();
}

/// Of what was measured; of all, where nothing was. That nothing shrinks when nothing is done to it need not be
/// measured.
std::size_t CompressionPolicy::cheapest(const Stream& stream) const {
  const bool any =
      std::any_of(stream.ways.begin() + 1, stream.ways.end(), [](const Estimate& e) { return e.measured; });
  if (!any && upload_bytes_ < 2 * kBelievedBytes) return kFirst;
  std::size_t best = kNone;
  for (std::size_t way = 1; way < kWays; ++way) {
    if ((stream.ways[way].measured || !any) && cost(stream, way) < cost(stream, best)) best = way;
  }
  return best;
}

/// A trial costs what the way is slower by. It is made as soon as the time since the last, at the best way's cost, has
/// earned that; and only if the way could be the better one at all.
bool CompressionPolicy::is_worth_a_trial(const Stream& stream, std::size_t way, double raw_bytes) const {
  const double best = cost(stream, stream.best);
  const double loss = std::max(0.0, cost(stream, way) - best) * raw_bytes;
  // One result alone has the codec's making of its working memory in it.
  const bool doubtful =
      stream.ways[way].measured && stream.weight[way] < raw_bytes / 2 && stream.untried[way] > kNextBatch;
  if (!doubtful && stream.untried[way] * best * kTrials / (kWays - 1) < loss) return false;
  const bool known = stream.ways[way].measured && !doubtful && stream.unheard[way] < kLongAgo;
  const double forgotten = known ? 1 - std::exp(-stream.untried[way] / kLongAgo) : 1;
  return cost(stream, way) * (1 - kHope * forgotten) < best;
}

std::size_t CompressionPolicy::choose(std::size_t stream_index, std::size_t raw_bytes) {
  const std::scoped_lock lock(mutex_);
  if (only_) return *only_;
  Stream& stream = streams_[stream_index];
  stream.best = cheapest(stream);
  const auto raw = static_cast<double>(raw_bytes);
  std::size_t taken = stream.best;
  for (std::size_t way = kWays - 1; way > kNone && taken == stream.best; --way) {
    if (way != stream.best && is_worth_a_trial(stream, way, raw)) taken = way;
  }
  for (double& bytes : stream.untried) bytes += raw;
  stream.untried[taken] = 0;
  return taken;
}

void CompressionPolicy::compressed(std::size_t stream_index, std::size_t way, std::size_t raw_bytes,
                                   std::size_t stored_bytes, double seconds) {
  if (raw_bytes == 0 || !std::isfinite(seconds) || seconds < 0) return;
  const auto raw = static_cast<double>(raw_bytes);
  const std::scoped_lock lock(mutex_);
  Stream& stream = streams_[stream_index];
  Estimate& estimate = stream.ways[way];
  // The longer ago, the less the past counts: a single trial has to show that the data are others now.
  double& weight = stream.weight[way];
  weight *= std::exp(-std::exchange(stream.unheard[way], 0) / kWindow);
  for (std::size_t other = 0; other < kWays; ++other) {
    if (other != way) stream.unheard[other] += raw;
  }
  estimate.seconds_per_byte = moved(estimate.seconds_per_byte, seconds / raw, weight, raw);
  if (way != kNone) estimate.ratio = moved(estimate.ratio, static_cast<double>(stored_bytes) / raw, weight, raw);
  estimate.measured = true;
  weight = weight == 0 ? raw * kFirstResult : std::min(weight + raw, kWindow);
}

void CompressionPolicy::uploaded(std::size_t stored_bytes, double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return;
  const auto stored = static_cast<double>(stored_bytes);
  const std::scoped_lock lock(mutex_);
  const double keep = std::exp(-stored / kUploadWindow);
  upload_bytes_ = upload_bytes_ * keep + stored;
  upload_seconds_ = upload_seconds_ * keep + seconds;
}

void CompressionPolicy::use_only(std::optional<std::size_t> way) {
  const std::scoped_lock lock(mutex_);
  only_ = way;
}

double CompressionPolicy::further_upload_seconds_per_byte() const {
  const std::lock_guard lock(mutex_);
  return further_;
}

void CompressionPolicy::set_further_upload(double seconds_per_byte) {
  const std::scoped_lock lock(mutex_);
  further_ = std::isfinite(seconds_per_byte) ? std::max(0.0, seconds_per_byte) : 0;
}

CompressionPolicy::Estimate CompressionPolicy::estimate(std::size_t stream, std::size_t way) const {
  const std::scoped_lock lock(mutex_);
  return streams_[stream].ways[way];
}

double CompressionPolicy::upload_seconds_per_byte() const {
  const std::scoped_lock lock(mutex_);
  return upload_seconds_ / upload_bytes_;
}

}  // namespace cacs::repository
