#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cacs::delta {

/// Which names of a tree are wanted: those that match one of some paths with wildcards, with all that is below them. A
/// part of a path is matched by itself, as by a shell: `*` stands for no '/' and for no leading dot. A value; any
/// thread.
class Selection {
 public:
  enum class Take {
    kNo,
    kOnTheWay,  ///< a directory of this name may hold what is wanted
    kYes,
  };

  /// Everything.
  Selection() = default;
  /// Each of the paths is taken from the tree's root, with or without a leading slash.
  explicit Selection(const std::vector<std::string>& paths);

  [[nodiscard]] bool everything() const { return paths_.empty(); }
  /// `path` is relative to the root, as in a listing.
  [[nodiscard]] Take take(std::string_view path) const;

 private:
  std::vector<std::vector<std::string>> paths_;  ///< their parts
};

}  // namespace cacs::delta
