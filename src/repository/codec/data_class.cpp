#include "repository/codec/data_class.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace cacs::repository {

std::size_t data_class(std::span<const std::byte> data) {
  // Whole cache lines, spread: one run alone would be one page's header.
  constexpr std::size_t kRun = 64;
  constexpr std::size_t kRuns = 32;
  std::array<std::uint32_t, 256> counts{};
  std::uint64_t sampled = 0;
  const std::size_t runs = std::min(kRuns, (data.size() + kRun - 1) / kRun);
  for (std::size_t run = 0; run < runs; ++run) {
    const std::size_t from = data.size() <= kRuns * kRun ? run * kRun : (data.size() - kRun) / (kRuns - 1) * run;
    for (const std::byte byte : data.subspan(from, std::min(kRun, data.size() - from))) {
      ++counts.at(static_cast<std::size_t>(byte));
      ++sampled;
    }
  }
  if (sampled < 2) return 0;
  std::uint64_t pairs = 0;
  for (const std::uint64_t count : counts) pairs += count * (count - (count == 0 ? 0 : 1));
  // So many values, equally frequent, would be equal as often.
  const double values =
      pairs == 0 ? 256 : static_cast<double>(sampled) * static_cast<double>(sampled - 1) / static_cast<double>(pairs);
  constexpr double kFew = 40;
  constexpr double kAll = 200;
  return values < kFew ? 0 : values < kAll ? 1 : 2;
}

}  // namespace cacs::repository
