#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "delta/capture.h"

namespace cacs::delta {

/// Walks a tree into a Snapshot: the inside of capture() and recapture_directories().
///
/// One directory is open at a time: the walk goes down with openat() and comes back through "..", checking that it is
/// where it was, so that no depth of a tree runs out of descriptors. Each name costs one statx; whatever the baseline
/// proves unchanged is copied from there, all else (xattrs, link targets, contents) is read.
class Capturer {
 public:
  Capturer(Snapshot& snapshot, const Baseline& baseline);

  static Result<Snapshot> capture(const std::filesystem::path& root, const std::filesystem::path& staging,
                                  const Baseline& baseline, const CaptureOptions& options);
  static Status recapture(Snapshot& snapshot);

 private:
  /// A directory being walked: its entry, and its subdirectories still to visit.
  struct Frame {
    std::size_t entry = 0;
    std::vector<std::size_t> subdirectories;
    std::size_t next = 0;
  };
  Status start(const std::filesystem::path& staging);
  Status walk(UniqueFd directory);
  Status visit(int directory, Frame& frame);
  Status rescan(int directory, Frame& frame);
  Status scan(int directory, Frame& frame, bool only_new);
  Status go_down(UniqueFd& directory, std::size_t entry) const;
  Status go_up(UniqueFd& directory, std::size_t entry) const;
  Status add_name(int directory, Frame& frame, const char* name);
  void remember_what_is_known();
  Status read_details(int directory, const char* name, Entry& entry) const;
  /// True if `inode` was met before under another name, which now leads a link group that `entry` joins.
  bool join_link(std::uint64_t inode, Entry& entry);
  Status take_content(int directory, const char* name, const Entry* known, const Entry& entry, Identity& identity);
  Status put_aside(int in, std::uint64_t inode, CapturedFile& file);
  [[nodiscard]] bool trusted(const Timestamp& ctime) const;
  [[nodiscard]] Error failed(int error, std::string_view doing, std::string_view path) const;
  [[nodiscard]] const std::string& path_of(std::size_t entry) const { return snapshot_.listing_.entries[entry].path; }

  Snapshot& snapshot_;
  const Baseline& baseline_;
  BaselineIndex index_;
  bool baseline_applies_ = false;
  bool stores_move_ctime_ = false;
  bool may_share_ = true;
  std::size_t path_bytes_ = 0;
  std::unordered_map<std::uint64_t, std::size_t> linked_;  ///< inode with several links -> its leader's entry

  // A recapture looks again at entries below first_new_, and scans those that it finds itself.
  std::size_t first_new_ = 0;
  std::vector<std::vector<std::size_t>> subdirectories_of_;
  std::unordered_set<std::string> known_paths_;
};

}  // namespace cacs::delta
