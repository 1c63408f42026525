#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "repository/backend/clock.h"
#include "repository/session/session_op.h"

namespace cacs::repository {

struct LivenessLimits {
  /// A writer with open sessions whose register did not move for so long, as this process saw it, is taken for dead.
  std::chrono::nanoseconds silent = std::chrono::minutes(15);
  /// One without: it holds up nothing, and its seat is taken away to be rid of it.
  std::chrono::nanoseconds idle = std::chrono::hours(48);
};

/// Which writers are dead, by what this one process has observed: never by comparing clocks of two machines. To be
/// wrong costs a writer its open sessions; no data. One thread at a time.
class Liveness {
 public:
  using IsGone = std::function<bool(const WriterHost&)>;
  /// `is_gone`: whether a process of this machine is known to have ended; false in doubt.
  Liveness(LivenessLimits limits, std::shared_ptr<Clock> clock, IsGone is_gone);

  /// All registers of a run. Seats that are not among them are forgotten.
  std::vector<std::uint64_t> judge(const std::vector<JudgedRegister>& registers);

 private:
  struct Seen {
    std::uint64_t version = 0;
    std::chrono::nanoseconds since{};
  };
  [[nodiscard]] bool is_dead(const JudgedRegister& judged, const Seen& seen, std::chrono::nanoseconds now) const;

  LivenessLimits limits_;
  std::shared_ptr<Clock> clock_;
  IsGone is_gone_;
  std::map<std::uint64_t, Seen> seen_;
};

}  // namespace cacs::repository
