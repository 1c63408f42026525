#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "repository/keys/sealing.h"

#define ASSERT_OK(expression)                                                   \
  do {                                                                          \
    const auto& assert_ok_status = (expression);                                \
    ASSERT_TRUE(assert_ok_status.ok()) << assert_ok_status.error().to_string(); \
  } while (false)

namespace cacs::repository {

using Bytes = std::vector<std::byte>;

inline Bytes to_bytes(std::string_view text) {
  const auto bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

/// Of hexadecimal digits; what is not one is a mistake in the test.
inline Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(std::byte(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

inline std::string to_hex(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4U];
    text += kDigits[std::to_integer<unsigned>(byte) & 15U];
  }
  return text;
}

/// Bytes that do not compress, the same for the same seed.
inline Bytes random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = std::byte(random());
  return bytes;
}

/// first, first + step, ...: as the vectors in RFCs are written.
inline Bytes counting(std::size_t size, unsigned first, unsigned step = 1) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = std::byte(first + i * step);
  return bytes;
}

inline SecretKey test_key(std::uint64_t seed) {
  const Bytes bytes = random_bytes(SecretKey::kBytes, seed);
  return SecretKey(std::span<const std::byte, SecretKey::kBytes>(bytes.data(), SecretKey::kBytes));
}

/// The same bytes with bit `bit` (counted from bit 0 of byte 0) the other way round.
inline Bytes flipped(std::span<const std::byte> bytes, std::size_t bit) {
  Bytes copy(bytes.begin(), bytes.end());
  copy.at(bit / 8) ^= std::byte(1U << (bit % 8));
  return copy;
}

}  // namespace cacs::repository
