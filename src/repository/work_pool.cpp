#include "repository/work_pool.h"

#include <algorithm>

namespace cacs::repository {

WorkPool::WorkPool(std::size_t workers) {
  if (workers == 0) workers = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
  for (std::size_t worker = 1; worker < workers; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
}

WorkPool::~WorkPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void WorkPool::run(std::size_t count, const std::function<void(std::size_t, std::size_t)>& work) {
  if (count < 2 || threads_.empty()) {
    for (std::size_t index = 0; index < count; ++index) work(index, 0);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    next_ = 0;
    count_ = count;
    ++round_;
  }
  changed_.notify_all();
  take(0);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return busy_ == 0; });
  work_ = nullptr;
}

void WorkPool::take(std::size_t worker) {
  std::unique_lock lock(mutex_);
  ++busy_;
  while (work_ != nullptr && next_ < count_) {
    const std::size_t index = next_++;
    lock.unlock();
    (*work_)(index, worker);
    lock.lock();
  }
  --busy_;
  if (busy_ == 0) changed_.notify_all();
}

void WorkPool::serve(std::size_t worker) {
  std::uint64_t seen = 0;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
    }
    take(worker);
  }
}

}  // namespace cacs::repository
