#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "repository/session/session_types.h"
#include "repository/types.h"

/// What stands in manifests and pieces. Pure. Parsers take any JSON and any bytes; what they refuse is kCorrupt.
namespace cacs::repository {

inline constexpr std::size_t kMaxNameBytes = 65535;

/// A head is a manifest or piece without its entries, and the blob that holds them.
struct ManifestDocument {
  Manifest head;
  BlobRef entries;
  std::uint64_t entry_count = 0;
  std::optional<RootOrigin> origin;  ///< of the session that wrote it; none where a gate keeps writers apart
};
JsonObject manifest_to_json(const ManifestDocument& document);
Result<ManifestDocument> manifest_from_json(const JsonObject& json);

struct PieceDocument {
  Piece head;
  BlobRef entries;
  std::uint64_t entry_count = 0;
  std::optional<RootOrigin> origin;
};
JsonObject piece_to_json(const PieceDocument& document);
Result<PieceDocument> piece_from_json(const JsonObject& json);

/// Sorts by name, and refuses names that are empty, too long or there twice.
Status sort_entries(std::vector<Entry>& entries);
/// The list of entries as it is stored in a blob of its own.
std::string encode_entries(const std::vector<Entry>& entries);
/// Entries have to be sorted by name, each name once.
Result<std::vector<Entry>> parse_entries(std::span<const std::byte> bytes);

}  // namespace cacs::repository
