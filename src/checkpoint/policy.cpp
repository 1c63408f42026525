#include "checkpoint/policy.h"

#include <algorithm>
#include <cmath>

namespace cacs::checkpoint {
namespace {

constexpr Milliseconds kMinAutomatic = std::chrono::seconds(10);
constexpr Milliseconds kMaxAutomatic = std::chrono::hours(1);
constexpr Milliseconds kAssumedMeanFailure = std::chrono::hours(24);
constexpr Milliseconds kAssumedCost = std::chrono::seconds(1);
constexpr Milliseconds kMinLastChance = std::chrono::seconds(10);
constexpr int kMaxBackoffShift = 3;

}  // namespace

std::optional<WallTime> next_periodic(const PeriodicInput& input) {
  if (!input.automatic && !input.interval) return std::nullopt;
  const Milliseconds interval =
      input.automatic ? young_daly_interval(input.cost.value_or(kAssumedCost), input.mean_failure) : *input.interval;
  // The last one may be of before a restore: what runs now began with the restore.
  const WallTime from = std::max(input.running_since, input.last_begun.value_or(input.running_since));
  return from + interval * (1 << std::clamp(input.failures_in_a_row, 0, kMaxBackoffShift));
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

std::optional<WallTime> last_chance(WallTime started, Milliseconds time_limit,
                                    std::span<const Milliseconds> durations) {
  if (time_limit <= Milliseconds(0)) return std::nullopt;
  const Milliseconds longest = durations.empty() ? Milliseconds(0) : *std::ranges::max_element(durations);
  const Milliseconds reserve = std::max(longest * 2, kMinLastChance);
  return started + std::max(time_limit - reserve, Milliseconds(0));
}

std::vector<std::string> to_delete(std::span<const KeptCheckpoint> checkpoints, int keep) {
  std::vector<KeptCheckpoint> newest_first(checkpoints.begin(), checkpoints.end());
  std::ranges::sort(newest_first, [](const KeptCheckpoint& a, const KeptCheckpoint& b) {
    return a.created_at != b.created_at ? a.created_at > b.created_at : a.id > b.id;
  });
  std::vector<std::string> gone;
  int kept = 0;
  for (const KeptCheckpoint& checkpoint : newest_first) {
    const bool enough = kept >= std::max(keep, 1);
    if (checkpoint.available && !enough) {
      ++kept;
    } else if (enough && !checkpoint.in_use) {
      gone.push_back(checkpoint.id);
    }
  }
  return gone;
}

}  // namespace cacs::checkpoint
