#pragma once

#include <atomic>

#include "repository/backend/clock.h"

namespace cacs::repository {

/// For tests: time that passes only by being slept. Any thread.
class FakeClock final : public Clock {
 public:
  std::chrono::nanoseconds now() override { return std::chrono::nanoseconds(now_.load()); }
  bool sleep_for(std::chrono::nanoseconds duration, const std::stop_token& stop) override {
    if (stop.stop_requested()) return false;
    now_ += duration.count();
    return true;
  }

 private:
  std::atomic<std::int64_t> now_{0};
};

}  // namespace cacs::repository
