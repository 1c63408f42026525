#include "repository/backend/cache_entry.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/hash.h"
#include "base/io.h"
#include "repository/backend/object_name.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kFields = 24;
constexpr std::size_t kHeader = kFields + 32;
constexpr std::string_view kMagic = "CACSBLK1";

void put_number(std::span<std::byte> out, std::uint64_t value) {
  for (auto& byte : out) {
    byte = static_cast<std::byte>(value & 0xffU);
    value >>= 8U;
  }
}

std::array<std::byte, kFields> fields_of(std::uint64_t block, std::size_t name_bytes, std::size_t data_bytes) {
  std::array<std::byte, kFields> fields{};
  std::memcpy(fields.data(), kMagic.data(), kMagic.size());
  put_number(std::span(fields).subspan(8, 8), block);
  put_number(std::span(fields).subspan(16, 4), name_bytes);
  put_number(std::span(fields).subspan(20, 4), data_bytes);
  return fields;
}

Digest digest_of(std::span<const std::byte> fields, const std::string& name, std::span<const std::byte> data) {
  Sha256 hash;
  hash.update(fields);
  hash.update(as_bytes(name));
  hash.update(data);
  return hash.finish();
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

std::vector<std::byte> encode_cache_entry(const std::string& name, std::uint64_t block,
                                          std::span<const std::byte> data) {
  const auto fields = fields_of(block, name.size(), data.size());
  const Digest digest = digest_of(fields, name, data);
  std::vector<std::byte> entry(kHeader + name.size() + data.size());
  std::byte* at = std::ranges::copy(fields, entry.data()).out;
  at = std::ranges::copy(std::as_bytes(std::span(digest.bytes)), at).out;
  at = std::ranges::copy(as_bytes(name), at).out;
  std::ranges::copy(data, at);
  return entry;
}

std::optional<std::span<const std::byte>> open_cache_entry(std::span<const std::byte> entry, const std::string& name,
                                                           std::uint64_t block, std::size_t max_data) {
  if (entry.size() < kHeader + name.size()) return std::nullopt;
  const auto data = entry.subspan(kHeader + name.size());
  // What the header has to be follows from what is asked for and from how much there is: nothing in it is believed.
  const auto fields = fields_of(block, name.size(), data.size());
  if (data.size() > max_data || !std::ranges::equal(fields, entry.first(kFields))) return std::nullopt;
  if (!std::ranges::equal(as_bytes(name), entry.subspan(kHeader, name.size()))) return std::nullopt;
  const Digest digest = digest_of(fields, name, data);
  if (!std::ranges::equal(std::as_bytes(std::span(digest.bytes)), entry.subspan(kFields, 32))) return std::nullopt;
  return data;
}

std::size_t cache_entry_bound(std::size_t max_data) { return kHeader + kMaxObjectName + max_data; }

std::string cache_key_prefix(const std::string& name) {
  const std::string hash = sha256(name).to_hex().substr(0, 32);
  return hash.substr(0, 2) + "/" + hash + ".";  // 256 directories, so that none becomes very long
}

std::string cache_key(const std::string& name, std::uint64_t block) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string number(16, '0');
  for (std::size_t i = number.size(); i-- > 0; block >>= 4U) number[i] = kHex[block & 15U];
  return cache_key_prefix(name) + number;
}

bool is_cache_key(const std::string& key) {
  return key.size() == 2 + 1 + 32 + 1 + 16 && key[2] == '/' && key[35] == '.' &&
         is_hex(std::string_view(key).substr(0, 2)) && is_hex(std::string_view(key).substr(3, 32)) &&
         is_hex(std::string_view(key).substr(36));
}

}  // namespace cacs::repository
