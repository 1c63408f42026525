#include "repository/file_node.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/io.h"
#include "repository/bytes.h"
#include "repository/page_node.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kMagic = "FN";
constexpr std::size_t kMinNodeEntries = 64;

/// About every 256th entry.
bool ends_node(const ContentId& id) { return id.bytes.back() == std::byte{0}; }

}  // namespace

std::string encode_file_node(const FileNode& node, std::uint8_t level, const PackCatalog& catalog) {
  std::vector<std::uint32_t> packs;
  std::unordered_map<std::uint32_t, std::pair<std::size_t, Slot>> uses;  // by pack: its index, where the last one ended
  ByteWriter entries;
  for (const auto& entry : node) {
    entries.varint((entry.length << 1U) | (entry.ref.none() ? 0U : 1U));
    if (entry.ref.none()) continue;
    const auto [use, fresh] = uses.try_emplace(entry.ref.pack, packs.size(), 0);
    if (fresh) packs.push_back(entry.ref.pack);
    entries.varint(use->second.first);
    entries.signed_varint(static_cast<std::int64_t>(entry.ref.slot) - static_cast<std::int64_t>(use->second.second));
    use->second.second = entry.ref.slot + 1;
  }
  ByteWriter out;
  out.text(kMagic);
  out.number(level);
  out.varint(packs.size());
  for (const std::uint32_t pack : packs) out.raw(catalog.id_of(pack).bytes);
  out.varint(node.size());
  out.text(entries.view());
  return out.take();
}

Result<FileNode> parse_file_node(std::span<const std::byte> bytes, std::uint8_t level, std::uint64_t size,
                                 PackCatalog& catalog) {
  const auto bad = [] { return corrupt("a list of chunks that is none"); };
  ByteReader in(bytes);
  if (in.text(kMagic.size()) != kMagic || in.number<std::uint8_t>() != level) return bad();
  const std::uint64_t pack_count = in.varint();
  if (in.failed() || pack_count > kMaxFileNodeEntries || pack_count * 16 > in.left()) return bad();
  std::vector<std::pair<std::uint32_t, Slot>> packs;
  for (std::uint64_t i = 0; i < pack_count; ++i) packs.emplace_back(catalog.number_of({in.bytes<16>()}), 0);
  const std::uint64_t count = in.varint();
  if (in.failed() || count > kMaxFileNodeEntries) return bad();
  FileNode node(count);
  std::uint64_t total = 0;
  for (auto& entry : node) {
    const std::uint64_t head = in.varint();
    entry.length = head >> 1U;
    const bool stored = (head & 1U) != 0;
    const bool chunk = level == 0 && stored;
    if (in.failed() || entry.length == 0 || entry.length > (chunk ? kMaxChunkBytes : kMaxBlobBytes) ||
        (level > 0 && !stored) || entry.length > size - total) {
      return bad();
    }
    total += entry.length;
    if (!stored) continue;
    const std::uint64_t index = in.varint();
    const std::int64_t delta = in.signed_varint();
    constexpr std::int64_t kLimit = std::int64_t{1} << 32U;
    if (in.failed() || index >= packs.size() || delta <= -kLimit || delta >= kLimit) return bad();
    const std::int64_t slot = static_cast<std::int64_t>(packs[index].second) + delta;
    if (slot < 0 || slot >= kLimit) return bad();
    entry.ref = {.pack = packs[index].first, .slot = static_cast<Slot>(slot)};
    packs[index].second = static_cast<Slot>(slot + 1);
  }
  if (in.left() != 0 || total != size) return bad();
  return node;
}

// --- building --------------------------------------------------------------------------------------------------------

Result<Ref> FileTreeBuilder::store(StreamKind kind, const ContentId& id, std::span<const std::byte> bytes) {
  if (const auto found = packs_.find(id)) return *found;
  CACS_TRY(store_.warm(std::span(&id, 1)));
  CACS_ASSIGN(const auto found, packs_.find_stored(id));
  if (found) return *found;
  return packs_.add(kind, id, bytes);
}

Status FileTreeBuilder::add_chunk(std::span<const std::byte> bytes, StreamKind kind) {
  const ContentId id = hasher_(bytes);
  CACS_ASSIGN(const Ref ref, store(kind, id, bytes));
  return add_entry(0, {.length = bytes.size(), .ref = ref}, ends_node(id));
}

Status FileTreeBuilder::add_zeros(std::uint64_t bytes) {
  auto& node = levels_[0].node;
  if (!node.empty() && node.back().ref.none() && bytes <= kMaxBlobBytes - size_) {
    node.back().length += bytes;
    size_ += bytes;
    return {};
  }
  return add_entry(0, {.length = bytes}, false);
}

Status FileTreeBuilder::add_entry(std::uint8_t level, const FileEntry& entry, bool ends_here) {
  if (level > kMaxFileHeight || (level == 0 && entry.length > kMaxBlobBytes - size_)) {
    return make_error(ErrorCode::kTooLarge, "a stream longer than a blob may be");
  }
  if (level == 0) size_ += entry.length;
  Level& current = levels_.at(level);
  // Before, not after: a run of zeros at the end of a node may still grow.
  const std::size_t count = current.node.size();
  if (count >= kMaxFileNodeEntries || (count >= kMinNodeEntries && current.ends_here)) CACS_TRY(close_node(level));
  top_ = std::max(top_, level);
  levels_.at(level).node.push_back(entry);
  levels_.at(level).ends_here = ends_here;
  return {};
}

/// Stores the node of `level` and puts it into the one above.
Status FileTreeBuilder::close_node(std::uint8_t level) {
  const FileNode node = std::exchange(levels_.at(level).node, {});
  const std::string bytes = encode_file_node(node, level, store_.catalog());
  const ContentId id = hasher_(as_bytes(bytes));
  CACS_ASSIGN(const Ref ref, store(StreamKind::kMetadata, id, as_bytes(bytes)));
  std::uint64_t length = 0;
  for (const auto& entry : node) length += entry.length;
  return add_entry(static_cast<std::uint8_t>(level + 1), {.length = length, .ref = ref}, ends_node(id));
}

Result<BlobRef> FileTreeBuilder::finish() {
  BlobRef blob{.size = size_};
  const FileNode& leaf = levels_[0].node;
  if (top_ == 0 && (leaf.empty() || (leaf.size() == 1 && leaf.front().ref.none()))) return blob;
  const auto name = [&](const Ref& ref, BlobLayout layout, std::uint8_t height) {
    blob.pack = store_.catalog().id_of(ref.pack);
    blob.slot = ref.slot;
    blob.layout = layout;
    blob.height = height;
    return blob;
  };
  if (top_ == 0 && leaf.size() == 1) return name(leaf.front().ref, BlobLayout::kChunk, 0);
  for (std::uint8_t level = 0;; ++level) {  // top_ may rise on the way
    Level& current = levels_.at(level);
    if (level == top_ && level > 0 && current.node.size() == 1) {
      return name(current.node.front().ref, BlobLayout::kFile, static_cast<std::uint8_t>(level - 1));
    }
    if (!current.node.empty()) CACS_TRY(close_node(level));
  }
}

}  // namespace cacs::repository
