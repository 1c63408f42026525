#include "agent/event_queue.h"

#include "base/time.h"
#include "base/uuid.h"

namespace cacs::agent {

namespace {
constexpr std::size_t kKept = 4096;
constexpr std::size_t kMaxAnswer = 256;
}  // namespace

EventQueue::EventQueue() : instance_(new_uuid()) {}

void EventQueue::push(JsonObject event) {
  const std::lock_guard lock(mutex_);
  event["seq"] = next_seq_++;
  event["time"] = format_time(wall_now());
  events_.push_back(std::move(event));
  if (events_.size() > kKept) events_.pop_front();
  changed_.notify_all();
}

JsonObject EventQueue::read(std::uint64_t after, std::string_view instance, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  if (instance != instance_) after = 0;
  changed_.wait_for(lock, wait, [&] { return stopped_ || next_seq_ > after + 1; });
  JsonArray list;
  for (const auto& event : events_) {
    if (static_cast<std::uint64_t>(event.at("seq").to_number<std::int64_t>()) <= after) continue;
    list.push_back(event);
    if (list.size() == kMaxAnswer) break;
  }
  return {{"instance", instance_}, {"events", std::move(list)}};
}

void EventQueue::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace cacs::agent
