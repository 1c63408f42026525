#include "repository/compare.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "repository/blob_read.h"
#include "repository/file_node.h"
#include "repository/page_ingest.h"
#include "repository/page_node.h"

namespace cacs::repository {

namespace {

class PageComparison {
 public:
  PageComparison(PackStore& store, ReadContext& context, const PageRange& range, const VisitPages& visit)
      : store_(store), context_(context), range_(range), visit_(visit) {}

  /// A node, or, where `height` is below the level that it is looked at on, the first of what is below that one's first
  /// child: trees of different heights are compared as if both had the greater.
  struct Side {
    Ref ref;
    std::uint8_t height = 0;
    friend bool operator==(const Side&, const Side&) = default;
  };

  Status nodes(std::uint8_t level, std::uint64_t index, const Side& one, const Side& other) {
    if (one == other || (one.ref.none() && other.ref.none())) return {};
    CACS_ASSIGN(const PageNode before, children(level, one));
    CACS_ASSIGN(const PageNode after, children(level, other));
    const std::uint64_t child_pages = std::uint64_t{1} << (kPageFanoutBits * level);
    for (std::size_t i = 0; i < kPageFanout; ++i) {
      const std::uint64_t child = (index << kPageFanoutBits) | i;
      const std::uint64_t first = child * child_pages;
      if (first >= range_.end || first + child_pages <= range_.first) continue;
      if (level == 0) {
        CACS_TRY(pages(child, before.at(i), after.at(i)));
      } else {
        CACS_TRY(nodes(static_cast<std::uint8_t>(level - 1), child, side_of(level, one, before.at(i)),
                       side_of(level, other, after.at(i))));
      }
    }
    return {};
  }

  Status finish() { return flush(); }

 private:
  static Side side_of(std::uint8_t level, const Side& above, const Ref& child) {
    if (child.none()) return {};
    return {.ref = child, .height = above.height < level ? above.height : static_cast<std::uint8_t>(level - 1)};
  }

  Result<PageNode> children(std::uint8_t level, const Side& side) {
    PageNode node{};
    if (side.ref.none()) return node;
    if (side.height < level) {
      node.front() = side.ref;
      return node;
    }
    CACS_ASSIGN(const Slice slice, store_.read(side.ref, context_));
    return parse_page_node(slice.bytes, level, store_.catalog());
  }

  Status pages(std::uint64_t page, const Ref& one, const Ref& other) {
    if (one == other) return {};
    if (!one.none() && !other.none()) {
      CACS_ASSIGN(const SlotPlace before, store_.place(one));
      CACS_ASSIGN(const SlotPlace after, store_.place(other));
      if (before.id == after.id) return {};
    }
    if (count_ > 0 && first_ + count_ != page) CACS_TRY(flush());
    if (count_ == 0) first_ = page;
    ++count_;
    return {};
  }

  Status flush() {
    if (count_ > 0) CACS_TRY(visit_(first_, count_));
    count_ = 0;
    return {};
  }

  PackStore& store_;
  ReadContext& context_;
  PageRange range_;
  const VisitPages& visit_;
  std::uint64_t first_ = 0;
  std::uint64_t count_ = 0;
};

/// A node or chunk of a file and the bytes that it stands for.
struct Part {
  Ref ref;
  std::uint64_t length = 0;
};
using Parts = std::vector<Part>;

constexpr std::size_t kMaxParts = std::size_t{1} << 20U;

std::uint64_t key_of(const Ref& ref) { return (std::uint64_t{ref.pack} << 32U) | ref.slot; }

/// Takes out of both what is in both, as often as it is.
template <typename Key, typename KeyOf>
Status cancel(Parts& one, Parts& other, const KeyOf& key_of_part) {
  std::unordered_map<Key, std::size_t> counts;
  for (const Part& part : one) {
    CACS_ASSIGN(const Key key, key_of_part(part));
    ++counts[key];
  }
  std::unordered_map<Key, std::size_t> shared;
  Parts left;
  for (const Part& part : other) {
    CACS_ASSIGN(const Key key, key_of_part(part));
    const auto found = counts.find(key);
    if (found == counts.end() || found->second == 0) {
      left.push_back(part);
      continue;
    }
    --found->second;
    ++shared[key];
  }
  other = std::move(left);
  left.clear();
  for (const Part& part : one) {
    CACS_ASSIGN(const Key key, key_of_part(part));
    const auto found = shared.find(key);
    if (found == shared.end() || found->second == 0) {
      left.push_back(part);
    } else {
      --found->second;
    }
  }
  one = std::move(left);
  return {};
}

std::uint64_t bytes_of(const Parts& parts) {
  std::uint64_t bytes = 0;
  for (const Part& part : parts) bytes += part.length;
  return bytes;
}

class FileComparison {
 public:
  FileComparison(PackStore& store, ReadContext& context) : store_(store), context_(context) {}

  Result<FileDifference> run(const BlobRef& one, const BlobRef& other) {
    Parts before;
    Parts after;
    for (int level = std::max(levels_of(one), levels_of(other)); level > 0; --level) {
      add_top(one, level, before);
      add_top(other, level, after);
      CACS_TRY(cancel_refs(before, after));
      CACS_ASSIGN(const bool followed, expand_both(static_cast<std::uint8_t>(level - 1), before, after));
      if (!followed) return FileDifference{.added = other.size, .removed = one.size, .exact = false};
    }
    add_top(one, 0, before);
    add_top(other, 0, after);
    CACS_TRY(cancel_refs(before, after));
    CACS_TRY(cancel<ContentId>(before, after, [this](const Part& part) -> Result<ContentId> {
      CACS_ASSIGN(const SlotPlace place, store_.place(part.ref));
      return place.id;
    }));
    return FileDifference{.added = bytes_of(after), .removed = bytes_of(before)};
  }

 private:
  /// 0: one chunk; else one more than the level of the top node.
  static int levels_of(const BlobRef& blob) { return blob.layout == BlobLayout::kFile ? blob.height + 1 : 0; }

  void add_top(const BlobRef& blob, int level, Parts& parts) {
    if (blob.layout == BlobLayout::kZeros || levels_of(blob) != level) return;
    parts.push_back({.ref = {.pack = store_.catalog().number_of(blob.pack), .slot = blob.slot}, .length = blob.size});
  }

  static Status cancel_refs(Parts& one, Parts& other) {
    return cancel<std::uint64_t>(one, other,
                                 [](const Part& part) -> Result<std::uint64_t> { return key_of(part.ref); });
  }

  /// What is below the nodes, in their place; false when it is too much.
  Result<bool> expand_both(std::uint8_t level, Parts& one, Parts& other) {
    for (Parts* parts : {&one, &other}) {
      Parts below;
      for (const Part& part : *parts) {
        CACS_ASSIGN(const Slice slice, store_.read(part.ref, context_));
        CACS_ASSIGN(const FileNode node, parse_file_node(slice.bytes, level, part.length, store_.catalog()));
        for (const FileEntry& entry : node) {
          if (!entry.ref.none()) below.push_back({.ref = entry.ref, .length = entry.length});
        }
        if (below.size() > kMaxParts) return false;
      }
      *parts = std::move(below);
    }
    return true;
  }

  PackStore& store_;
  ReadContext& context_;
};

bool is_page_map(const BlobRef& blob) { return blob.layout == BlobLayout::kPages; }
bool is_nothing(const BlobRef& blob) { return blob.layout == BlobLayout::kZeros; }

}  // namespace

Status compare_pages(PackStore& store, ReadContext& context, const BlobRef& one, const BlobRef& other,
                     const PageRange& range, const VisitPages& visit) {
  if (one == other) return {};
  CACS_ASSIGN(const OpenPageMap before, open_page_map(store, context, one));
  CACS_ASSIGN(const OpenPageMap after, open_page_map(store, context, other));
  PageComparison comparison(store, context, range, visit);
  const std::uint8_t height = std::max(before.root.height, after.root.height);
  CACS_TRY(comparison.nodes(height, 0, {.ref = before.root.ref, .height = before.root.height},
                            {.ref = after.root.ref, .height = after.root.height}));
  return comparison.finish();
}

Result<FileDifference> compare_files(PackStore& store, ReadContext& context, const BlobRef& one, const BlobRef& other) {
  if (one == other) return FileDifference{};
  if (!is_page_map(one) && !is_page_map(other)) return FileComparison(store, context).run(one, other);
  if ((!is_page_map(one) && !is_nothing(one)) || (!is_page_map(other) && !is_nothing(other))) {
    return make_error(ErrorCode::kInvalidArgument, "a file cut by content and one cut into pages cannot be compared");
  }
  std::uint64_t bytes = 0;
  CACS_TRY(compare_pages(store, context, one, other, {}, [&bytes](std::uint64_t /*page*/, std::uint64_t count) {
    bytes += count * kPageBytes;
    return Status();
  }));
  return FileDifference{.added = std::min(bytes, other.size), .removed = std::min(bytes, one.size)};
}

Result<PageLayout> stored_pages(PackStore& store, ReadContext& context, const BlobRef& blob) {
  PageLayout runs;
  if (blob.layout == BlobLayout::kZeros) return runs;
  if (blob.layout != BlobLayout::kPages) return make_error(ErrorCode::kInvalidArgument, "a blob that is no page map");
  BlobCursor cursor(store, context, blob);
  CACS_TRY(cursor.open());
  for (std::uint64_t at = 0; at < blob.size;) {
    CACS_ASSIGN(const auto piece, cursor.locate(at));
    at = piece.start + piece.length;
    if (piece.ref.none()) continue;
    const std::uint64_t page = piece.start / kPageBytes;
    if (!runs.empty() && runs.back().page + runs.back().count == page) {
      ++runs.back().count;
    } else {
      runs.push_back({.page = page, .count = 1});
    }
  }
  return runs;
}

}  // namespace cacs::repository
