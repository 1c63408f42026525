#include "repository/backend/clock.h"

#include <condition_variable>
#include <mutex>

namespace cacs::repository {

namespace {

class SteadyClock final : public Clock {
 public:
  std::chrono::nanoseconds now() override { return std::chrono::steady_clock::now().time_since_epoch(); }

  bool sleep_for(std::chrono::nanoseconds duration, const std::stop_token& stop) override {
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    stopped.wait_for(lock, stop, duration, [] { return false; });
    return !stop.stop_requested();
  }
};

}  // namespace

std::shared_ptr<Clock> make_steady_clock() { return std::make_shared<SteadyClock>(); }

}  // namespace cacs::repository
