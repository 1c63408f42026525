#pragma once

#include <chrono>
#include <memory>
#include <stop_token>

namespace cacs::repository {

/// Elapsed time, as those who wait see it; tests put one of their own in its place (fake_clock.h). Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Since some instant in the past; never goes back.
  virtual std::chrono::nanoseconds now() = 0;
  /// False when it was ended early by `stop`.
  virtual bool sleep_for(std::chrono::nanoseconds duration, const std::stop_token& stop) = 0;
};

std::shared_ptr<Clock> make_steady_clock();

}  // namespace cacs::repository
