#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs::engine {

/// CRIU's images of the common form: two little-endian words (that form's, and one that says what the image is of),
/// then entries, each a length of four bytes and a protobuf message of that length.
///
/// The words that say what an image is of.
inline constexpr std::uint32_t kFilesMagic = 0x56303138;
inline constexpr std::uint32_t kPageMapMagic = 0x56084025;
inline constexpr std::uint32_t kMemoryMagic = 0x57492820;
inline constexpr std::uint32_t kMemfdMagic = 0x48453499;
inline constexpr std::uint32_t kProcessTreeMagic = 0x50273030;
inline constexpr std::uint32_t kCoreMagic = 0x55053847;

inline constexpr std::size_t kImageHeaderBytes = 2 * sizeof(std::uint32_t);
/// What we read of an entry is small: what is longer than this is not one, unless the reader is told otherwise.
inline constexpr std::size_t kMaxEntryBytes = std::size_t{1} << 20U;

/// Goes through the entries of one image. Its views are of the image, which must outlive it. Not thread-safe.
class ImageReader {
 public:
  /// `what` names the image in errors: "the engine's page map". kCorrupt where the image is not of kind `magic`.
  static Result<ImageReader> open(std::string_view image, std::uint32_t magic, std::string what,
                                  std::size_t max_entry_bytes = kMaxEntryBytes);

  /// The next entry's message; nothing at the end of the image. kCorrupt where the image ends within an entry.
  Result<std::optional<std::string_view>> next();

  /// The next entry, parsed into `message` (of protobuf); false at the end of the image, where it is left as it was.
  template <typename Message>
  Result<bool> read(Message& message) {
    CACS_ASSIGN(const auto entry, next());
    if (!entry) return false;
    if (!message.ParseFromArray(entry->data(), static_cast<int>(entry->size())))
      return corrupt("has an entry that cannot be read");
    return true;
  }

  /// kCorrupt: the image `problem`, as in "ends in the middle of an entry".
  [[nodiscard]] Error corrupt(std::string_view problem) const;

 private:
  ImageReader(std::string_view entries, std::string what, std::size_t max_entry_bytes)
      : rest_(entries), what_(std::move(what)), max_entry_bytes_(max_entry_bytes) {}

  std::string_view rest_;
  std::string what_;
  std::size_t max_entry_bytes_;
};

/// A whole image; nothing where there is no such file. kTooLarge beyond `max_bytes`.
Result<std::optional<std::string>> read_image(const std::filesystem::path& path, std::size_t max_bytes);

/// The number N of a file's name PREFIX N ".img", written as CRIU does: decimal, without sign or leading zeros; nothing
/// where the name is not of that form or N exceeds `max`.
std::optional<std::uint64_t> numbered_image(std::string_view name, std::string_view prefix, std::uint64_t max);

}  // namespace cacs::engine
