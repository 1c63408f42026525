#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

/// A process as a series of memory images that is a pure function of (seed, version): any version can be written
/// without those before it, and what changed between two is known exactly.
namespace cacs::bench {

constexpr std::size_t kPage = 4096;

enum class SeriesKind {
  kFraction,  ///< a share of the pages, scattered, is new in each version
  kHeap,      ///< 1 % is new, the heap grows by 1 % of the image, and an eighth of the image moves to other addresses
  kRanks,  ///< four processes, identical but for 1 % of private pages; 1 % of the others and all private ones are new
};

struct Series {
  SeriesKind kind = SeriesKind::kFraction;
  double fraction = 0.01;   ///< of the pages that are new in each version
  std::uint64_t pages = 0;  ///< of the first version, all processes together
  std::uint64_t version = 0;
  std::uint64_t seed = 1;

  [[nodiscard]] std::uint64_t ranks() const { return kind == SeriesKind::kRanks ? 4 : 1; }
};

/// `name` is a percentage ("0.1" ... "100"), "heap" or "ranks".
Result<Series> parse_series(std::string_view name);

/// A mapping of the process. A page is known by its region and its index in it, wherever the region lies.
struct Region {
  std::uint64_t id = 0;
  std::uint64_t start = 0;  ///< address
  std::uint64_t pages = 0;
};

/// The mappings of one process in this version, by address. They are laid out as in a dynamically linked 64-bit
/// program: data, heap, three large mappings, libraries, stack.
std::vector<Region> regions_of(const Series& series);

/// How many pages that are not there follow page `index`: an image has many runs of pages, not one a mapping.
std::uint64_t gap_after(const Series& series, const Region& region, std::uint64_t index);

struct Page {
  std::uint64_t content = 0;  ///< names the bytes: equal names, equal bytes
  bool fresh = false;         ///< its content is of this version and of no page counted before
};

/// `rank` counts from 0.
Page page_of(const Series& series, std::uint64_t rank, const Region& region, std::uint64_t index);

/// 4 % of the contents are zeros; of the others half do not compress and half compress well.
bool is_zero_content(std::uint64_t content);
void fill_page(std::span<std::byte, kPage> page, std::uint64_t content);

}  // namespace cacs::bench
