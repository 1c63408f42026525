#pragma once

#include <cstddef>
#include <span>

namespace cacs::repository {

/// What the bytes of a segment look like, told from about a thousand of them: not how well they compress (that is
/// learned from results) but which earlier segments they are like, so that a stream in which zeros, text and ciphertext
/// alternate has an estimate for each.
inline constexpr std::size_t kTextures = 7;
inline constexpr std::size_t kUnknownTexture = 6;  ///< nothing was shown

/// Collision entropy (-log2 of the probability that two bytes are equal) of at most 1 KiB, taken at 16 places spread
/// over `sample`; 0 for one value only, 8 for what looks random. 8 for fewer than two bytes.
double collision_entropy(std::span<const std::byte> sample);

/// 0 (nearly all bytes alike) to 5 (looks random), kUnknownTexture for a sample of less than 256 bytes.
std::size_t texture_of(std::span<const std::byte> sample);

}  // namespace cacs::repository
