#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "application/lifecycle.h"

namespace cacs::application {

/// The order in which one application's actions run: those of one lane one after the other, as they were given; one
/// that is no longer wanted when its turn comes is dropped. The release of nodes thus always comes after a claim that
/// is still on its way, and a pod's destruction after its start. A plain value, used by its driver's one thread.
class ActionLanes {
 public:
  void add(const Action& action);
  /// The actions whose turn has come; their lanes are taken until done().
  std::vector<Action> take(const State& state);
  void done(const Action& action);
  [[nodiscard]] bool idle() const { return lanes_.empty(); }

 private:
  struct Lane {
    bool busy = false;
    std::deque<Action> waiting;
  };
  std::map<std::string, Lane> lanes_;
};

}  // namespace cacs::application
