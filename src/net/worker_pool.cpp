#include "net/worker_pool.h"

#include <system_error>

namespace cacs::net {

bool WorkerPool::submit(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return false;
  // Each queued task will take one idle thread (one that is just starting counts as idle).
  if (idle_ <= queue_.size() && threads_.size() < max_threads_) {
    try {
      threads_.emplace_back([this] { run(); });
      ++idle_;
    } catch (const std::system_error&) {
      // No more threads in this process: the ones there are will do, if there are any.
      if (threads_.empty()) return false;
    }
  } else if (idle_ <= queue_.size() && queue_.size() >= max_queue_ + idle_) {
    return false;
  }
  queue_.push_back(std::move(task));
  wake_.notify_one();
  return true;
}

void WorkerPool::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    ++idle_;
  }
}

void WorkerPool::stop() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace cacs::net
