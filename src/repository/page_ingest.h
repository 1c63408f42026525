#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "repository/pack_store.h"
#include "repository/pack_writer.h"
#include "repository/page_source.h"
#include "repository/page_tree.h"
#include "repository/work_pool.h"

namespace cacs::repository {

/// The top of a blob's page tree, and where its pages belong. `layout` empty: page n of the stream is page n.
struct OpenPageMap {
  std::uint64_t pages = 0;
  PageLayout layout;
  PageTreeRoot root;
};
Result<OpenPageMap> open_page_map(PackStore& store, ReadContext& context, const BlobRef& blob);

/// Pages that follow each other in the stream and by address.
struct PageRun {
  std::uint64_t page = 0;
  std::uint64_t offset = 0;  ///< in the stream, bytes
  std::uint64_t count = 0;
};

/// Takes pages in. Every page is read, looked at for zeros and hashed, on all processors; then compared with the page
/// at the same address in the parent, by id; then looked for in the sparse index; and stored if it is nowhere. In
/// memory: a batch of 4 MiB. One thread at a time.
class PageIngest {
 public:
  struct Tools {
    PackStore& store;
    PackWriter& packs;
    WorkPool& pool;
    std::vector<ReadContext>& contexts;  ///< one a worker
  };
  explicit PageIngest(const Tools& tools);

  /// `runs`: what there is in the stream, in any order. `parent`: null, or the tree to compare with.
  Result<PageTreeRoot> run(const PageSource& source, std::vector<PageRun> runs, const PageTreeRoot* parent,
                           const std::function<void(std::uint64_t bytes)>& progress);

 private:
  /// A part of a run that is in the batch.
  struct Part {
    PageRun run;
    std::size_t first = 0;  ///< page in the batch
  };
  Status read_batch(const PageSource& source);
  Status read_part(const PageSource& source, const Part& part, std::size_t worker);
  Status place_batch(PageTreeBuilder& builder, PageTreeCursor* parent);
  Result<Ref> place_page(std::size_t at, std::uint64_t page, PageTreeCursor* parent);
  Result<bool> same_content(const Ref& before, const ContentId& id);

  Tools tools_;
  std::vector<std::byte> buffer_;
  std::vector<ContentId> ids_;
  std::vector<std::uint8_t> zero_;
  std::vector<Part> parts_;
  std::size_t filled_ = 0;                                                     ///< pages in the batch
  std::unordered_map<std::uint32_t, std::shared_ptr<const OpenPack>> tables_;  ///< of the parent's packs met last
};

}  // namespace cacs::repository
