#include "repository/blob_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "repository/stream.h"

namespace cacs::repository {

Result<Node> read_node(ChunkStore& chunks, ChunkCodec& codec, const Digest& digest, std::uint64_t size) {
  std::vector<std::byte> bytes;
  CACS_TRY(chunks.read(digest, codec, bytes));
  auto node = parse_node(bytes);
  if (!node) return node.error().with_context(fmt::format("chunk {}", digest.to_hex()));
  if (node->size() != size) {
    return corrupt(fmt::format("chunk {} lists {} bytes where {} are expected", digest.to_hex(), node->size(), size));
  }
  return node;
}

namespace {

/// The lower node, which has to be exactly one level below.
Result<Node> read_child(ChunkStore& chunks, ChunkCodec& codec, const NodeEntry& entry, std::uint8_t parent_level) {
  CACS_ASSIGN(Node node, read_node(chunks, codec, entry.digest, entry.length));
  if (node.level + 1 != parent_level) {
    return corrupt(fmt::format("chunk {} is a list of the wrong level", entry.digest.to_hex()));
  }
  return node;
}

Status walk_node(ChunkStore& chunks, ChunkCodec& codec, const Node& node, const BlobVisitor& visitor) {
  for (const auto& entry : node.entries) {
    if (entry.is_zero_run()) continue;
    if (node.level == 0) {
      CACS_TRY(visitor.leaf(entry));
      continue;
    }
    if (!visitor.enter(entry.digest)) continue;
    CACS_ASSIGN(const Node child, read_child(chunks, codec, entry, node.level));
    CACS_TRY(walk_node(chunks, codec, child, visitor));
  }
  return {};
}

}  // namespace

Status walk_blob(ChunkStore& chunks, ChunkCodec& codec, const BlobRef& blob, const BlobVisitor& visitor) {
  if (!visitor.enter(blob.id)) return {};
  CACS_ASSIGN(const Node root, read_node(chunks, codec, blob.id, blob.size));
  return walk_node(chunks, codec, root, visitor);
}

Status stream_blob(ChunkStore& chunks, const BlobRef& blob, Sink& sink) {
  BlobCursor cursor(chunks, blob);
  CACS_TRY(cursor.check_root());
  for (std::uint64_t at = 0; at < blob.size;) {
    CACS_ASSIGN(const auto piece, cursor.locate(at));
    if (piece.entry.is_zero_run()) {
      CACS_TRY(sink.hole(piece.entry.length));
    } else {
      CACS_ASSIGN(const auto bytes, cursor.read_chunk(piece.entry));
      CACS_TRY(sink.write(bytes));
    }
    at = piece.start + piece.entry.length;
  }
  return sink.finish();
}

Result<BlobCursor::Step*> BlobCursor::load(std::size_t depth, const Digest& digest, std::uint64_t start,
                                           std::uint64_t size) {
  if (depth < path_.size() && path_[depth].digest == digest && path_[depth].start == start) return &path_[depth];
  path_.resize(std::min(path_.size(), depth));
  Step step{.digest = digest, .start = start, .node = {}, .ends = {}};
  if (depth == 0) {
    CACS_ASSIGN(step.node, read_node(chunks_, codec_, digest, size));
  } else {
    CACS_ASSIGN(step.node,
                read_child(chunks_, codec_, {.length = size, .digest = digest}, path_[depth - 1].node.level));
  }
  std::uint64_t end = start;
  for (const auto& entry : step.node.entries) step.ends.push_back(end += entry.length);
  path_.push_back(std::move(step));
  return &path_.back();
}

Status BlobCursor::check_root() {
  CACS_TRY(load(0, blob_.id, 0, blob_.size));
  return {};
}

Result<BlobCursor::Piece> BlobCursor::locate(std::uint64_t offset) {
  NodeEntry target{.length = blob_.size, .digest = blob_.id};
  std::uint64_t start = 0;
  for (std::size_t depth = 0;; ++depth) {
    CACS_ASSIGN(const Step* step, load(depth, target.digest, start, target.length));
    const auto found = std::upper_bound(step->ends.begin(), step->ends.end(), offset);
    if (found == step->ends.end()) return corrupt(fmt::format("blob {} ends too early", blob_.id.to_hex()));
    target = step->node.entries[static_cast<std::size_t>(found - step->ends.begin())];
    start = *found - target.length;
    if (step->node.level == 0) return Piece{.start = start, .entry = target};
  }
}

Result<std::span<const std::byte>> BlobCursor::read_chunk(const NodeEntry& entry) {
  if (chunk_digest_ != entry.digest) {
    chunk_digest_ = {};
    CACS_TRY(chunks_.read(entry.digest, codec_, chunk_));
    chunk_digest_ = entry.digest;
  }
  if (chunk_.size() != entry.length) {
    return corrupt(
        fmt::format("chunk {} has {} bytes where {} are expected", entry.digest.to_hex(), chunk_.size(), entry.length));
  }
  return std::span<const std::byte>(chunk_);
}

}  // namespace cacs::repository
