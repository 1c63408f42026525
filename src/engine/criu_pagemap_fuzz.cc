// Any bytes: refused as no page map, or taken for one whose extents are in order and as many pages as its file.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/criu_image.h"
#include "engine/criu_pagemap.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(std::string_view image, std::uint64_t pages_in_file) {
  using cacs::engine::kPageBytes;
  const auto map = cacs::engine::parse_page_map(image, pages_in_file * kPageBytes);
  if (!map) return;
  const auto pages_id = cacs::engine::pages_id_of(image);
  require(pages_id.ok() && *pages_id == map->pages_id);
  std::uint64_t pages = 0;
  std::uint64_t least = 0;  // number of the first page that may come
  for (const auto& extent : map->extents) {
    require(extent.address % kPageBytes == 0 && extent.pages > 0 && extent.address / kPageBytes >= least);
    require(extent.pages <= (std::uint64_t{1} << 52U) - extent.address / kPageBytes);
    least = extent.address / kPageBytes + extent.pages + 1;
    pages += extent.pages;
  }
  require(pages == pages_in_file);
  require(!cacs::engine::parse_page_map(image, (pages_in_file + 1) * kPageBytes).ok());
}

}  // namespace

// The first byte says how many pages the file has; with its highest bit an image's first words are put in front of the
// rest, which then is entries.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string image;
  if ((data[0] & 0x80U) != 0) image.assign("\x19\x43\x56\x54\x25\x40\x08\x56");
  image.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  check(image, data[0] & 0x7fU);
  return 0;
}
