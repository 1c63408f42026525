#pragma once

#include <string>
#include <utility>
#include <vector>

#include "delta/listing.h"

namespace cacs::delta {

/// What differs between two listings of one tree. Paths are byte strings, in byte order.
struct Difference {
  std::vector<std::string> created;
  std::vector<std::string> changed;  ///< type, content token, owner, mode, time, link target or attributes
  std::vector<std::pair<std::string, std::string>> renamed;  ///< from, to: the same inode and type under another name
  std::vector<std::string> deleted;

  [[nodiscard]] bool empty() const { return created.empty() && changed.empty() && renamed.empty() && deleted.empty(); }
};

/// From `before` to `after`, both valid. Tokens are compared as they are: equal means the same content. What lies in a
/// renamed directory counts as renamed too.
Difference diff(const Listing& before, const Listing& after);

}  // namespace cacs::delta
