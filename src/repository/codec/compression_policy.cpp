#include "repository/codec/compression_policy.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cacs::repository {

namespace {

constexpr double kMiB = 1048576;
constexpr std::size_t kNoCompression = 0;  // its index in kCandidates

/// What is assumed of a texture and candidate before the first result: nanoseconds for a byte, and stored / raw.
/// Measured with segments of 256 KiB on one core of 2.5 GHz (docs/compression.md); a first result on another machine
/// corrects all.
struct Assumed {
  double nanoseconds;
  double ratio;
};
constexpr std::array<std::array<Assumed, kCandidates.size()>, kTextures> kAssumed = {{
    {{{0.1, 1}, {0.25, 0.12}, {0.6, 0.10}, {0.7, 0.10}, {2.3, 0.10}}},  // one value
    {{{0.1, 1}, {2.0, 0.38}, {3.0, 0.28}, {4.0, 0.27}, {10, 0.26}}},    // sparse
    {{{0.1, 1}, {2.5, 0.45}, {4.0, 0.30}, {5.0, 0.28}, {14, 0.26}}},    // text, programs
    {{{0.1, 1}, {2.5, 0.65}, {4.5, 0.50}, {6.0, 0.48}, {14, 0.46}}},    // records, numbers
    {{{0.1, 1}, {1.0, 0.92}, {2.0, 0.85}, {3.0, 0.84}, {8.0, 0.83}}},   // numbers full of noise
    {{{0.1, 1}, {0.35, 1.0}, {0.35, 1.0}, {0.4, 1.0}, {4.5, 1.0}}},     // looks random
    {{{0.1, 1}, {2.5, 0.65}, {4.5, 0.50}, {6.0, 0.48}, {14, 0.46}}},    // nothing was shown
}};

// A measurement of one segment outweighs what was assumed; sixteen or so segments are remembered.
constexpr double kStartBytes = kMiB / 64;
constexpr double kStartRatioBytes = kMiB / 1024;
constexpr double kResultWindow = 16 * kMiB;
constexpr int kResultRun = 12;
constexpr double kStartUploadBytes = 4096;
constexpr double kUploadWindow = 8 * kMiB;
constexpr int kUploadRun = 4;

/// What was tried before is tried again on at most one in so many segments, and less often the more that loses: so
/// often that each candidate costs less than this part of the share of exploration.
constexpr double kEachShare = 0.5;
constexpr double kMostProbes = 16;
/// What probes may cost before there is a total to take a share of, in uploads of a segment as it is.
constexpr double kStartCredit = 1;
constexpr double kTextureCredit = 1;
/// How much better than believed a candidate may have become since it was last tried.
constexpr double kHope = 0.5;
constexpr double kLeastHope = 0.1;
constexpr double kHopeWindow = 128 * kMiB;
/// How much longer than believed one may take that was never tried.
constexpr double kFear = 3;

/// How much of a first result's difference from what was assumed is taken for the machine's, not the data's.
constexpr double kMachineStep = 0.25;

constexpr double kAsBottleneck = 1.5;
constexpr double kBalanceStep = 1.0 / 32;
constexpr double kLeastWeight = 0.01;

PolicySettings bounded(PolicySettings settings) {
  const auto within = [](double value, double low, double high) {
    return std::isfinite(value) ? std::clamp(value, low, high) : low;
  };
  settings.space_bound = within(settings.space_bound, 1, 10);
  settings.exploration = within(settings.exploration, 0, 0.02);
  settings.start_upload_seconds_per_byte = within(settings.start_upload_seconds_per_byte, 1e-12, 1);
  return settings;
}

}  // namespace

CompressionPolicy::CompressionPolicy(const PolicySettings& settings)
    : settings_(bounded(settings)),
      upload_(settings_.start_upload_seconds_per_byte, kStartUploadBytes, kUploadWindow, kUploadRun),
      preparation_(0, kStartBytes, kUploadWindow, kUploadRun),
      random_state_(settings.seed) {}

CompressionEstimate CompressionPolicy::believed(const Cell& cell, std::size_t texture, std::size_t candidate) const {
  const Known& known = cell.known[candidate];
  const Assumed& assumed = kAssumed[texture][candidate];
  if (candidate == kNoCompression) return {known.seconds ? known.seconds->value() : assumed.nanoseconds * 1e-9, 1};
  if (known.seconds && known.ratio) return {known.seconds->value(), std::min(1.0, known.ratio->value())};
  return {assumed.nanoseconds * 1e-9 * cell.seconds_scale.value_or(machine_),
          std::min(1.0, assumed.ratio * cell.ratio_scale)};
}

double CompressionPolicy::cost(const CompressionEstimate& estimate) const {
  return 2 * (weight_ * estimate.seconds_per_byte + (1 - weight_) * estimate.ratio * upload_.value());
}

double CompressionPolicy::time(const CompressionEstimate& estimate) const {
  const double upload = estimate.ratio * upload_.value();
  if (settings_.pipeline == Pipeline::kSequential) return estimate.seconds_per_byte + upload;
  return std::max(preparation_.value() + estimate.seconds_per_byte, upload);
}

std::size_t CompressionPolicy::best(const Cell& cell, std::size_t texture) const {
  std::size_t fastest = kNoCompression;
  double least = std::numeric_limits<double>::infinity();
  double quickest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < kCandidates.size(); ++i) quickest = std::min(quickest, time(believed(cell, texture, i)));
  for (std::size_t i = 0; i < kCandidates.size(); ++i) {
    if (time(believed(cell, texture, i)) > kAsBottleneck * quickest) continue;
    const double seconds = cost(believed(cell, texture, i));
    if (seconds < least) {
      fastest = i;
      least = seconds;
    }
  }
  if (settings_.prefer == Preference::kTime) return fastest;
  std::size_t smallest = fastest;
  for (std::size_t i = 0; i < kCandidates.size(); ++i) {
    const CompressionEstimate estimate = believed(cell, texture, i);
    if (cost(estimate) <= settings_.space_bound * least && estimate.ratio < believed(cell, texture, smallest).ratio)
      smallest = i;
  }
  return smallest;
}

// Only what could be better is tried: with half of the seconds and half of the size that are believed (or assumed, so
// that one disturbed measurement does not shut a candidate out for ever) it has to beat the best. None needs no trial.
std::optional<std::size_t> CompressionPolicy::pick_probe(const Cell& cell, std::size_t texture, std::size_t best,
                                                         double raw_bytes) {
  if (settings_.exploration <= 0 || !upload_known_) return std::nullopt;
  const CompressionEstimate thought_best = believed(cell, texture, best);
  const double least = time(thought_best);
  const bool new_texture = !cell.seconds_scale;
  const double credit = (kStartCredit + (new_texture ? kTextureCredit : 0)) * upload_.value() * raw_bytes;
  const double budget = settings_.exploration * report_.total_seconds + credit - report_.probe_loss_seconds;
  double draw = random();
  for (std::size_t i = kNoCompression + 1; i < kCandidates.size(); ++i) {
    if (i == best) continue;
    CompressionEstimate feared = believed(cell, texture, i);
    const double loss = time(feared) - least;
    if (!cell.known[i].ratio) feared.seconds_per_byte *= kFear;
    if ((time(feared) - least) * raw_bytes > budget || !could_be_better(cell, texture, i, thought_best)) continue;
    if (!cell.known[i].ratio) return i;
    const double afforded = kEachShare * settings_.exploration * least;  // a segment
    draw -= loss > kMostProbes * afforded ? afforded / loss : 1 / kMostProbes;
    if (draw < 0) return i;
  }
  return std::nullopt;
}

bool CompressionPolicy::could_be_better(const Cell& cell, std::size_t texture, std::size_t candidate,
                                        const CompressionEstimate& thought_best) const {
  const Known& known = cell.known[candidate];
  const CompressionEstimate estimate = believed(cell, texture, candidate);
  double hope = kLeastHope;
  if (known.ratio) hope = std::max(hope, kHope * std::exp((known.measured_at - cell.bytes) / kHopeWindow));
  const double assumed = kAssumed[texture][candidate].nanoseconds * 1e-9 * std::min(1.0, machine_);
  const CompressionEstimate hoped{hope * std::min(estimate.seconds_per_byte, assumed), hope * estimate.ratio};
  return cost(hoped) < cost(thought_best) && time(hoped) < time(thought_best);
}

CompressionChoice CompressionPolicy::choose(DataStream stream, std::size_t raw_bytes,
                                            std::span<const std::byte> sample) {
  const std::size_t texture = texture_of(sample);
  const auto raw = static_cast<double>(raw_bytes);
  const std::scoped_lock lock(mutex_);
  const Cell& cell = cells_[static_cast<std::size_t>(stream)][texture];
  const std::size_t thought_best = best(cell, texture);
  const std::optional<std::size_t> probe = pick_probe(cell, texture, thought_best, raw);
  const std::size_t taken = probe.value_or(thought_best);
  const CompressionEstimate estimate = believed(cell, texture, taken);

  CompressionChoice choice{
      .how = kCandidates[taken], .probe = probe.has_value(), .otherwise = kCandidates[thought_best]};
  choice.stream = stream;
  choice.texture = static_cast<std::uint8_t>(texture);
  choice.candidate = static_cast<std::uint8_t>(taken);
  if (choice.probe) {
    choice.best_seconds = time(believed(cell, texture, thought_best));
    choice.expected_loss = std::max(0.0, (time(estimate) - choice.best_seconds) * raw);
    report_.probe_loss_seconds += choice.expected_loss;
    ++report_.probes;
  }
  ++report_.chosen[taken];
  report_.total_seconds += time(estimate) * raw;
  if (settings_.pipeline == Pipeline::kOverlapped) follow_balance(estimate);
  return choice;
}

// What is not the bottleneck is free. The weights go up and down with which of the two would wait for the other, which
// ends where both are busy, if need be by taking two candidates in turn (a subgradient of the dual of: minimise the
// longer sum).
void CompressionPolicy::follow_balance(const CompressionEstimate& chosen) {
  const double here = preparation_.value() + chosen.seconds_per_byte;
  const double there = chosen.ratio * upload_.value();
  const double scale = std::max(here, there);
  balance_scale_ = balance_scale_ == 0 ? scale : balance_scale_ + (scale - balance_scale_) / 16;
  if (balance_scale_ <= 0) return;
  const double step = std::clamp((here - there) / balance_scale_, -1.0, 1.0) * kBalanceStep;
  weight_ = std::clamp(weight_ + step, kLeastWeight, 1 - kLeastWeight);
}

void CompressionPolicy::compressed(const CompressionChoice& choice, std::size_t raw_bytes, std::size_t stored_bytes,
                                   double seconds) {
  if (raw_bytes == 0 || !std::isfinite(seconds) || seconds < 0 || choice.texture >= kTextures ||
      choice.candidate >= kCandidates.size() || static_cast<std::size_t>(choice.stream) >= kDataStreams)
    return;
  const auto raw = static_cast<double>(raw_bytes);
  const auto stored = static_cast<double>(stored_bytes);
  const std::scoped_lock lock(mutex_);
  Cell& cell = cells_[static_cast<std::size_t>(choice.stream)][choice.texture];
  Known& known = cell.known[choice.candidate];
  const Assumed& assumed = kAssumed[choice.texture][choice.candidate];
  const bool first = !known.ratio;
  if (first) {
    const CompressionEstimate start = believed(cell, choice.texture, choice.candidate);
    known.seconds.emplace(start.seconds_per_byte, kStartBytes, kResultWindow, kResultRun);
    known.ratio.emplace(start.ratio, kStartRatioBytes, kResultWindow, kResultRun);
  }
  const double elapsed = cell.bytes - known.measured_at;
  const CompressionEstimate before{known.seconds->value(), known.ratio->value()};
  const bool other_speed = known.seconds->add(seconds, raw, elapsed);
  const bool other_ratio = known.ratio->add(stored, raw, elapsed);
  if (choice.candidate != kNoCompression)
    follow(cell, choice.candidate, other_speed ? known.seconds->value() / before.seconds_per_byte : 1,
           other_ratio ? known.ratio->value() / before.ratio : 1);
  cell.bytes += raw;
  known.measured_at = cell.bytes;
  if (choice.probe) {
    const double loss = (time({seconds / raw, stored / raw}) - choice.best_seconds) * raw;
    report_.probe_loss_seconds = std::max(0.0, report_.probe_loss_seconds + loss - choice.expected_loss);
  }
  if (choice.candidate == kNoCompression) return;
  cell.seconds_scale = known.seconds->value() / (assumed.nanoseconds * 1e-9);
  cell.ratio_scale = known.ratio->value() / assumed.ratio;
  const double machine = std::clamp(seconds / raw / (assumed.nanoseconds * 1e-9), 1.0 / 16, 16.0);
  if (first) machine_ *= std::pow(machine / machine_, kMachineStep);
}

// What has changed for one candidate has for the others, of which less is heard: other data, or a busier machine.
void CompressionPolicy::follow(Cell& cell, std::size_t candidate, double seconds_factor, double ratio_factor) {
  for (std::size_t i = kNoCompression + 1; i < kCandidates.size(); ++i) {
    Known& other = cell.known[i];
    if (i == candidate || !other.seconds || !other.ratio) continue;
    other.seconds->scale(seconds_factor);
    other.ratio->scale(ratio_factor);
  }
}

void CompressionPolicy::uploaded(std::size_t stored_bytes, double seconds) {
  const std::scoped_lock lock(mutex_);
  upload_.add(seconds, static_cast<double>(stored_bytes));
  upload_known_ = true;
}

void CompressionPolicy::prepared(std::size_t raw_bytes, double seconds) {
  const std::scoped_lock lock(mutex_);
  preparation_.add(seconds, static_cast<double>(raw_bytes));
}

CompressionEstimate CompressionPolicy::estimate(DataStream stream, std::size_t texture, std::size_t candidate) const {
  const std::scoped_lock lock(mutex_);
  return believed(cells_[static_cast<std::size_t>(stream)][texture], texture, candidate);
}

PolicyReport CompressionPolicy::report() const {
  const std::scoped_lock lock(mutex_);
  PolicyReport result = report_;
  result.upload_seconds_per_byte = upload_.value();
  return result;
}

// splitmix64: a dozen instructions, and the same on every machine.
double CompressionPolicy::random() {
  random_state_ += 0x9E3779B97F4A7C15U;
  std::uint64_t mixed = random_state_;
  mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
  mixed ^= mixed >> 31U;
  return static_cast<double>(mixed >> 11U) * 0x1.0p-53;
}

}  // namespace cacs::repository
