#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace cacs::application {

/// Threads that run what they are given, in order of arrival; with one thread it is an actor's mailbox, with timers on
/// the monotonic clock. Any thread may post.
class TaskQueue {
 public:
  using Task = std::function<void()>;

  explicit TaskQueue(std::size_t threads);
  ~TaskQueue() { stop(); }
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  /// False once stopped: the task will not run.
  bool post(Task task);
  bool post_after(std::chrono::milliseconds delay, Task task);
  /// Ends the threads; tasks that have not begun are dropped.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  std::multimap<std::chrono::steady_clock::time_point, Task> timers_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cacs::application
