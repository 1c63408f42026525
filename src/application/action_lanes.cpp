#include "application/action_lanes.h"

namespace cacs::application {

void ActionLanes::add(const Action& action) {
  Lane& lane = lanes_[lane_of(action)];
  if (!lane.waiting.empty() && lane.waiting.back().same_as(action)) return;
  lane.waiting.push_back(action);
}

std::vector<Action> ActionLanes::take(const State& state) {
  std::vector<Action> ready;
  for (auto it = lanes_.begin(); it != lanes_.end();) {
    Lane& lane = it->second;
    while (!lane.busy && !lane.waiting.empty()) {
      Action next = std::move(lane.waiting.front());
      lane.waiting.pop_front();
      if (!is_wanted(state, next)) continue;
      lane.busy = true;
      ready.push_back(std::move(next));
    }
    it = !lane.busy && lane.waiting.empty() ? lanes_.erase(it) : std::next(it);
  }
  return ready;
}

void ActionLanes::done(const Action& action) {
  const auto it = lanes_.find(lane_of(action));
  if (it == lanes_.end()) return;
  it->second.busy = false;
  if (it->second.waiting.empty()) lanes_.erase(it);
}

}  // namespace cacs::application
