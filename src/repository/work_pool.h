#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cacs::repository {

/// A few threads for work that splits into equal parts: hashing, compressing, sealing, reading. They are started by the
/// thread that makes the pool and so have its scheduling priority. One caller at a time.
class WorkPool {
 public:
  /// `workers`: threads that work, the caller included; 0: one a processor, at most 8.
  explicit WorkPool(std::size_t workers = 0);
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  [[nodiscard]] std::size_t workers() const { return threads_.size() + 1; }
  /// Calls work(index, worker) for every index below `count`, worker being a number below workers(), and returns when
  /// all are done.
  void run(std::size_t count, const std::function<void(std::size_t index, std::size_t worker)>& work);

 private:
  void serve(std::size_t worker);
  void take(std::size_t worker);

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(std::size_t, std::size_t)>* work_ = nullptr;
  std::size_t next_ = 0;
  std::size_t count_ = 0;
  std::size_t busy_ = 0;
  std::uint64_t round_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cacs::repository
