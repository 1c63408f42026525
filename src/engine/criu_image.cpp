#include "engine/criu_image.h"

#include <bit>
#include <charconv>
#include <cstring>

#include "base/io.h"

namespace cacs::engine {

namespace {

constexpr std::uint32_t kCommonMagic = 0x54564319;
constexpr std::size_t kWord = sizeof(std::uint32_t);

static_assert(std::endian::native == std::endian::little);

std::uint32_t word_at(std::string_view image, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, image.data() + offset, kWord);
  return value;
}

Error not_an_image(std::string_view what, std::string_view problem) {
  return make_error(ErrorCode::kCorrupt, std::string(what) + ' ' + std::string(problem),
                    "this engine is not one CACS was tried with; `cacs check` says which are");
}

}  // namespace

Result<ImageReader> ImageReader::open(std::string_view image, std::uint32_t magic, std::string what,
                                      std::size_t max_entry_bytes) {
  if (image.size() < kImageHeaderBytes || word_at(image, 0) != kCommonMagic || word_at(image, kWord) != magic)
    return not_an_image(what, "does not begin as one");
  return ImageReader(image.substr(kImageHeaderBytes), std::move(what), max_entry_bytes);
}

Result<std::optional<std::string_view>> ImageReader::next() {
  if (rest_.empty()) return std::optional<std::string_view>();
  if (rest_.size() < kWord) return corrupt("ends in the middle of an entry");
  const std::size_t size = word_at(rest_, 0);
  if (size > max_entry_bytes_ || size > rest_.size() - kWord) return corrupt("has an entry that is longer than it");
  const std::string_view entry = rest_.substr(kWord, size);
  rest_.remove_prefix(kWord + size);
  return std::optional(entry);
}

Error ImageReader::corrupt(std::string_view problem) const { return not_an_image(what_, problem); }

Result<std::optional<std::string>> read_image(const std::filesystem::path& path, std::size_t max_bytes) {
  auto image = read_text_file(path, max_bytes);
  if (image) return std::optional(*std::move(image));
  if (image.error().code == ErrorCode::kNotFound) return std::optional<std::string>();
  return image.error();
}

std::optional<std::uint64_t> numbered_image(std::string_view name, std::string_view prefix, std::uint64_t max) {
  constexpr std::string_view kSuffix = ".img";
  if (name.size() <= prefix.size() + kSuffix.size() || !name.starts_with(prefix) || !name.ends_with(kSuffix))
    return std::nullopt;
  const std::string_view digits = name.substr(prefix.size(), name.size() - prefix.size() - kSuffix.size());
  if (digits.front() == '0' && digits.size() > 1) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (problem != std::errc() || end != digits.data() + digits.size() || number > max) return std::nullopt;
  return number;
}

}  // namespace cacs::engine
