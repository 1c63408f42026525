#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

#include "base/json.h"

namespace cacs::agent {

/// What happened on the node, for whoever long-polls (docs/agent-api.md, events). Bounded: a caller that falls too far
/// behind is told so by a gap in the numbers, and lists the pods anew. Any thread.
class EventQueue {
 public:
  EventQueue();

  /// `event` needs `kind`; number and time are added.
  void push(JsonObject event);

  /// Events after `after`, waiting up to `wait` for the first. With another instance than ours: from the beginning.
  JsonObject read(std::uint64_t after, std::string_view instance, std::chrono::milliseconds wait);

  [[nodiscard]] const std::string& instance() const { return instance_; }
  /// Wakes all waiters, and none waits from now on.
  void stop();

 private:
  std::string instance_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<JsonObject> events_;
  std::uint64_t next_seq_ = 1;
  bool stopped_ = false;
};

}  // namespace cacs::agent
