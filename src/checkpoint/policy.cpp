#include "checkpoint/policy.h"

#include <algorithm>
#include <cmath>

namespace cacs::checkpoint {
namespace {

constexpr Milliseconds kMinAutomatic = std::chrono::seconds(10);
constexpr Milliseconds kMaxAutomatic = std::chrono::hours(1);
constexpr Milliseconds kAssumedMeanFailure = std::chrono::hours(24);
constexpr Milliseconds kAssumedCost = std::chrono::seconds(1);

}  // namespace

std::optional<Milliseconds> periodic_interval(const PeriodicInput& input) {
  if (!input.automatic) return input.interval;
  return young_daly_interval(input.cost.value_or(kAssumedCost), input.mean_failure);
}

std::optional<WallTime> next_periodic(const PeriodicInput& input) {
  const auto interval = periodic_interval(input);
  if (!interval) return std::nullopt;
  // The last one may be of before a restore: what runs now began with the restore.
  const WallTime from = std::max(input.running_since, input.last_begun.value_or(input.running_since));
  return from + *interval * (input.failures_in_a_row > 0 ? 2 : 1);
}

std::optional<Milliseconds> periodic_delay(const PeriodicInput& input, WallTime now) {
  const auto interval = periodic_interval(input);
  const auto due = next_periodic(input);
  if (!interval || !due) return std::nullopt;
  return std::clamp(std::chrono::ceil<Milliseconds>(*due - now), *interval / 2, *interval * 2);
}

Milliseconds young_daly_interval(Milliseconds cost, std::optional<Milliseconds> mean_failure) {
  const auto c = static_cast<double>(std::max(cost, Milliseconds(1)).count());
  const auto m = static_cast<double>(std::max(mean_failure.value_or(kAssumedMeanFailure), Milliseconds(1)).count());
  double best = m;
  if (c < 2 * m) {
    const double ratio = c / (2 * m);
    best = std::sqrt(2 * c * m) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - c;
  }
  best = std::clamp(best, static_cast<double>(kMinAutomatic.count()), static_cast<double>(kMaxAutomatic.count()));
  return Milliseconds(static_cast<Milliseconds::rep>(best));
}

std::optional<WallTime> last_chance(WallTime started, Milliseconds time_limit, std::span<const Milliseconds> durations,
                                    Milliseconds margin) {
  if (time_limit <= Milliseconds(0)) return std::nullopt;
  const Milliseconds longest = durations.empty() ? Milliseconds(0) : *std::ranges::max_element(durations);
  return started + time_limit - std::min(std::max(longest * 2, margin), time_limit / 2);
}

}  // namespace cacs::checkpoint
