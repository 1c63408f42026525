#include "repository/page_tree.h"

#include "base/io.h"

namespace cacs::repository {

PageTreeCursor::PageTreeCursor(PackStore& store, ReadContext& context, const PageTreeRoot& root)
    : store_(store), context_(context), root_(root) {}

Result<Ref> PageTreeCursor::node_ref(std::uint8_t level, std::uint64_t index) {
  if (root_.ref.none() || level > root_.height) return Ref{};
  if (level == root_.height) return index == 0 ? root_.ref : Ref{};
  CACS_ASSIGN(const PageNode* above, node(static_cast<std::uint8_t>(level + 1), index >> kPageFanoutBits));
  return above == nullptr ? Ref{} : above->at(index % kPageFanout);
}

Result<const PageNode*> PageTreeCursor::node(std::uint8_t level, std::uint64_t index) {
  if (level > root_.height) return static_cast<const PageNode*>(nullptr);
  Cached& cached = path_.at(level);
  if (!cached.valid || cached.index != index) {
    cached.valid = false;
    CACS_ASSIGN(const Ref ref, node_ref(level, index));
    cached.there = !ref.none();
    if (cached.there) {
      CACS_ASSIGN(const Slice bytes, store_.read(ref, context_));
      CACS_ASSIGN(cached.node, parse_page_node(bytes.bytes, level, store_.catalog()));
    }
    cached.index = index;
    cached.valid = true;
  }
  return cached.there ? &cached.node : nullptr;
}

Result<Ref> PageTreeCursor::find(std::uint64_t page) {
  CACS_ASSIGN(const PageNode* leaf, node(0, page >> kPageFanoutBits));
  return leaf == nullptr ? Ref{} : leaf->at(page % kPageFanout);
}

Status PageTreeBuilder::add(std::uint64_t page, const Ref& ref) {
  if (ref.none()) return {};
  return put(0, page, ref);
}

/// Puts a child into the node of `level` that it belongs to; the node before is complete then.
Status PageTreeBuilder::put(std::uint8_t level, std::uint64_t child, const Ref& ref) {
  if (level > kMaxPageHeight) return make_error(ErrorCode::kTooLarge, "a page with a number that is too high");
  Level& current = levels_.at(level);
  const std::uint64_t index = child >> kPageFanoutBits;
  if (current.used && current.index != index) {
    CACS_ASSIGN(const Ref node, store_node(level));
    CACS_TRY(put(static_cast<std::uint8_t>(level + 1), current.index, node));
    current.node = {};
  }
  current.used = true;
  current.index = index;
  current.node.at(child % kPageFanout) = ref;
  return {};
}

Result<Ref> PageTreeBuilder::store_node(std::uint8_t level) {
  const Level& current = levels_.at(level);
  if (parent_ != nullptr) {
    const auto same = [&]() -> Result<Ref> {
      CACS_ASSIGN(const PageNode* before, parent_->node(level, current.index));
      if (before == nullptr || *before != current.node) return Ref{};
      CACS_ASSIGN(const Ref ref, parent_->node_ref(level, current.index));
      // One that was read from another copy, itself being damaged, is not built on: nothing would keep the copy.
      CACS_ASSIGN(const bool sound, store_.contains(ref));
      CACS_ASSIGN(const bool allowed, sound ? packs_.may_reference(ref) : Result<bool>(false));
      return allowed ? ref : Ref{};
    }();
    // A parent that cannot be read is no parent.
    if (same && !same->none()) return *same;
    if (!same && same.error().code != ErrorCode::kCorrupt) return same.error();
  }
  const std::string bytes = encode_page_node(current.node, level, store_.catalog());
  return packs_.add(StreamKind::kMetadata, hasher_(as_bytes(bytes)), as_bytes(bytes));
}

Result<PageTreeRoot> PageTreeBuilder::finish() {
  for (std::uint8_t level = 0; level <= kMaxPageHeight; ++level) {
    if (!levels_.at(level).used) break;
    const bool top = level == kMaxPageHeight || !levels_.at(level + 1U).used;
    CACS_ASSIGN(const Ref node, store_node(level));
    // A single node whose index is not 0 needs nodes above it to say where it is.
    if (top && levels_.at(level).index == 0) return PageTreeRoot{.ref = node, .height = level};
    CACS_TRY(put(static_cast<std::uint8_t>(level + 1), levels_.at(level).index, node));
  }
  return PageTreeRoot{};
}

}  // namespace cacs::repository
