#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cacs::delta {

/// Bounds on any tree that is captured, parsed or rebuilt. A tree beyond them is refused by name (kTooLarge).
inline constexpr std::size_t kMaxPathBytes = std::size_t{64} << 10U;
inline constexpr std::size_t kMaxNameBytes = 255;
inline constexpr std::size_t kMaxEntries = std::size_t{16} << 20U;
inline constexpr std::size_t kMaxXattrsPerEntry = 4096;
inline constexpr std::size_t kMaxTokenBytes = 4096;

enum class EntryType : std::uint8_t {
  kRegular = 1,
  kDirectory = 2,
  kSymlink = 3,
  kFifo = 4,
  kSocket = 5,
  kCharDevice = 6,  ///< 0:0 is overlayfs's whiteout: "this name of the base is deleted"
  kBlockDevice = 7,
};

struct Timestamp {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;

  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

/// Name and value are byte strings. `trusted.*`, `user.*`, `security.*` and POSIX ACLs (`system.posix_acl_*`) alike.
struct Xattr {
  std::string name;
  std::string value;

  friend bool operator==(const Xattr&, const Xattr&) = default;
};

/// One name of a tree, with everything that has to come back. Bytes, not text: names need not be UTF-8.
struct Entry {
  std::string path;  ///< relative to the root, no leading slash; "" is the root itself
  EntryType type = EntryType::kRegular;
  std::uint32_t mode = 0;  ///< permission bits, set-id and sticky: 07777
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  Timestamp mtime;
  std::uint64_t size = 0;  ///< bytes; of regular files only
  std::uint32_t rdev_major = 0;
  std::uint32_t rdev_minor = 0;
  std::uint64_t inode = 0;       ///< when captured; only tells renames apart in diff()
  std::uint64_t link_group = 0;  ///< 0, or: all entries of one number are hard links to one inode
  std::string symlink_target;
  std::vector<Xattr> xattrs;  ///< sorted by name
  std::string token;          ///< names the content of a regular file; in a link group only the first entry has one

  [[nodiscard]] bool is_whiteout() const {
    return type == EntryType::kCharDevice && rdev_major == 0 && rdev_minor == 0;
  }
  friend bool operator==(const Entry&, const Entry&) = default;
};

/// A tree: the root first, every directory before what it holds, the first of a link group (its leader) before the
/// others. Inside a directory the order is unspecified.
struct Listing {
  std::vector<Entry> entries;

  friend bool operator==(const Listing&, const Listing&) = default;
};

/// Whether the listing keeps its promises and can be rebuilt without leaving a directory: no absolute path, no `.` or
/// `..`, no name twice, nothing below what is not a directory, link groups of one type. kCorrupt names the entry.
Status validate(const Listing& listing);

/// Versioned binary form (docs/delta.md). Deterministic.
std::string serialise(const Listing& listing);

/// The listing that was serialised; kCorrupt for anything else, kUnsupported for a version that needs a newer reader.
/// Never takes more memory than a fixed multiple of the input plus the bounds above. The result is valid.
Result<Listing> parse_listing(std::string_view bytes);

/// The part of `path` before its last slash ("" for a name in the root), and after it.
std::string_view parent_path(std::string_view path);
std::string_view base_name(std::string_view path);

}  // namespace cacs::delta
