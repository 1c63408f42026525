#pragma once

#include <chrono>
#include <optional>
#include <span>

#include "base/time.h"

/// When to save: pure functions, the caller brings the clock.
namespace cacs::checkpoint {

using Milliseconds = std::chrono::milliseconds;

/// What the manager knows of an application's saving when it asks. Times of the caller's one clock.
struct PeriodicInput {
  std::optional<Milliseconds> interval;      ///< unset: no periodic checkpoints
  bool automatic = false;                    ///< interval from cost and failures (Young/Daly), not `interval`
  WallTime running_since;                    ///< start or last restore of this incarnation
  std::optional<WallTime> last_begun;        ///< of this incarnation, whether or not it succeeded
  int failures_in_a_row = 0;                 ///< of checkpoints, since the last that succeeded
  std::optional<Milliseconds> cost;          ///< of the last checkpoint: how long tasks were frozen or slowed by it
  std::optional<Milliseconds> mean_failure;  ///< mean time between failures seen; unset: none yet
};

/// The time between periodic checkpoints as things are; none if there are none.
std::optional<Milliseconds> periodic_interval(const PeriodicInput& input);

/// When the next periodic checkpoint is due; none if there are no periodic ones. One interval after the last was
/// *begun*, so that the rhythm does not drift with its cost. After failures it comes after two: what failed just now
/// mostly fails again, and each attempt may freeze the program.
std::optional<WallTime> next_periodic(const PeriodicInput& input);

/// How long from `now` on to wait for it. One that is overdue (it takes longer than the interval, or the server was
/// away) leaves the program half an interval; and none waits longer than two, whatever was done to the wall clock
/// meanwhile.
std::optional<Milliseconds> periodic_delay(const PeriodicInput& input, WallTime now);

/// Young's interval with Daly's correction (Daly 2006): sqrt(2 C M) (1 + sqrt(C/2M)/3 + (C/2M)/9) - C for C < 2M, else
/// M; between 10 s and 1 h. M, when no failure was seen: one a day.
Milliseconds young_daly_interval(Milliseconds cost, std::optional<Milliseconds> mean_failure);

/// When the checkpoint before the end of the job's time limit must begin, so that it is committed in time: twice the
/// longest of the last ones before the end, and `margin` at least; but half of a short limit is there to work in. None:
/// no limit.
std::optional<WallTime> last_chance(WallTime started, Milliseconds time_limit, std::span<const Milliseconds> durations,
                                    Milliseconds margin = std::chrono::seconds(10));

}  // namespace cacs::checkpoint
