#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "repository/backend/backend.h"

namespace cacs::repository {

/// For tests: a store in memory. It outlives the backends on it, as a bucket outlives its clients. Any thread.
class MemoryStore {
 public:
  using Object = std::shared_ptr<const std::vector<std::byte>>;

  /// Null when there is none.
  [[nodiscard]] Object get(const std::string& name) const;
  /// False, and no effect, when the name is taken and `overwrite` is kNo.
  bool put(const std::string& name, Object object, Overwrite overwrite);
  bool remove(const std::string& name);
  /// In the order of names.
  [[nodiscard]] std::vector<ObjectInfo> list(const std::string& prefix) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Object> objects_;
};

/// All that Backend promises and BackendTraits names, at once and without failures: faulty_backend.h has those.
std::unique_ptr<Backend> make_memory_backend(std::shared_ptr<MemoryStore> store);

}  // namespace cacs::repository
