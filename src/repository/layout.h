#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>

#include "repository/ref.h"

namespace cacs::repository {

/// Names of objects in a repository (docs/repository-format.md, *Objects*).
inline constexpr std::string_view kDescriptorName = "repository";
/// An empty object in a store that packs are copied to as they are (levels/): there no pack is ever rewritten. Two
/// stores that both rewrote a pack would have different bytes under one name, and the next copy would lay its own over
/// them.
inline constexpr std::string_view kCopyName = "copy";
inline constexpr std::string_view kPackPrefix = "packs/";
inline constexpr std::string_view kManifestPrefix = "manifests/";
inline constexpr std::string_view kPiecePrefix = "pieces/";
inline constexpr std::string_view kDamagePrefix = "damaged/";
inline constexpr std::string_view kSummaryPrefix = "summaries/";
inline constexpr std::string_view kLevelPrefix = "levels/";

/// An object that holds a pack: "packs/ID.GENERATION".
struct PackName {
  PackId id;
  std::uint32_t generation = 0;
};
inline std::string pack_name(const PackId& id, std::uint32_t generation) {
  return fmt::format("{}{}.{}", kPackPrefix, id.to_hex(), generation);
}
/// Nothing when the name is not of this form.
std::optional<PackName> parse_pack_name(std::string_view name);

inline std::string piece_name(std::string_view piece) { return std::string(kPiecePrefix) + std::string(piece); }
inline std::string damage_name(const PackId& pack) { return std::string(kDamagePrefix) + pack.to_hex(); }

}  // namespace cacs::repository
