#include "repository/walk.h"

namespace cacs::repository {

namespace {

class Walk {
 public:
  Walk(PackStore& store, ReadContext& context, const BlobVisitor& visitor)
      : store_(store), context_(context), visitor_(visitor) {}

  Status blob(const BlobRef& blob) {
    const Ref root{.pack = store_.catalog().number_of(blob.pack), .slot = blob.slot};
    switch (blob.layout) {
      case BlobLayout::kZeros:
        return {};
      case BlobLayout::kChunk:
        return visitor_.leaf(root);
      case BlobLayout::kFile:
        return file_node(root, blob.height, blob.size);
      case BlobLayout::kPages:
        return page_map(root);
    }
    return {};
  }

 private:
  Status page_map(const Ref& root) {
    CACS_ASSIGN(const bool wanted, visitor_.enter(root));
    if (!wanted) return {};
    CACS_ASSIGN(const Slice slice, store_.read(root, context_));
    CACS_ASSIGN(const PageMapHead head, parse_page_map_head(slice.bytes));
    CACS_TRY(blob(head.layout));
    if (head.empty) return {};
    return page_node({.pack = store_.catalog().number_of(head.root_pack), .slot = head.root_slot}, head.height);
  }

  Status page_node(const Ref& ref, std::uint8_t level) {
    CACS_ASSIGN(const bool wanted, visitor_.enter(ref));
    if (!wanted) return {};
    CACS_ASSIGN(const Slice slice, store_.read(ref, context_));
    CACS_ASSIGN(const PageNode node, parse_page_node(slice.bytes, level, store_.catalog()));
    for (const Ref& child : node) {
      if (child.none()) continue;
      CACS_TRY(level == 0 ? visitor_.leaf(child) : page_node(child, static_cast<std::uint8_t>(level - 1)));
    }
    return {};
  }

  Status file_node(const Ref& ref, std::uint8_t level, std::uint64_t size) {
    CACS_ASSIGN(const bool wanted, visitor_.enter(ref));
    if (!wanted) return {};
    CACS_ASSIGN(const Slice slice, store_.read(ref, context_));
    CACS_ASSIGN(const FileNode node, parse_file_node(slice.bytes, level, size, store_.catalog()));
    for (const auto& entry : node) {
      if (entry.ref.none()) continue;
      CACS_TRY(level == 0 ? visitor_.leaf(entry.ref)
                          : file_node(entry.ref, static_cast<std::uint8_t>(level - 1), entry.length));
    }
    return {};
  }

  PackStore& store_;
  ReadContext& context_;
  const BlobVisitor& visitor_;
};

}  // namespace

Status walk_blob(PackStore& store, ReadContext& context, const BlobRef& blob, const BlobVisitor& visitor) {
  return Walk(store, context, visitor).blob(blob);
}

}  // namespace cacs::repository
