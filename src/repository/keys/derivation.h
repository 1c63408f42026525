#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace cacs::repository {

/// HKDF-SHA-256 (RFC 5869), extract and expand. Fills `out`, at most 255 * 32 bytes. Any thread.
void hkdf_sha256(std::span<const std::byte> secret, std::span<const std::byte> salt, std::span<const std::byte> info,
                 std::span<std::byte> out);

/// What it costs to try one passphrase (RFC 7914): 128 * n * r bytes of memory, and time in proportion to n * r * p.
struct ScryptCost {
  std::uint32_t n = std::uint32_t{1} << 16U;  ///< a power of two
  std::uint32_t r = 8;
  std::uint32_t p = 1;
  friend bool operator==(const ScryptCost&, const ScryptCost&) = default;
};

inline constexpr std::uint32_t kMaxScryptN = std::uint32_t{1} << 20U;
inline constexpr std::uint32_t kMaxScryptR = 32;
inline constexpr std::uint32_t kMaxScryptP = 16;
inline constexpr std::uint64_t kMaxScryptBytes = std::uint64_t{1} << 30U;

/// kInvalidArgument for a cost that is none, or above the bounds here: a slot that somebody else wrote must not take
/// the memory of its reader.
Status check_cost(const ScryptCost& cost);

/// scrypt (RFC 7914). Fills `out`. The cost has to pass check_cost; kUnavailable when there is not the memory for it.
Status scrypt(std::span<const std::byte> passphrase, std::span<const std::byte> salt, const ScryptCost& cost,
              std::span<std::byte> out);

}  // namespace cacs::repository
