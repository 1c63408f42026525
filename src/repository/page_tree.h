#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "repository/pack_store.h"
#include "repository/pack_writer.h"
#include "repository/page_node.h"

namespace cacs::repository {

/// The top of a page tree.
struct PageTreeRoot {
  Ref ref;  ///< none: nothing but zeros
  std::uint8_t height = 0;
};

/// Looks pages up in a tree, mostly in ascending order: the path to the last one is kept. One thread at a time.
class PageTreeCursor {
 public:
  PageTreeCursor(PackStore& store, ReadContext& context, const PageTreeRoot& root);

  /// The node of `level` with this index (page number >> 6 * (level + 1)), or null when there is none. Valid until the
  /// next call.
  Result<const PageNode*> node(std::uint8_t level, std::uint64_t index);
  /// Where the node lies; none when there is none.
  Result<Ref> node_ref(std::uint8_t level, std::uint64_t index);
  /// Where the page lies; none: zeros.
  Result<Ref> find(std::uint64_t page);

 private:
  struct Cached {
    bool valid = false;
    bool there = false;
    std::uint64_t index = 0;
    PageNode node;
  };
  PackStore& store_;
  ReadContext& context_;
  PageTreeRoot root_;
  std::array<Cached, kMaxPageHeight + 1> path_;
};

/// Builds a tree from pages in ascending order. Nodes that are as in `parent` (null: there is none) are shared with it.
/// One thread at a time.
class PageTreeBuilder {
 public:
  PageTreeBuilder(PackStore& store, PackWriter& packs, ContentHasher& hasher, PageTreeCursor* parent)
      : store_(store), packs_(packs), hasher_(hasher), parent_(parent) {}

  Status add(std::uint64_t page, const Ref& ref);
  Result<PageTreeRoot> finish();

 private:
  struct Level {
    bool used = false;
    std::uint64_t index = 0;
    PageNode node;
  };
  Status put(std::uint8_t level, std::uint64_t child, const Ref& ref);
  Result<Ref> store_node(std::uint8_t level);

  PackStore& store_;
  PackWriter& packs_;
  ContentHasher& hasher_;
  PageTreeCursor* parent_;
  std::array<Level, kMaxPageHeight + 1> levels_;
};

}  // namespace cacs::repository
