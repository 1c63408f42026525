#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "repository/pack_catalog.h"
#include "repository/ref.h"
#include "repository/types.h"

/// The bytes of a page map: docs/repository-format.md. A page map is a radix tree over page numbers: a node has 64
/// children, those of level 0 are pages, those of level n nodes of level n-1. A child that is not there is zeros.
namespace cacs::repository {

inline constexpr unsigned kPageFanoutBits = 6;
inline constexpr std::size_t kPageFanout = std::size_t{1} << kPageFanoutBits;
inline constexpr std::uint64_t kMaxPages = std::uint64_t{1} << 50U;
/// Levels above the leaves that 2^50 pages take.
inline constexpr std::uint8_t kMaxPageHeight = 8;

using PageNode = std::array<Ref, kPageFanout>;

/// 64 children as runs over a list of the packs they are in: 1 byte for a run that goes on where the last one in the
/// same pack ended, 3 to 5 for others.
std::string encode_page_node(const PageNode& node, std::uint8_t level, const PackCatalog& catalog);
/// `level`: what is expected.
Result<PageNode> parse_page_node(std::span<const std::byte> bytes, std::uint8_t level, PackCatalog& catalog);

/// The root of a page map.
struct PageMapHead {
  std::uint64_t pages = 0;  ///< in the stream
  BlobRef layout;           ///< where they belong (encode_page_layout); empty: page n of the stream is page n
  PackId root_pack;         ///< the top node
  Slot root_slot = 0;
  bool empty = false;       ///< nothing but zeros: there is no node
  std::uint8_t height = 0;  ///< level of the top node
};
std::string encode_page_map_head(const PageMapHead& head);
Result<PageMapHead> parse_page_map_head(std::span<const std::byte> bytes);

std::string encode_page_layout(const PageLayout& layout);
/// `pages`: how many there have to be.
Result<PageLayout> parse_page_layout(std::span<const std::byte> bytes, std::uint64_t pages);

/// kInvalidArgument when an extent is empty, out of range, or overlaps another.
Status check_page_layout(const PageLayout& layout);

std::string encode_blob_ref(const BlobRef& blob);
Result<BlobRef> parse_blob_ref(std::span<const std::byte> bytes);

}  // namespace cacs::repository
