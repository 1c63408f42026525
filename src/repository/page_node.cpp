#include "repository/page_node.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "base/io.h"
#include "repository/bytes.h"
#include "repository/pack_format.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kNodeMagic = "PN";
constexpr std::string_view kHeadMagic = "PM";
constexpr std::uint8_t kEmptyFlag = 1;
constexpr std::uint64_t kMaxExtents = std::uint64_t{1} << 28U;

/// The packs of a node in the order of their first use, and where the last run in each ended.
class PackList {
 public:
  struct Use {
    std::uint32_t pack = 0;
    Slot next = 0;
  };
  std::size_t index_of(std::uint32_t pack) {
    for (std::size_t i = 0; i < uses_.size(); ++i) {
      if (uses_[i].pack == pack) return i;
    }
    uses_.push_back({.pack = pack});
    return uses_.size() - 1;
  }
  Use& operator[](std::size_t index) { return uses_[index]; }
  [[nodiscard]] const std::vector<Use>& uses() const { return uses_; }

 private:
  std::vector<Use> uses_;  // at most 64, and mostly a few: looking through them is as good as a map
};

}  // namespace

std::string encode_page_node(const PageNode& node, std::uint8_t level, const PackCatalog& catalog) {
  PackList packs;
  ByteWriter runs;
  for (std::size_t at = 0; at < node.size();) {
    const Ref& first = node.at(at);
    std::size_t end = at + 1;
    while (end < node.size() && node.at(end).pack == first.pack &&
           (first.none() || node.at(end).slot == first.slot + (end - at))) {
      ++end;
    }
    runs.varint(((end - at) << 1U) | (first.none() ? 0U : 1U));
    if (!first.none()) {
      const std::size_t index = packs.index_of(first.pack);
      runs.varint(index);
      runs.signed_varint(static_cast<std::int64_t>(first.slot) - static_cast<std::int64_t>(packs[index].next));
      packs[index].next = first.slot + static_cast<Slot>(end - at);
    }
    at = end;
  }
  ByteWriter out;
  out.text(kNodeMagic);
  out.number(level);
  out.varint(packs.uses().size());
  for (const auto& use : packs.uses()) out.raw(catalog.id_of(use.pack).bytes);
  out.text(runs.view());
  return out.take();
}

Result<PageNode> parse_page_node(std::span<const std::byte> bytes, std::uint8_t level, PackCatalog& catalog) {
  const auto bad = [] { return corrupt("a node of a page map that is none"); };
  ByteReader in(bytes);
  if (in.text(kNodeMagic.size()) != kNodeMagic || in.number<std::uint8_t>() != level) return bad();
  const std::uint64_t count = in.varint();
  if (in.failed() || count > kPageFanout) return bad();
  std::array<std::uint32_t, kPageFanout> packs{};
  std::array<Slot, kPageFanout> next{};
  for (std::size_t i = 0; i < count; ++i) {
    const PackId id{in.bytes<16>()};
    if (in.failed()) return bad();
    packs.at(i) = catalog.number_of(id);
  }
  PageNode node;
  for (std::size_t at = 0; at < node.size();) {
    const std::uint64_t head = in.varint();
    const std::uint64_t length = head >> 1U;
    if (in.failed() || length == 0 || length > node.size() - at) return bad();
    if ((head & 1U) != 0) {
      const std::uint64_t index = in.varint();
      const std::int64_t delta = in.signed_varint();
      constexpr std::int64_t kLimit = std::int64_t{1} << 32U;
      if (in.failed() || index >= count || delta <= -kLimit || delta >= kLimit) return bad();
      const std::int64_t slot = static_cast<std::int64_t>(next.at(index)) + delta;
      if (slot < 0 || slot > kLimit - static_cast<std::int64_t>(length)) return bad();
      for (std::uint64_t i = 0; i < length; ++i) {
        node.at(at + i) = {.pack = packs.at(index), .slot = static_cast<Slot>(slot + static_cast<std::int64_t>(i))};
      }
      next.at(index) = static_cast<Slot>(slot + static_cast<std::int64_t>(length));
    }
    at += length;
  }
  if (in.left() != 0) return bad();
  return node;
}

// --- head and layout -------------------------------------------------------------------------------------------------

std::string encode_blob_ref(const BlobRef& blob) {
  ByteWriter out;
  out.raw(blob.pack.bytes);
  out.number(blob.slot);
  out.number(static_cast<std::uint8_t>(blob.layout));
  out.number(blob.height);
  out.zeros(2);
  out.number(blob.size);
  return out.take();
}

Result<BlobRef> parse_blob_ref(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  BlobRef blob;
  blob.pack.bytes = in.bytes<16>();
  blob.slot = in.number<Slot>();
  const auto layout = in.number<std::uint8_t>();
  blob.layout = static_cast<BlobLayout>(layout);
  blob.height = in.number<std::uint8_t>();
  const bool reserved = in.zeros(2);
  blob.size = in.number<std::uint64_t>();
  const bool sane =
      layout <= static_cast<std::uint8_t>(BlobLayout::kPages) && blob.height <= kMaxPageHeight &&
      blob.size <= kMaxPages * kPageBytes &&
      (blob.layout != BlobLayout::kZeros || (blob.pack == PackId{} && blob.slot == 0 && blob.height == 0));
  if (in.failed() || in.left() != 0 || !reserved || !sane) return corrupt("a name of stored bytes that is none");
  return blob;
}

std::string encode_page_map_head(const PageMapHead& head) {
  ByteWriter out;
  out.text(kHeadMagic);
  out.number(static_cast<std::uint8_t>(head.empty ? kEmptyFlag : 0));
  out.number(head.height);
  out.zeros(4);
  out.number(head.pages);
  out.text(encode_blob_ref(head.layout));
  out.raw(head.root_pack.bytes);
  out.number(head.root_slot);
  return out.take();
}

Result<PageMapHead> parse_page_map_head(std::span<const std::byte> bytes) {
  const auto bad = [] { return corrupt("the head of a page map that is none"); };
  ByteReader in(bytes);
  const bool magic = in.text(kHeadMagic.size()) == kHeadMagic;
  const auto flags = in.number<std::uint8_t>();
  PageMapHead head;
  head.empty = flags == kEmptyFlag;
  head.height = in.number<std::uint8_t>();
  const bool reserved = in.zeros(4);
  head.pages = in.number<std::uint64_t>();
  const auto layout = in.take(BlobRef::kEncodedBytes);
  head.root_pack.bytes = in.bytes<16>();
  head.root_slot = in.number<Slot>();
  if (!magic || flags > kEmptyFlag || head.height > kMaxPageHeight || !reserved || head.pages > kMaxPages ||
      in.failed() || in.left() != 0) {
    return bad();
  }
  CACS_ASSIGN(head.layout, parse_blob_ref(layout));
  if (head.layout.layout == BlobLayout::kPages) return bad();
  return head;
}

std::string encode_page_layout(const PageLayout& layout) {
  ByteWriter out;
  std::uint64_t expected = 0;
  for (const auto& extent : layout) {
    out.signed_varint(static_cast<std::int64_t>(extent.page) - static_cast<std::int64_t>(expected));
    out.varint(extent.count);
    expected = extent.page + extent.count;
  }
  return out.take();
}

Result<PageLayout> parse_page_layout(std::span<const std::byte> bytes, std::uint64_t pages) {
  ByteReader in(bytes);
  PageLayout layout;
  std::uint64_t expected = 0;
  std::uint64_t total = 0;
  while (in.left() > 0) {
    const std::int64_t delta = in.signed_varint();
    const std::uint64_t count = in.varint();
    constexpr auto kLimit = static_cast<std::int64_t>(kMaxPages);
    if (in.failed() || delta < -kLimit || delta > kLimit || count == 0 || count > pages - total) {
      return corrupt("a layout of pages that is none");
    }
    const std::int64_t page = static_cast<std::int64_t>(expected) + delta;
    if (page < 0 || page > kLimit - static_cast<std::int64_t>(count)) return corrupt("a layout of pages out of range");
    layout.push_back({.page = static_cast<std::uint64_t>(page), .count = count});
    expected = static_cast<std::uint64_t>(page) + count;
    total += count;
  }
  if (total != pages || !check_page_layout(layout)) return corrupt("a layout of pages that cannot be");
  return layout;
}

Status check_page_layout(const PageLayout& layout) {
  PageLayout sorted = layout;
  std::sort(sorted.begin(), sorted.end(), [](const auto& one, const auto& other) { return one.page < other.page; });
  std::uint64_t end = 0;
  if (layout.size() > kMaxExtents) return make_error(ErrorCode::kTooLarge, "a layout with too many runs of pages");
  for (const auto& extent : sorted) {
    if (extent.count == 0 || extent.count > kMaxPages || extent.page > kMaxPages - extent.count || extent.page < end) {
      return make_error(ErrorCode::kInvalidArgument,
                        "a layout whose runs of pages are empty, overlap or are too far up");
    }
    end = extent.page + extent.count;
  }
  return {};
}

}  // namespace cacs::repository
