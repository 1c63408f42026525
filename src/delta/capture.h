#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "delta/baseline.h"
#include "delta/listing.h"
#include "delta/memory_stage.h"
#include "delta/selection.h"

namespace cacs::delta {

struct CaptureOptions {
  /// A ctime nearer than this to the moment of capture is not trusted next time: a later write may fall into the same
  /// tick of the kernel's clock (4 ms at most where timestamps are coarse; the rest is margin).
  std::chrono::milliseconds racy_window{100};
  /// (device, inode) of regular files to read again whatever their ctime says, for changes that no ctime tells of
  /// (pages pinned by a device, say). Writable mappings need no entry here: see docs/delta.md.
  std::set<std::pair<std::uint64_t, std::uint64_t>> always_read;
  /// Room for contents of a tree in memory, made ready before; what is taken from it is the snapshot's. May be null.
  MemoryStage* memory = nullptr;
  /// What of the tree is captured; the directories above it are, too, but not what they hide of a layer below.
  Selection only;
};

/// The content of one regular file (of one link group) of a snapshot.
struct CapturedFile {
  std::size_t entry = 0;   ///< index into the listing
  std::uint64_t size = 0;  ///< bytes
  std::string token;       ///< unchanged: what the baseline calls this content
  /// Changed: a private file that holds the content (sparse); empty when unchanged. For this process only: it may be in
  /// memory (/proc/self/fd/N).
  std::filesystem::path staged;

  [[nodiscard]] bool changed() const { return !staged.empty(); }
};

struct CaptureStats {
  std::size_t entries = 0;
  std::size_t unchanged_files = 0;
  std::size_t shared_files = 0;  ///< staged by sharing blocks
  std::size_t copied_files = 0;  ///< staged by copying
  std::size_t memory_files = 0;  ///< staged in memory
  std::uint64_t staged_bytes = 0;
  std::uint64_t copied_bytes = 0;
};

/// One captured state of a tree. Owns its staged files: they go when it goes. Move only; one thread at a time.
class Snapshot {
 public:
  Snapshot(Snapshot&& other) noexcept;
  Snapshot& operator=(Snapshot&& other) noexcept;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot();

  /// Every entry of the tree; the tokens of regular files are still empty (next_baseline() fills them in).
  [[nodiscard]] const Listing& listing() const { return listing_; }
  /// One for each content, in the listing's order.
  [[nodiscard]] const std::vector<CapturedFile>& files() const { return files_; }
  [[nodiscard]] const CaptureStats& stats() const { return stats_; }

 private:
  friend class Capturer;
  friend Result<Baseline> next_baseline(const Snapshot& snapshot, std::span<const std::string> tokens);
  Snapshot() = default;
  void remove_staging();

  std::filesystem::path root_;
  std::filesystem::path staging_;  ///< our own directory below the caller's
  std::vector<UniqueFd> memory_;   ///< staged files in memory
  TreeIdentity tree_;
  Listing listing_;
  std::vector<Identity> identities_;
  std::vector<CapturedFile> files_;
  CaptureStats stats_;
  CaptureOptions options_;
  Timestamp taken_;
  std::uint64_t next_staged_ = 0;
};

/// Writes back what is dirty on the file system of `root`, so that capture() soon after finds little to do. Before the
/// freeze; may take as long as the disk does.
Status presync(const std::filesystem::path& root);

/// Records the tree at `root`, and puts the content of each file that is not provably the one in `baseline` aside in a
/// new directory below `staging` (which must exist; on the same file system, if that can share blocks, it costs no
/// copying). Nothing may write to the tree meanwhile: every task that can is frozen. An engine may add names beside
/// it: see recapture_directories(). What is mounted below `root` is not entered. On error nothing is left in staging.
Result<Snapshot> capture(const std::filesystem::path& root, const std::filesystem::path& staging,
                         const Baseline& baseline, const CaptureOptions& options = {});

/// Adds the names that appeared since in directories of the snapshot: CRIU links deleted but open files back into the
/// tree during its dump. Once the dump is complete, and still frozen. Looks at directories only; times of directories
/// stay as they were captured.
Status recapture_directories(Snapshot& snapshot);

/// What the next capture compares with, once every changed content is stored: tokens[i] names files()[i] (for an
/// unchanged one: its token again, or another name of the same content). Its listing is the complete one, to store.
Result<Baseline> next_baseline(const Snapshot& snapshot, std::span<const std::string> tokens);

}  // namespace cacs::delta
