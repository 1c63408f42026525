#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "delta/listing.h"

namespace cacs::delta {

/// What the kernel says of an inode that tells whether it is the one captured before, unchanged.
///
/// Birth time stands in for the inode generation: both tell a reused inode number from the old file, but the
/// generation costs an open of each file, and birth time comes with the statx that is needed anyway.
struct Identity {
  std::uint64_t inode = 0;
  Timestamp birth;
  Timestamp ctime;
  bool trusted = false;  ///< false: equal values prove nothing next time (racily clean, or a file system without rules)

  friend bool operator==(const Identity&, const Identity&) = default;
};

/// Which tree this was: inode numbers and times say nothing about another one, or about one of another boot (after a
/// power loss an inode's ctime may be there without the bytes it stands for).
struct TreeIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  Timestamp birth;
  std::string boot_id;

  friend bool operator==(const TreeIdentity&, const TreeIdentity&) = default;
};

/// What the last stored capture of a tree was: its listing, with a token for every content, and how to tell what has
/// changed since. An empty baseline is valid: everything is then read. A value; not for two threads at once.
struct Baseline {
  TreeIdentity tree;
  Listing listing;
  std::vector<Identity> identities;  ///< one for each entry of the listing, in its order

  [[nodiscard]] bool empty() const { return listing.entries.empty(); }
};

/// Binary form, to be kept across restarts of the agent. Losing it costs one full read, nothing else.
std::string serialise(const Baseline& baseline);
/// kCorrupt or kUnsupported: start from an empty baseline.
Result<Baseline> parse_baseline(std::string_view bytes);

/// Finds entries of a baseline by inode: the leader, where there are hard links. Points into the baseline.
class BaselineIndex {
 public:
  explicit BaselineIndex(const Baseline& baseline);
  /// The entry whose inode this is, if it was captured with exactly this identity and is to be trusted; else null.
  [[nodiscard]] const Entry* find_unchanged(const Identity& now) const;

 private:
  const Baseline& baseline_;
  std::unordered_map<std::uint64_t, std::size_t> by_inode_;
};

}  // namespace cacs::delta
