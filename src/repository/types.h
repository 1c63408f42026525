#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/json.h"

namespace cacs::repository {

/// One stored stream of bytes. `id` is the digest of the root of its list of chunk digests (docs/repository.md,
/// *Blobs*): equal content put with the same kind has the same id.
struct BlobRef {
  Digest id;
  std::uint64_t size = 0;  ///< bytes

  friend bool operator==(const BlobRef&, const BlobRef&) = default;
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
  std::optional<Error> problem;  ///< set when the manifest cannot be read; then only head.checkpoint holds
};

/// A finished piece: a part of a checkpoint that is stored but not yet committed.
struct Piece {
  PieceInfo info;
  std::string created_at;
  std::vector<Entry> entries;
  std::uint64_t stored_bytes = 0;
};

/// How the bytes of a blob are cut into chunks.
enum class StreamKind {
  kMemory,    ///< process memory: fixed pieces
  kFile,      ///< files: content-defined
  kMetadata,  ///< lists and small records: content-defined, finer
};

}  // namespace cacs::repository
