#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "delta/listing.h"
#include "engine/criu_regions.h"
#include "repository/types.h"

namespace cacs::inspect {

/// Pages of memory that are in a checkpoint, by address, and where each run of them lies in its blob.
struct SavedRun {
  std::uint64_t page = 0;   ///< address (in shared memory: offset) / 4096
  std::uint64_t count = 0;  ///< pages
  std::uint64_t first = 0;  ///< of the first, its place in the blob, in pages
};

/// The saved pages of one process, or of one shared memory. Immutable.
struct SavedMemory {
  repository::BlobRef blob;
  std::vector<SavedRun> runs;  ///< by page, without overlap

  /// How many of the pages [first, end) are in the checkpoint.
  [[nodiscard]] std::uint64_t saved(std::uint64_t first, std::uint64_t end) const;
};

/// A window of memory as a file: byte 0 is `start`. What is not saved reads as zeros.
struct MemoryWindow {
  std::shared_ptr<const SavedMemory> memory;  ///< null: nothing of it is saved
  std::uint64_t start = 0;                    ///< address, or offset in shared memory; of a page
};

/// What a region of memory is, beside its bytes.
struct RegionFacts {
  engine::Region region;
  std::uint64_t pages = 0;
  std::uint64_t saved = 0;  ///< of them, in the checkpoint

  /// Pages that are not in the checkpoint because a file (or the kernel) has them; those of other memory that are not
  /// saved were never written to, and are zeros.
  [[nodiscard]] std::uint64_t elsewhere() const;
};

/// Where the bytes of a file are: in a blob, in memory's pages, or made up here (text).
using Content = std::variant<std::monostate, repository::BlobRef, MemoryWindow, std::shared_ptr<const std::string>>;

/// A name of a checkpoint's tree. A value.
struct Node {
  delta::EntryType type = delta::EntryType::kDirectory;
  std::uint32_t mode = 0555;  ///< permission bits; of what the checkpoint gives no owner: 0555 and 0444, root's
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  delta::Timestamp mtime;
  std::uint64_t size = 0;  ///< bytes
  std::uint32_t rdev_major = 0;
  std::uint32_t rdev_minor = 0;
  std::uint64_t link_group = 0;  ///< as delta::Entry has it
  bool whiteout = false;         ///< a name of the base that the pod has deleted; a character device 0:0
  bool opaque = false;           ///< a directory that hides the base's of its name
  std::string target;            ///< of a symbolic link
  std::optional<RegionFacts> region;
  Content content;
};

}  // namespace cacs::inspect
