#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "inspect/tree.h"
#include "repository/repository.h"

namespace cacs::inspect {

inline constexpr std::chrono::seconds kListAge{2};
inline constexpr std::size_t kOpenTrees = 8;

/// All checkpoints of a repository as one tree of names: what mount.h shows. Any thread.
class Catalogue {
 public:
  explicit Catalogue(repository::Repository& repository) : repository_(repository) {}

  /// A node, and the tree that it is of: kept by whoever reads it; null above the checkpoints.
  struct Found {
    Node node;
    std::shared_ptr<CheckpointTree> tree;
  };
  Result<Found> find(std::string_view path);
  /// The names in a directory.
  Status list(std::string_view path, const VisitNode& visit);
  repository::Repository& repository() { return repository_; }

 private:
  struct Place;
  using Applications = std::map<std::string, std::string, std::less<>>;  ///< checkpoint to application
  Result<Place> locate(std::string_view path);
  Result<std::shared_ptr<CheckpointTree>> tree(const std::string& checkpoint);
  /// Checkpoints that can be read, by id.
  Result<std::shared_ptr<const Applications>> checkpoints();

  repository::Repository& repository_;
  std::mutex list_mutex_;
  std::shared_ptr<const Applications> listed_;
  std::chrono::steady_clock::time_point listed_at_;
  std::mutex trees_mutex_;
  std::list<std::pair<std::string, std::shared_ptr<CheckpointTree>>> trees_;  ///< the one used last first
};

}  // namespace cacs::inspect
