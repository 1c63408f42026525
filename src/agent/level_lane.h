#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/json.h"
#include "repository/levels/levels.h"

namespace cacs::agent {

struct LevelLaneOptions {
  /// Whether a checkpoint is to be at the remote level.
  std::function<bool(const repository::Manifest&)> wanted;
  /// Told of every checkpoint that has reached it, and after a start of all that have. By the lane's thread.
  std::function<void(const std::string& checkpoint)> changed;
  std::chrono::milliseconds first_wait{1'000};      ///< after a failure; then twice as long each time,
  std::chrono::milliseconds longest_wait{300'000};  ///< up to this
};

/// Brings checkpoints to the remote level and takes deleted ones away from it, one after another, in the order in which
/// they came, while the programs run. What an earlier agent left undone is found at the start. What fails is tried
/// again for as long as the checkpoint exists; others go on meanwhile. After removals the remote level is collected.
/// Any thread; the thread of its own ends with this object, in the middle of a copy if need be.
class LevelLane {
 public:
  LevelLane(repository::Levels& levels, LevelLaneOptions options);
  LevelLane(const LevelLane&) = delete;
  LevelLane& operator=(const LevelLane&) = delete;
  ~LevelLane();

  void copy(const std::string& checkpoint);
  void remove(const std::string& checkpoint);

  /// `outstanding`, `bytes_total` and `bytes_done` of the copy under way, `problem`: why the last try failed, or null.
  JsonObject view();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Work { kCopy, kRemove };
  struct Job {
    Work work = Work::kCopy;
    std::string checkpoint;
    Clock::time_point due;  ///< not before
    unsigned failures = 0;
  };

  void add(Job job);
  void run(const std::stop_token& stop);
  bool find_outstanding(const std::stop_token& stop);
  void work_on(Job job, const std::stop_token& stop);
  Status perform(const Job& job, const std::stop_token& stop);
  void collect();
  [[nodiscard]] std::chrono::milliseconds wait_after(unsigned failures) const;

  repository::Levels& levels_;
  const LevelLaneOptions options_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Job> jobs_;
  bool working_ = false;
  bool collect_wanted_ = false;
  repository::CopyProgress progress_;
  std::string problem_;
  std::jthread thread_;  ///< last: it uses the others
};

}  // namespace cacs::agent
