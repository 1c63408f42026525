#include "repository/session/liveness.h"

#include <algorithm>

namespace cacs::repository {

Liveness::Liveness(LivenessLimits limits, std::shared_ptr<Clock> clock, IsGone is_gone)
    : limits_(limits), clock_(std::move(clock)), is_gone_(std::move(is_gone)) {}

bool Liveness::is_dead(const JudgedRegister& judged, const Seen& seen, std::chrono::nanoseconds now) const {
  const auto& content = judged.content;
  if (content.version != 0 && is_gone_(content.host)) return true;
  // One that has not written its register yet is about to.
  const bool waited_for = content.version == 0 || !content.open.empty();
  return now - seen.since >= (waited_for ? limits_.silent : limits_.idle);
}

std::vector<std::uint64_t> Liveness::judge(const std::vector<JudgedRegister>& registers) {
  const auto now = clock_->now();
  std::map<std::uint64_t, Seen> seen;
  std::vector<std::uint64_t> dead;
  for (const auto& judged : registers) {
    const auto before = seen_.find(judged.seat);
    const bool moved = before == seen_.end() || before->second.version != judged.content.version;
    const Seen entry = moved ? Seen{judged.content.version, now} : before->second;
    seen.emplace(judged.seat, entry);
    if (is_dead(judged, entry, now)) dead.push_back(judged.seat);
  }
  // A writer that was started anew under the same name, by another process, in a later seat: the earlier one has ended.
  for (const auto& earlier : registers) {
    if (earlier.content.name.empty()) continue;
    const bool replaced = std::any_of(registers.begin(), registers.end(), [&](const JudgedRegister& later) {
      return later.seat > earlier.seat && later.content.version != 0 && later.content.name == earlier.content.name &&
             later.content.host != earlier.content.host;
    });
    if (replaced && std::find(dead.begin(), dead.end(), earlier.seat) == dead.end()) dead.push_back(earlier.seat);
  }
  seen_ = std::move(seen);
  return dead;
}

}  // namespace cacs::repository
