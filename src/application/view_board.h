#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "application/log_lineage.h"
#include "application/views.h"

namespace cacs::application {

/// One application as readers see it: immutable, replaced whole.
struct Posted {
  std::string tenant;
  std::shared_ptr<const ApplicationView> application;
  std::shared_ptr<const std::vector<CheckpointView>> checkpoints;  ///< oldest first
  std::shared_ptr<const LogLineage> logs;
};

/// Where the manager's thread posts what is, and readers look. The lock is held for a pointer's copy only. Any thread.
class ViewBoard {
 public:
  void post(const std::string& application, Posted posted);
  void remove(const std::string& application);
  /// Empty pointers when there is none.
  Posted find(std::string_view application) const;
  std::vector<Posted> all() const;

  void post_operation(const OperationView& operation);
  bool find_operation(std::string_view id, OperationView& out) const;
  void remove_operations(WallTime before);
  /// Progress of a checkpoint's operation while it is stored; only in memory.
  void progress(std::string_view operation, std::uint64_t done, std::uint64_t total, std::int64_t running_ms);

  /// Something was posted, or an event stored: whoever waits looks again.
  void announce(std::uint64_t last_event);
  std::uint64_t last_event() const;
  /// Waits until the number of announcements differs from `seen`, or the time is over; returns the number now.
  std::uint64_t wait(std::uint64_t seen, std::chrono::milliseconds limit);
  std::uint64_t announcements() const;
  void close();
  bool closed() const;

 private:
  mutable std::shared_mutex mutex_;
  std::map<std::string, Posted, std::less<>> applications_;
  std::map<std::string, OperationView, std::less<>> operations_;

  mutable std::mutex wait_mutex_;
  std::condition_variable changed_;
  std::uint64_t announcements_ = 0;
  std::uint64_t last_event_ = 0;
  bool closed_ = false;
};

}  // namespace cacs::application
