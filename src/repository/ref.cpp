#include "repository/ref.h"

#include <cstring>

#include "base/text.h"
#include "base/uuid.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

}  // namespace

PackId PackId::make() {
  std::string text = new_uuid();
  std::erase(text, '-');
  return from_hex(text).value();
}

std::string PackId::to_hex() const {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    out += kDigits[static_cast<std::size_t>(byte) >> 4U];
    out += kDigits[static_cast<std::size_t>(byte) & 15U];
  }
  return out;
}

std::optional<PackId> PackId::from_hex(std::string_view hex) {
  PackId id;
  if (hex.size() != 2 * id.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const auto digit = kDigits.find(hex[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    auto& byte = id.bytes[i / 2];  // NOLINT(cppcoreguidelines-pro-bounds-constant-array-index)
    byte = (byte << 4U) | static_cast<std::byte>(digit);
  }
  return id;
}

}  // namespace cacs::repository

std::size_t std::hash<cacs::repository::PackId>::operator()(const cacs::repository::PackId& id) const noexcept {
  // The last 8 bytes of a UUIDv7 are random.
  std::size_t value = 0;
  std::memcpy(&value, id.bytes.data() + 8, sizeof value);
  return value;
}
