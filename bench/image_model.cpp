#include "image_model.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace cacs::bench {

namespace {

constexpr std::uint64_t kHeapRegion = 2;
constexpr std::uint64_t kMovingRegion = 10;
constexpr std::uint64_t kSmallRegions = 24;  ///< data, libraries and stack
constexpr double kPrivateShare = 0.01;
constexpr std::uint64_t kHeapGrowthDivisor = 100;
constexpr std::uint64_t kLargeMappingDivisor = 8;

/// The finisher of splitmix64: every bit of the argument goes into every bit of the result.
std::uint64_t scramble(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15U;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31U);
}
std::uint64_t mix(std::uint64_t a, std::uint64_t b) { return scramble(scramble(a) ^ b); }
std::uint64_t mix(std::uint64_t a, std::uint64_t b, std::uint64_t c) { return mix(mix(a, b), c); }

/// In [0, 1).
double share(std::uint64_t hash) { return static_cast<double>(hash >> 11U) * 0x1.0p-53; }

std::uint64_t pages_a_rank(const Series& series) { return series.pages / series.ranks(); }
std::uint64_t growth(const Series& series) { return pages_a_rank(series) / kHeapGrowthDivisor; }

std::uint64_t small_region_pages(const Series& series, std::uint64_t id) { return 4 + mix(series.seed, id) % 13; }

std::uint64_t first_heap_pages(const Series& series) {
  const std::uint64_t all = pages_a_rank(series);
  std::uint64_t others = 3 * (all / kLargeMappingDivisor);
  for (std::uint64_t id = 100; id < 100 + kSmallRegions; ++id) others += small_region_pages(series, id);
  return all - others;
}

/// The version in which this page got the bytes that it has now.
std::uint64_t last_change(const Series& series, std::uint64_t key, std::uint64_t born, double fraction) {
  for (std::uint64_t version = series.version; version > born; --version) {
    if (share(mix(key, version, 1)) < fraction) return version;
  }
  return born;
}

std::uint64_t version_of_birth(const Series& series, const Region& region, std::uint64_t index) {
  if (series.kind != SeriesKind::kHeap || region.id != kHeapRegion) return 0;
  const std::uint64_t first = first_heap_pages(series);
  return index < first ? 0 : 1 + (index - first) / growth(series);
}

}  // namespace

Result<Series> parse_series(std::string_view name) {
  if (name == "heap") return Series{.kind = SeriesKind::kHeap};
  if (name == "ranks") return Series{.kind = SeriesKind::kRanks};
  double percent = 0;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), percent);
  if (problem != std::errc() || end != name.data() + name.size() || !(percent > 0 && percent <= 100)) {
    return make_error(
        ErrorCode::kInvalidArgument,
        "the series '" + std::string(name) + "' is none: give a percentage from above 0 to 100, heap or ranks");
  }
  return Series{.kind = SeriesKind::kFraction, .fraction = percent / 100};
}

std::vector<Region> regions_of(const Series& series) {
  const std::uint64_t large = pages_a_rank(series) / kLargeMappingDivisor;
  std::uint64_t heap = first_heap_pages(series);
  std::uint64_t moving = 0x7F3A00000000;
  if (series.kind == SeriesKind::kHeap) {
    heap += series.version * growth(series);
    // Below, between and above the other large mappings in turn, at offsets that no power of two divides.
    constexpr std::uint64_t kPlaces[] = {0x7F3A00000000, 0x7F3C80000000, 0x7F3800000000};
    moving = kPlaces[series.version % std::size(kPlaces)] + series.version * 7919 * kPage;
  }
  std::vector<Region> regions = {{kHeapRegion, 0x555555A41000, heap},
                                 {kMovingRegion, moving, large},
                                 {kMovingRegion + 1, 0x7F3B00021000, large},
                                 {kMovingRegion + 2, 0x7F3D0000F000, large}};
  for (std::uint64_t id = 100; id < 100 + kSmallRegions; ++id) {
    std::uint64_t start = 0x7F3F00000000 + (id - 100) * 0x234000;
    if (id == 100) start = 0x555555558000;
    if (id == 100 + kSmallRegions - 1) start = 0x7FFD1C3E0000;
    regions.push_back({id, start, small_region_pages(series, id)});
  }
  std::ranges::sort(regions, {}, &Region::start);
  return regions;
}

std::uint64_t gap_after(const Series& series, const Region& region, std::uint64_t index) {
  const std::uint64_t hash = mix(series.seed ^ 0x67617073, region.id, index);
  return hash % 256 == 0 ? 1 + (hash >> 32U) % 15 : 0;
}

Page page_of(const Series& series, std::uint64_t rank, const Region& region, std::uint64_t index) {
  std::uint64_t key = mix(series.seed, region.id, index);
  double fraction = series.fraction;
  bool counted = rank == 0;
  if (series.kind == SeriesKind::kRanks && share(mix(key, 2)) < kPrivateShare) {
    key = mix(key, 3, rank);
    fraction = 1;
    counted = true;
  }
  const std::uint64_t version = last_change(series, key, version_of_birth(series, region, index), fraction);
  const std::uint64_t content = mix(key, version, 4);
  return {content, counted && version == series.version && !is_zero_content(content)};
}

bool is_zero_content(std::uint64_t content) { return content % 25 == 0; }

void fill_page(std::span<std::byte, kPage> page, std::uint64_t content) {
  if (is_zero_content(content)) {
    std::ranges::fill(page, std::byte{0});
    return;
  }
  const bool compressible = (content / 25) % 2 == 0;
  std::uint64_t state = scramble(content);
  for (std::size_t i = 0; i < kPage; i += sizeof state) {
    const std::uint64_t word = compressible ? state + i : scramble(state + i);
    std::memcpy(&page[i], &word, sizeof word);
  }
}

}  // namespace cacs::bench
