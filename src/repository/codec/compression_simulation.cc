#include "repository/codec/compression_simulation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace cacs::repository::simulation {

namespace {

using Random = std::mt19937_64;

double uniform(Random& random, double low, double high) {
  return low + (high - low) * static_cast<double>(random() >> 11U) * 0x1.0p-53;
}
double log_uniform(Random& random, double low, double high) {
  return std::exp(uniform(random, std::log(low), std::log(high)));
}
/// Around one, as times of a busy machine are: never less than a little less, now and then much more.
double noise(Random& random, double width) {
  return std::exp(width * std::abs(std::normal_distribution<double>()(random)));
}
std::size_t below(Random& random, std::size_t end) { return random() % end; }

/// One sample a texture: so many different values make that entropy.
const std::vector<std::vector<std::byte>>& samples() {
  static const auto kSamples = [] {
    std::vector<std::vector<std::byte>> all;
    for (const unsigned values : {1U, 4U, 16U, 45U, 120U, 256U}) {
      auto& sample = all.emplace_back(256);
      for (std::size_t i = 0; i < sample.size(); ++i) sample[i] = static_cast<std::byte>(i * 7 % values);
    }
    all.emplace_back();
    return all;
  }();
  return kSamples;
}

/// Any relation of speed and size that is seen in practice: a size for the strongest codec and less for the faster
/// ones; the machine up to four times as fast or slow as the one that was measured.
Behaviour make_behaviour(Random& random, double machine, Looks looks) {
  Behaviour result;
  const bool incompressible = below(random, 4) == 0;
  const double smallest = incompressible ? 1 : log_uniform(random, 0.02, 0.98);
  const double zstd = incompressible ? uniform(random, 0.3, 1) : log_uniform(random, 0.6, 6);
  result.nanoseconds = {0.1, zstd * uniform(random, 0.35, 0.9), zstd, zstd * uniform(random, 1, 1.5),
                        zstd * uniform(random, 2, 4)};
  if (incompressible) result.nanoseconds[4] *= 4;
  for (double& each : result.nanoseconds) each *= machine;
  const auto capped = [](double ratio) { return std::min(1.0, ratio); };
  result.ratio[4] = smallest;
  result.ratio[3] = capped(result.ratio[4] * uniform(random, 1, 1.15));
  result.ratio[2] = capped(result.ratio[3] * uniform(random, 1, 1.12));
  result.ratio[1] = capped(result.ratio[2] * uniform(random, 1, 2.5));
  result.ratio[0] = 1;
  const std::size_t likely = std::min<std::size_t>(5, static_cast<std::size_t>(smallest * 6));
  result.sample = looks == Looks::kMisleading && below(random, 2) == 0 ? below(random, samples().size()) : likely;
  return result;
}

/// Whether each of the first `kinds` has its own look or its own stream.
bool told_apart(const std::vector<Behaviour>& behaviours, std::size_t kinds, std::size_t streams) {
  for (std::size_t i = 0; i < kinds; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (behaviours[i].sample == behaviours[j].sample && i % streams == j % streams) return false;
    }
  }
  return true;
}

double make_upload(Random& random) { return log_uniform(random, 0.2, 1000); }  // 5 GB/s to 1 MB/s

}  // namespace

double Scenario::compress_seconds(std::size_t segment, std::size_t candidate) const {
  const Segment& at = segments[segment];
  return behaviours[at.behaviour].nanoseconds[candidate] * at.compress_noise * 1e-9 *
         static_cast<double>(kSegmentBytes);
}

double Scenario::stored_bytes(std::size_t segment, std::size_t candidate) const {
  const Segment& at = segments[segment];
  const double ratio = std::min(1.0, behaviours[at.behaviour].ratio[candidate] * at.ratio_noise);
  return std::ceil((candidate == 0 || ratio > 31.0 / 32 ? 1.0 : ratio) * static_cast<double>(kSegmentBytes));
}

double Scenario::upload_seconds(std::size_t segment, std::size_t candidate) const {
  return stored_bytes(segment, candidate) * segments[segment].upload_nanoseconds * 1e-9;
}

Scenario make_scenario(Family family, Looks looks, Pipeline pipeline, std::uint64_t seed) {
  Random random(seed);
  Scenario result;
  result.pipeline = pipeline;
  const double machine = log_uniform(random, 0.25, 4);
  const double compress_width = uniform(random, 0, 0.4);
  const double upload_width = uniform(random, 0, 0.4);
  const double ratio_width = uniform(random, 0, 0.2);
  result.report_every = below(random, 2) == 0 ? 1 : 1 + below(random, 16);
  if (pipeline == Pipeline::kOverlapped) result.preparation_nanoseconds = log_uniform(random, 0.3, 3);
  const std::size_t parts = family == Family::kSteady ? 1 : 2 + below(random, 2);
  double upload = make_upload(random);
  for (std::size_t part = 0; part < parts; ++part) {
    if (part == 0 || family == Family::kRatioChanges) {
      const std::size_t more = 1 + below(random, 3);
      const std::size_t same_look = result.behaviours.empty() ? 0 : result.behaviours.back().sample;
      for (std::size_t i = 0; i < more; ++i) result.behaviours.push_back(make_behaviour(random, machine, looks));
      // The hardest change: other data that looks the same.
      if (looks == Looks::kMisleading && part > 0 && below(random, 2) == 0) result.behaviours.back().sample = same_look;
      std::rotate(result.behaviours.begin(), result.behaviours.end() - static_cast<std::ptrdiff_t>(more),
                  result.behaviours.end());
      for (auto& earlier : result.segments) earlier.behaviour += more;
    }
    if (part > 0 && family == Family::kBandwidthChanges) upload = make_upload(random);
    const std::size_t kinds = part == 0 || family != Family::kRatioChanges
                                  ? result.behaviours.size()
                                  : 1 + below(random, std::min<std::size_t>(3, result.behaviours.size()));
    std::size_t streams = 1 + below(random, kDataStreams);
    if (looks == Looks::kTelling) streams = kDataStreams;
    // Kinds lie in long runs (one look in one stream has to be one kind then: else that is a change), or alternate.
    const bool in_turn = below(random, 2) == 0 && told_apart(result.behaviours, kinds, streams);
    const std::size_t count = 512 + below(random, 1024);
    for (std::size_t i = 0; i < count; ++i) {
      Segment segment;
      segment.behaviour = in_turn ? i * kinds / count : below(random, kinds);
      segment.stream = static_cast<DataStream>(segment.behaviour % streams);
      segment.compress_noise = noise(random, compress_width);
      segment.ratio_noise = noise(random, ratio_width);
      segment.upload_nanoseconds = upload * noise(random, upload_width);
      result.segments.push_back(segment);
    }
    result.parts.push_back(result.segments.size());
  }
  return result;
}

namespace {

/// The two ends of the pipeline. Sequential: one clock. Overlapped: compression waits while the queue is full, the
/// upload of a segment begins when it is compressed and the one before is up.
class Clocks {
 public:
  Clocks(Pipeline pipeline, std::size_t queue) : pipeline_(pipeline), uploaded_(queue, 0.0) {}

  void segment(double preparation, double compress, double upload) {
    if (pipeline_ == Pipeline::kSequential) {
      now_ += preparation + compress + upload;
      return;
    }
    double& slot = uploaded_[next_++ % uploaded_.size()];
    compressor_ = std::max(compressor_, slot) + preparation + compress;
    now_ = slot = std::max(now_, compressor_) + upload;
  }
  [[nodiscard]] double now() const { return now_; }

 private:
  Pipeline pipeline_;
  std::vector<double> uploaded_;  ///< when each of the last segments was up
  std::size_t next_ = 0;
  double compressor_ = 0;
  double now_ = 0;
};

/// Sums up what the clocks say, by part.
class PartTimer {
 public:
  PartTimer(const Scenario& scenario, std::vector<PartSeconds>& seconds) : scenario_(scenario), seconds_(seconds) {
    seconds_.resize(scenario.parts.size());
  }

  /// After segment `index`, at time `now`.
  void segment(std::size_t index, double now) {
    const bool settled = index - begin_ >= scenario_.warm_up();
    (settled ? seconds_[part_].settled : seconds_[part_].warm_up) += now - before_;
    before_ = now;
    if (index + 1 == scenario_.parts[part_]) {
      begin_ = index + 1;
      ++part_;
    }
  }

 private:
  const Scenario& scenario_;
  std::vector<PartSeconds>& seconds_;
  std::size_t part_ = 0;
  std::size_t begin_ = 0;
  double before_ = 0;
};

double preparation_seconds(const Scenario& scenario) {
  return scenario.preparation_nanoseconds * 1e-9 * static_cast<double>(kSegmentBytes);
}

void run_fixed(const Scenario& scenario, std::size_t candidate, std::vector<PartSeconds>& seconds) {
  Clocks clocks(scenario.pipeline, scenario.queue);
  PartTimer timer(scenario, seconds);
  for (std::size_t i = 0; i < scenario.segments.size(); ++i) {
    clocks.segment(preparation_seconds(scenario), scenario.compress_seconds(i, candidate),
                   scenario.upload_seconds(i, candidate));
    timer.segment(i, clocks.now());
  }
}

std::size_t candidate_of(const Compression& how) {
  return static_cast<std::size_t>(std::find(kCandidates.begin(), kCandidates.end(), how) - kCandidates.begin());
}

/// The policy's time over the best fixed candidate's of each part, with `of` a part's seconds.
template <typename Of>
double ratio_to_best(const Outcome& outcome, Of of) {
  double mixed = 0;
  double best = 0;
  for (std::size_t part = 0; part < outcome.mixed.size(); ++part) {
    mixed += of(outcome.mixed[part]);
    double least = std::numeric_limits<double>::infinity();
    for (const auto& fixed : outcome.fixed) least = std::min(least, of(fixed[part]));
    best += least;
  }
  return mixed / best;
}

}  // namespace

double Outcome::settled_ratio() const {
  return ratio_to_best(*this, [](const PartSeconds& part) { return part.settled; });
}
double Outcome::whole_ratio() const {
  return ratio_to_best(*this, [](const PartSeconds& part) { return part.warm_up + part.settled; });
}
double Outcome::mixed_seconds() const {
  return std::accumulate(mixed.begin(), mixed.end(), 0.0,
                         [](double sum, const PartSeconds& part) { return sum + part.warm_up + part.settled; });
}

Outcome run(const Scenario& scenario, Chooser& chooser) {
  Outcome outcome;
  for (std::size_t i = 0; i < kCandidates.size(); ++i) run_fixed(scenario, i, outcome.fixed[i]);
  Clocks clocks(scenario.pipeline, scenario.queue);
  PartTimer timer(scenario, outcome.mixed);
  double told_bytes = 0;
  double told_seconds = 0;
  for (std::size_t i = 0; i < scenario.segments.size(); ++i) {
    const Segment& segment = scenario.segments[i];
    const CompressionChoice choice =
        chooser.choose(segment.stream, kSegmentBytes, samples()[scenario.behaviours[segment.behaviour].sample]);
    const std::size_t taken = candidate_of(choice.how);
    const double compress = scenario.compress_seconds(i, taken);
    const double upload = scenario.upload_seconds(i, taken);
    const double stored = scenario.stored_bytes(i, taken);
    clocks.segment(preparation_seconds(scenario), compress, upload);
    timer.segment(i, clocks.now());
    outcome.mixed_bytes += static_cast<std::uint64_t>(stored);
    outcome.slowest_segment = std::max(outcome.slowest_segment, scenario.upload_seconds(i, 0));
    if (choice.probe) {
      const std::size_t otherwise = candidate_of(choice.otherwise);
      outcome.probe_loss +=
          compress + upload - scenario.compress_seconds(i, otherwise) - scenario.upload_seconds(i, otherwise);
    }
    chooser.prepared(kSegmentBytes, preparation_seconds(scenario));
    chooser.compressed(choice, kSegmentBytes, static_cast<std::size_t>(stored), compress);
    told_bytes += stored;
    told_seconds += upload;
    if ((i + 1) % scenario.report_every == 0) {
      chooser.uploaded(static_cast<std::size_t>(told_bytes), told_seconds);
      told_bytes = told_seconds = 0;
    }
  }
  return outcome;
}

}  // namespace cacs::repository::simulation
