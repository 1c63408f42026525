#pragma once

#include <string>
#include <string_view>

namespace cacs::repository {

/// Names in the repository's directory (docs/repository.md, *Files*).
inline constexpr std::string_view kDescriptorFile = "repository";
inline constexpr std::string_view kPackDirectory = "packs";
inline constexpr std::string_view kManifestDirectory = "manifests";
inline constexpr std::string_view kPieceDirectory = "pieces";
inline constexpr std::string_view kDamageDirectory = "damaged";
inline constexpr std::string_view kTemporarySuffix = ".tmp";
inline constexpr std::string_view kPackSuffix = ".pack";
inline constexpr std::string_view kManifestSuffix = ".manifest";
inline constexpr std::string_view kPieceSuffix = ".piece";
inline constexpr std::string_view kDamageSuffix = ".damage";

inline std::string file_name(std::string_view directory, std::string_view id, std::string_view suffix) {
  return std::string(directory) + "/" + std::string(id) + std::string(suffix);
}
inline std::string pack_file(std::string_view id) { return file_name(kPackDirectory, id, kPackSuffix); }
inline std::string manifest_file(std::string_view id) { return file_name(kManifestDirectory, id, kManifestSuffix); }
inline std::string piece_file(std::string_view id) { return file_name(kPieceDirectory, id, kPieceSuffix); }
inline std::string damage_file(std::string_view pack) { return file_name(kDamageDirectory, pack, kDamageSuffix); }
inline std::string temporary_of(const std::string& name) { return name + std::string(kTemporarySuffix); }

/// The UUID in "UUID.suffix"; empty when the name is not of this form.
std::string id_of_file(std::string_view name, std::string_view suffix);

}  // namespace cacs::repository
