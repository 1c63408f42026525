#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "repository/ref.h"

namespace cacs::repository {

/// How a blob is laid out. The numbers stand in files.
enum class BlobLayout : std::uint8_t {
  kZeros = 0,  ///< `size` zero bytes, of which nothing is stored; the empty blob too
  kChunk = 1,  ///< all in one slot
  kFile = 2,   ///< a tree of chunks cut by content (file_node.h)
  kPages = 3,  ///< a page map: pages by address (page_node.h)
};

/// One stored stream of bytes, named by the place of its root. A value: it means the same in every process that has the
/// repository open, for as long as something that was committed names it.
struct BlobRef {
  static constexpr std::size_t kEncodedBytes = 32;

  PackId pack;
  Slot slot = 0;
  BlobLayout layout = BlobLayout::kZeros;
  std::uint8_t height = 0;  ///< levels of nodes above the leaves
  std::uint64_t size = 0;   ///< bytes

  friend bool operator==(const BlobRef&, const BlobRef&) = default;
  /// 64 hexadecimal digits, and back: kCorrupt for what names no blob.
  [[nodiscard]] std::string to_text() const;
  static Result<BlobRef> from_text(std::string_view text);
};

/// A named blob of a checkpoint. Names are unique in a checkpoint, 1 to 65,535 bytes, any bytes.
struct Entry {
  std::string name;
  BlobRef blob;

  friend bool operator==(const Entry&, const Entry&) = default;
};

/// What is kept of a piece in the manifest that it went into.
struct PieceInfo {
  std::string piece;  ///< its id, a UUID
  std::string label;  ///< what Repository::begin was given
  JsonObject meta;    ///< the caller's
};

/// A checkpoint: what it is, and what is in it. The repository reads nothing into `meta`.
struct Manifest {
  std::string checkpoint;  ///< UUID
  std::string tenant = "default";
  std::string application;
  int incarnation = 0;
  std::string created_at;  ///< RFC 3339; filled in at the commit when empty
  JsonObject meta;
  std::vector<Entry> entries;      ///< sorted by name when loaded
  std::vector<PieceInfo> pieces;   ///< filled in by Repository::commit_checkpoint
  std::uint64_t size_bytes = 0;    ///< sum of the entries' sizes; filled in at the commit
  std::uint64_t stored_bytes = 0;  ///< bytes of packs that this checkpoint added; filled in at the commit
};

/// A line of Repository::list: the manifest without its entries.
struct Summary {
  Manifest head;
  std::uint64_t entry_count = 0;
  std::optional<Error> problem;  ///< set when the manifest cannot be read; then only head.checkpoint holds, if anything
};

/// A line of Repository::list_brief.
struct BriefSummary {
  std::string checkpoint;
  std::string application;
  std::string created_at;
  int incarnation = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t entry_count = 0;
  std::optional<Error> problem;  ///< as in Summary
};

/// A finished piece: a part of a checkpoint that is stored but not yet committed.
struct Piece {
  PieceInfo info;
  std::string created_at;
  std::vector<Entry> entries;
  std::uint64_t stored_bytes = 0;
};

/// How the bytes of a blob are cut and compressed.
enum class StreamKind : std::uint8_t {
  kMemory,    ///< pages: process memory, shared memory
  kFile,      ///< files: content-defined
  kMetadata,  ///< lists and small records: content-defined, finer
};
inline constexpr std::size_t kStreamKinds = 3;

inline constexpr std::size_t kPageBytes = 4096;

/// A run of pages: of a process's memory, or of a file.
struct PageExtent {
  std::uint64_t page = 0;   ///< number of the first: virtual address (or offset) / kPageBytes; below 2^50
  std::uint64_t count = 0;  ///< pages, at least 1

  friend bool operator==(const PageExtent&, const PageExtent&) = default;
};

/// Where the pages of a stream belong, in the order in which they lie in it. No page twice.
using PageLayout = std::vector<PageExtent>;

}  // namespace cacs::repository
