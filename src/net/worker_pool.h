#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cacs::net {

/// Threads that run what may block. Threads are started when they are first needed (an idle pool costs nothing), and
/// both their number and the queue are bounded: what does not fit is refused at once instead of waiting for ever.
class WorkerPool {
 public:
  /// At most `threads` run and at most `queue` wait.
  WorkerPool(std::size_t threads, std::size_t queue) : max_threads_(threads), max_queue_(queue) {}
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool() { stop(); }

  /// Runs `task` soon. False: the pool is full or stopped, and `task` will never run. Any thread.
  [[nodiscard]] bool submit(std::function<void()> task);

  /// Runs what is queued, then ends and joins every thread. Not from a task.
  void stop();

 private:
  void run();

  const std::size_t max_threads_;
  const std::size_t max_queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace cacs::net
