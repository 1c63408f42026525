#include "repository/page_ingest.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/io.h"
#include "repository/blob_read.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kBatchPages = 1024;
/// What one worker reads and hashes at a time: it stays in its processor's cache.
constexpr std::size_t kRunPages = 64;
constexpr std::size_t kParentTables = 64;
constexpr std::size_t kMaxLayoutBytes = std::size_t{1} << 30U;

bool is_zero(std::span<const std::byte> page) {
  return page[0] == std::byte{0} && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

}  // namespace

Result<OpenPageMap> open_page_map(PackStore& store, ReadContext& context, const BlobRef& blob) {
  OpenPageMap map;
  map.pages = (blob.size + kPageBytes - 1) / kPageBytes;
  if (blob.layout == BlobLayout::kZeros) return map;
  if (blob.layout != BlobLayout::kPages) return make_error(ErrorCode::kInvalidArgument, "a blob that is no page map");
  CACS_ASSIGN(const Slice slice,
              store.read({.pack = store.catalog().number_of(blob.pack), .slot = blob.slot}, context));
  CACS_ASSIGN(const PageMapHead head, parse_page_map_head(slice.bytes));
  if (head.pages != map.pages) return corrupt("a page map of another length than its name says");
  if (!head.empty) {
    map.root = {.ref = {.pack = store.catalog().number_of(head.root_pack), .slot = head.root_slot},
                .height = head.height};
  }
  if (head.layout.size > 0) {
    if (head.layout.size > kMaxLayoutBytes) return corrupt("a layout of pages that is too long");
    StringSink text(head.layout.size);
    CACS_TRY(stream_blob(store, context, head.layout, text));
    CACS_ASSIGN(map.layout, parse_page_layout(as_bytes(text.text()), head.pages));
  }
  return map;
}

PageIngest::PageIngest(const Tools& tools) : tools_(tools), ids_(kBatchPages), zero_(kBatchPages) {}

Result<PageTreeRoot> PageIngest::run(const PageSource& source, std::vector<PageRun> runs, const PageTreeRoot* parent,
                                     const std::function<void(std::uint64_t)>& progress) {
  std::uint64_t total = 0;
  for (const PageRun& run : runs)
    total = std::min<std::uint64_t>(kBatchPages, total + std::min<std::uint64_t>(kBatchPages, run.count));
  buffer_.resize(total * kPageBytes);
  // By address: the tree is built from left to right.
  std::sort(runs.begin(), runs.end(), [](const auto& one, const auto& other) { return one.page < other.page; });
  std::optional<PageTreeCursor> cursor;
  if (parent != nullptr) cursor.emplace(tools_.store, tools_.contexts.front(), *parent);
  PageTreeBuilder builder(tools_.store, tools_.packs, tools_.contexts.front().hasher, cursor ? &*cursor : nullptr);
  const auto finish_batch = [&]() -> Status {
    CACS_TRY(read_batch(source));
    CACS_TRY(place_batch(builder, cursor ? &*cursor : nullptr));
    if (progress) progress(filled_ * kPageBytes);
    parts_.clear();
    filled_ = 0;
    return {};
  };
  for (PageRun& rest : runs) {
    while (rest.count > 0) {
      const auto count = std::min<std::uint64_t>({rest.count, kRunPages, kBatchPages - filled_});
      parts_.push_back({.run = {.page = rest.page, .offset = rest.offset, .count = count}, .first = filled_});
      filled_ += count;
      rest = {.page = rest.page + count, .offset = rest.offset + count * kPageBytes, .count = rest.count - count};
      if (filled_ == kBatchPages) CACS_TRY(finish_batch());
    }
  }
  if (filled_ > 0) CACS_TRY(finish_batch());
  return builder.finish();
}

Status PageIngest::read_batch(const PageSource& source) {
  std::mutex mutex;
  Status failure;
  tools_.pool.run(parts_.size(), [&](std::size_t index, std::size_t worker) {
    auto status = read_part(source, parts_[index], worker);
    if (status) return;
    const std::lock_guard lock(mutex);
    if (failure) failure = status;
  });
  return failure;
}

Status PageIngest::read_part(const PageSource& source, const Part& part, std::size_t worker) {
  const PageRun& run = part.run;
  const auto bytes = std::span(buffer_).subspan(part.first * kPageBytes, run.count * kPageBytes);
  CACS_ASSIGN(const std::size_t got, source.read_at(run.offset, bytes));
  if (got + kPageBytes <= bytes.size()) {
    return make_error(ErrorCode::kIo, "a file of pages is shorter than its layout says",
                      "nothing was stored; take another checkpoint");
  }
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(got), bytes.end(), std::byte{0});
  for (std::size_t i = 0; i < run.count; ++i) {
    const auto page = bytes.subspan(i * kPageBytes, kPageBytes);
    zero_[part.first + i] = is_zero(page) ? 1 : 0;
    if (zero_[part.first + i] == 0) ids_[part.first + i] = tools_.contexts[worker].hasher(page);
  }
  return {};
}

Status PageIngest::place_batch(PageTreeBuilder& builder, PageTreeCursor* parent) {
  CACS_TRY(tools_.store.warm(std::span(ids_).first(filled_)));
  for (const Part& part : parts_) {
    for (std::size_t i = 0; i < part.run.count; ++i) {
      if (zero_[part.first + i] != 0) continue;
      CACS_ASSIGN(const Ref ref, place_page(part.first + i, part.run.page + i, parent));
      CACS_TRY(builder.add(part.run.page + i, ref));
    }
  }
  return {};
}

Result<Ref> PageIngest::place_page(std::size_t at, std::uint64_t page, PageTreeCursor* parent) {
  const ContentId& id = ids_[at];
  if (parent != nullptr) {
    auto before = parent->find(page);
    if (!before && before.error().code != ErrorCode::kCorrupt) return before.error();
    if (before && !before->none()) {
      CACS_ASSIGN(const bool same, same_content(*before, id));
      CACS_ASSIGN(const bool allowed, same ? tools_.packs.may_reference(*before) : Result<bool>(false));
      if (allowed) return *before;
    }
  }
  if (const auto found = tools_.packs.find(id)) return *found;
  CACS_ASSIGN(const auto found, tools_.packs.find_stored(id));
  if (found) return *found;
  return tools_.packs.add(StreamKind::kMemory, id, std::span(buffer_).subspan(at * kPageBytes, kPageBytes));
}

/// Whether an undamaged slot has this id. What cannot be read has not.
Result<bool> PageIngest::same_content(const Ref& before, const ContentId& id) {
  auto found = tables_.find(before.pack);
  if (found == tables_.end()) {
    auto pack = tools_.store.open(before.pack);
    if (!pack && pack.error().code != ErrorCode::kCorrupt) return pack.error();
    if (tables_.size() >= kParentTables) tables_.clear();
    found = tables_.emplace(before.pack, pack ? *std::move(pack) : nullptr).first;
  }
  if (found->second == nullptr) return false;
  const auto place = found->second->table.place(before.slot);
  return place && place->id == id && !found->second->is_damaged(before.slot);
}

}  // namespace cacs::repository
