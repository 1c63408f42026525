#include "repository/blob_writer.h"

#include "base/io.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kMinNodeEntries = 64;

/// Nodes end where a digest says so, about every 320 entries, so that chunks put in or taken out change only the node
/// they are in.
bool ends_node(const std::vector<NodeEntry>& entries) {
  if (entries.size() >= kMaxNodeEntries) return true;
  return entries.size() >= kMinNodeEntries && !entries.back().is_zero_run() && entries.back().digest.bytes[31] == 0;
}

}  // namespace

Result<Digest> store_chunk(std::span<const std::byte> raw, ChunkStore& chunks, PackWriter& packs) {
  const Digest digest = sha256(raw);
  if (packs.contains(digest) || chunks.contains(digest)) return digest;
  CACS_TRY(packs.add(digest, raw));
  return digest;
}

Status BlobBuilder::add_chunk(std::span<const std::byte> raw) {
  CACS_ASSIGN(const Digest digest, store_chunk(raw, chunks_, packs_));
  return add_entry(0, {.length = raw.size(), .digest = digest});
}

Status BlobBuilder::add_zeros(std::uint64_t bytes) {
  auto& entries = levels_[0];
  if (!entries.empty() && entries.back().is_zero_run() && bytes <= kMaxBlobBytes - size_) {
    entries.back().length += bytes;
    size_ += bytes;
    return {};
  }
  return add_entry(0, {.length = bytes, .digest = {}});
}

Status BlobBuilder::add_entry(std::size_t level, const NodeEntry& entry) {
  if (level >= kMaxBlobLevels || (level == 0 && entry.length > kMaxBlobBytes - size_)) {
    return make_error(ErrorCode::kTooLarge, "a stream longer than a blob may be");
  }
  if (level == 0) size_ += entry.length;
  // Before, not after: a run of zeros at the end of a node may still grow.
  if (ends_node(levels_.at(level))) {
    CACS_ASSIGN(const NodeEntry node, store_node(level));
    CACS_TRY(add_entry(level + 1, node));
  }
  top_ = std::max(top_, level);
  levels_.at(level).push_back(entry);
  return {};
}

Result<NodeEntry> BlobBuilder::store_node(std::size_t level) {
  const Node node{.level = static_cast<std::uint8_t>(level), .entries = std::move(levels_.at(level))};
  levels_.at(level) = {};
  const std::string bytes = encode_node(node);
  CACS_ASSIGN(const Digest digest, store_chunk(as_bytes(bytes), chunks_, packs_));
  return NodeEntry{.length = node.size(), .digest = digest};
}

Result<BlobRef> BlobBuilder::finish() {
  for (std::size_t level = 0; level < top_; ++level) {  // top_ may rise on the way
    if (levels_.at(level).empty()) continue;
    CACS_ASSIGN(const NodeEntry node, store_node(level));
    CACS_TRY(add_entry(level + 1, node));
  }
  CACS_ASSIGN(const NodeEntry root, store_node(top_));
  return BlobRef{.id = root.digest, .size = size_};
}

}  // namespace cacs::repository
