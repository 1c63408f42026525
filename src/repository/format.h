#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "base/result.h"
#include "repository/types.h"

/// The bytes on disk: docs/repository.md describes each. Everything here is pure: bytes in, values out. Parsers take
/// any bytes whatsoever, and check every count, length and offset before they use it; what they refuse is kCorrupt, or
/// kUnsupported when it was written for a newer reader.
namespace cacs::repository {

inline constexpr std::uint16_t kFormatVersion = 1;
inline constexpr std::uint16_t kMinimumReader = 1;
inline constexpr std::uint8_t kSealingNone = 0;

inline constexpr std::size_t kMaxChunkBytes = std::size_t{1} << 20U;
inline constexpr std::size_t kMaxPackBytes = std::size_t{1} << 28U;
inline constexpr std::size_t kMaxPackEntries = std::size_t{1} << 20U;
inline constexpr std::size_t kMaxDocumentBytes = std::size_t{16} << 20U;
inline constexpr std::size_t kMaxNodeEntries = 1024;
inline constexpr std::size_t kMaxBlobLevels = 8;
inline constexpr std::uint64_t kMaxBlobBytes = std::uint64_t{1} << 62U;
inline constexpr std::size_t kMaxNameBytes = 65535;

inline constexpr std::size_t kPackHeaderBytes = 96;
inline constexpr std::size_t kPackEntryBytes = 48;
inline constexpr std::size_t kPackTrailerBytes = 64;

Error corrupt(std::string message);

// --- packs ---------------------------------------------------------------------------------------------------------

enum class Codec : std::uint32_t { kNone = 0, kZstd = 1 };

/// Where a chunk lies in its pack.
struct PackEntry {
  Digest digest;  ///< of the chunk before compression
  std::uint32_t offset = 0;
  std::uint32_t stored = 0;  ///< bytes in the pack
  std::uint32_t raw = 0;     ///< bytes of the chunk
  Codec codec = Codec::kNone;
};

std::string encode_pack_header(std::string_view pack_id);
/// `header` is the encoded header of the same pack: the footer's digest covers it.
std::string encode_pack_footer(std::string_view header, const std::vector<PackEntry>& entries);

/// What stands in the last kPackTrailerBytes of a pack of `file_size` bytes.
struct PackTrailer {
  std::uint64_t footer_offset = 0;
  std::size_t count = 0;
};
Result<PackTrailer> parse_pack_trailer(std::span<const std::byte> trailer, std::uint64_t file_size);
/// `footer` is everything from the trailer's footer_offset to the end of the file.
Result<std::vector<PackEntry>> parse_pack_footer(std::string_view pack_id, std::span<const std::byte> header,
                                                 std::span<const std::byte> footer, std::uint64_t file_size);

// --- nodes: the tree of digests that is a blob
// ------------------------------------------------------------------------

/// One line of a node: a chunk (or a node of the level below) and the bytes of the blob it stands for. A digest of
/// zeros is a run of zero bytes, of which nothing is stored; only on level 0.
struct NodeEntry {
  std::uint64_t length = 0;
  Digest digest;

  [[nodiscard]] bool is_zero_run() const { return digest == Digest{}; }
};

struct Node {
  std::uint8_t level = 0;
  std::vector<NodeEntry> entries;

  [[nodiscard]] std::uint64_t size() const;
};

std::string encode_node(const Node& node);
Result<Node> parse_node(std::span<const std::byte> bytes);
/// The most that an encoded node may take.
inline constexpr std::size_t kMaxNodeBytes = 16 + kMaxNodeEntries * 40;

// --- documents: descriptor, manifests, pieces, quarantines
// -------------------------------------------------------------------------

enum class DocumentKind { kRepository, kManifest, kPiece, kDamage };

std::string encode_document(DocumentKind kind, const JsonObject& body);
/// `what` names it in errors ("manifest 0192...").
Result<JsonObject> parse_document(DocumentKind kind, std::span<const std::byte> bytes, std::string_view what);

/// The list of entries as it is stored in a blob of its own.
std::string encode_entries(const std::vector<Entry>& entries);
/// Entries have to be sorted by name, each name once.
Result<std::vector<Entry>> parse_entries(std::span<const std::byte> bytes);

/// A head is a manifest or piece without its entries, and the blob that holds them.
struct ManifestDocument {
  Manifest head;
  BlobRef entries;
  std::uint64_t entry_count = 0;
};
JsonObject manifest_to_json(const ManifestDocument& document);
Result<ManifestDocument> manifest_from_json(const JsonObject& json);

struct PieceDocument {
  Piece head;
  BlobRef entries;
  std::uint64_t entry_count = 0;
};
JsonObject piece_to_json(const PieceDocument& document);
Result<PieceDocument> piece_from_json(const JsonObject& json);

/// Which slots of a pack are in quarantine, as runs.
JsonObject damage_to_json(std::string_view pack, const std::vector<bool>& slots);
/// `count`: how many slots the pack has.
Result<std::vector<bool>> damage_from_json(const JsonObject& json, std::string_view pack, std::size_t count);

}  // namespace cacs::repository
