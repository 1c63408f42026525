#include "repository/codec/texture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace cacs::repository {

namespace {

constexpr std::size_t kPlaces = 16;
constexpr std::size_t kPieceBytes = 64;
constexpr std::size_t kLeastSample = 256;
/// Upper ends of the textures 0 to 4: one value; sparse; text and programs; records and numbers; numbers full of noise.
constexpr std::array<double, 5> kEnds = {1.0, 2.5, 4.5, 6.5, 7.7};

/// Counts bytes. Two tables in turn: runs of one value would wait for the store before.
struct Histogram {
  std::array<std::array<std::uint32_t, 256>, 2> counts{};
  std::size_t total = 0;

  void add(std::span<const std::byte> bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) ++counts[i % 2][std::to_integer<std::size_t>(bytes[i])];
    total += bytes.size();
  }
};

Histogram histogram(std::span<const std::byte> sample) {
  Histogram result;
  if (sample.size() <= kPlaces * kPieceBytes) {
    result.add(sample);
    return result;
  }
  const std::size_t stride = sample.size() / kPlaces;
  for (std::size_t i = 0; i < kPlaces; ++i) {
    // Not always the beginning of a page: what is at the beginning of pages is not what is in them.
    const std::size_t within = (i * 2654435761U) % (stride - kPieceBytes + 1);
    result.add(sample.subspan(i * stride + within, kPieceBytes));
  }
  return result;
}

}  // namespace

double collision_entropy(std::span<const std::byte> sample) {
  const Histogram seen = histogram(sample);
  if (seen.total < 2) return 8;
  std::uint64_t pairs = 0;
  for (std::size_t i = 0; i < 256; ++i) {
    const std::uint64_t count = seen.counts[0][i] + seen.counts[1][i];
    pairs += count * (count - (count > 0 ? 1 : 0));
  }
  if (pairs == 0) return 8;
  const double all = static_cast<double>(seen.total) * static_cast<double>(seen.total - 1);
  // Adding zero makes one of minus zero.
  return std::min(8.0, std::log2(all / static_cast<double>(pairs)) + 0.0);
}

std::size_t texture_of(std::span<const std::byte> sample) {
  if (sample.size() < kLeastSample) return kUnknownTexture;
  const double entropy = collision_entropy(sample);
  return static_cast<std::size_t>(std::upper_bound(kEnds.begin(), kEnds.end(), entropy) - kEnds.begin());
}

}  // namespace cacs::repository
