#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "inspect/tree.h"

namespace cacs::inspect {

enum class ChangeKind { kAdded, kRemoved, kChanged };
/// "added", "removed", "changed"
std::string_view change_kind_name(ChangeKind kind);

/// One name that differs. Of files, bytes are those of chunks (4 to 64 KiB) that only one of the two has, wherever
/// they lie in it; of memory, of its pages. What is not saved counts as zeros.
struct Change {
  ChangeKind kind = ChangeKind::kChanged;
  std::string path;                 ///< in the tree that has it; of both, the second's
  bool memory = false;              ///< a region
  bool attributes = false;          ///< something other than the bytes: type, mode, owner, times, target, protection
  std::uint64_t bytes_added = 0;    ///< that only the second has; of memory, that it has other than the first
  std::uint64_t bytes_removed = 0;  ///< that only the first has
  bool exact = true;                ///< false: bytes are upper bounds
  std::uint64_t pages = 0;          ///< of memory: how many differ; in an added or removed region, how many are saved
  std::uint64_t pages_total = 0;    ///< of memory: of the region
};

using VisitChange = std::function<Status(const Change& change)>;

/// How the second checkpoint differs from the first: what they share is not looked at, and no page or chunk is read
/// (repository/compare.h). Regions are the same if they begin or end at one address. Files and memory come in the order
/// of pods and names. `path`: only what is there or below it; kNotFound when neither has it.
Status diff_trees(repository::Repository& repository, CheckpointTree& before, CheckpointTree& after,
                  std::string_view path, const VisitChange& visit);

}  // namespace cacs::inspect
