#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/cut.h"
#include "cloud/node_agent.h"

namespace cacs::checkpoint {

/// One pod of the application and the agent that has it. The agent must outlive run_cut().
struct CutMember {
  std::string uid;
  cloud::NodeAgent* agent = nullptr;
};

struct CutRequest {
  std::string application;
  std::string name;  ///< of the application
  std::string checkpoint;
  int incarnation = 1;
  std::string reason;                               ///< periodic, request, application, suspend, terminate
  std::vector<CutMember> pods;                      ///< at least one; the agent of the first commits
  std::chrono::milliseconds prepare_limit{60'000};  ///< from the begin until all are thawed; the shims' own deadline
  std::chrono::milliseconds store_limit{4 * 3600'000};  ///< for storing after the thaw
};

/// Told on run_cut()'s own thread, one at a time; must return soon: the pods may be frozen.
struct CutListener {
  std::function<void(CutPhase phase)> phase = [](CutPhase) {};
  /// Bytes of all pods together; `total` may still grow.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = [](std::uint64_t, std::uint64_t) {};
};

/// How others reach a cut that is under way. Any thread, before, during and after it; one for each run_cut().
class CutControl {
 public:
  /// Gives the cut up: pods run on, nothing is kept. Too late once the commit was sent.
  void cancel(std::string_view why);
  /// A pod ended: saves waiting for the others.
  void pod_died(std::string_view uid);

 private:
  friend class CutRun;
  struct Message {
    CutEvent event;
    std::string uid;  ///< of pod_died, instead of an index
    bool progress = false;
    std::uint64_t bytes_done = 0;
    std::uint64_t bytes_total = 0;
  };
  void post(Message message);

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Message> messages_;
  bool aborting_ = false;  ///< watchers give up waiting
};

/// Takes one checkpoint of the application: drives step() against the agents, with a thread for each call under way.
/// Blocks until the cut has ended: after that no pod is frozen by it but those that cannot be reached, which thaw by
/// themselves within `prepare_limit`. Returns the committed Checkpoint (docs/agent-api.md). Errors: the first failure,
/// with the pod; kAborted: cancelled; kTimeout; type "commit-unknown": the answer to the commit was lost, and the
/// checkpoint may exist.
Result<JsonObject> run_cut(const CutRequest& request, CutControl& control, const CutListener& listener = {});

}  // namespace cacs::checkpoint
