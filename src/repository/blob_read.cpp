#include "repository/blob_read.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "base/io.h"

namespace cacs::repository {

Status BlobCursor::open() {
  switch (blob_.layout) {
    case BlobLayout::kZeros:
    case BlobLayout::kChunk:
      return {};
    case BlobLayout::kFile:
      return load_step(0, {.pack = store_.catalog().number_of(blob_.pack), .slot = blob_.slot}, 0, blob_.size,
                       blob_.height);
    case BlobLayout::kPages: {
      CACS_ASSIGN(map_, open_page_map(store_, context_, blob_));
      pages_.emplace(store_, context_, map_->root);
      std::uint64_t end = 0;
      for (const auto& extent : map_->layout) extent_ends_.push_back(end += extent.count);
      return {};
    }
  }
  return {};
}

Result<BlobCursor::Piece> BlobCursor::locate(std::uint64_t offset) {
  switch (blob_.layout) {
    case BlobLayout::kZeros:
      break;
    case BlobLayout::kChunk:
      return Piece{.start = 0,
                   .length = blob_.size,
                   .ref = {.pack = store_.catalog().number_of(blob_.pack), .slot = blob_.slot}};
    case BlobLayout::kFile:
      return locate_chunk(offset);
    case BlobLayout::kPages:
      return locate_page(offset);
  }
  return Piece{.start = 0, .length = blob_.size};
}

Status BlobCursor::load_step(std::size_t depth, const Ref& ref, std::uint64_t start, std::uint64_t size,
                             std::uint8_t level) {
  path_.resize(std::min(path_.size(), depth));
  CACS_ASSIGN(const Slice slice, store_.read(ref, context_));
  Step step{.start = start, .end = start + size};
  CACS_ASSIGN(step.node, parse_file_node(slice.bytes, level, size, store_.catalog()));
  std::uint64_t end = start;
  for (const auto& entry : step.node) step.ends.push_back(end += entry.length);
  path_.push_back(std::move(step));
  return {};
}

Result<BlobCursor::Piece> BlobCursor::locate_chunk(std::uint64_t offset) {
  for (std::size_t depth = 0;; ++depth) {
    const Step& step = path_[depth];
    const auto found = std::upper_bound(step.ends.begin(), step.ends.end(), offset);
    if (found == step.ends.end()) return corrupt("a list of chunks that ends too early");
    const FileEntry& entry = step.node[static_cast<std::size_t>(found - step.ends.begin())];
    const std::uint64_t start = *found - entry.length;
    if (depth == blob_.height) return Piece{.start = start, .length = entry.length, .ref = entry.ref};
    const bool there = path_.size() > depth + 1 && path_[depth + 1].start == start && path_[depth + 1].end == *found;
    if (!there) {
      const FileEntry child = entry;  // path_ may move
      CACS_TRY(
          load_step(depth + 1, child.ref, start, child.length, static_cast<std::uint8_t>(blob_.height - depth - 1)));
    }
  }
}

Result<BlobCursor::Piece> BlobCursor::locate_page(std::uint64_t offset) {
  const std::uint64_t index = offset / kPageBytes;
  std::uint64_t page = index;
  std::uint64_t run_end = map_->pages;  // of pages that follow each other, by index
  if (!map_->layout.empty()) {
    const auto found = std::upper_bound(extent_ends_.begin(), extent_ends_.end(), index);
    if (found == extent_ends_.end()) return corrupt("a layout of pages that ends too early");
    const PageExtent& extent = map_->layout[static_cast<std::size_t>(found - extent_ends_.begin())];
    page = extent.page + (index - (*found - extent.count));
    run_end = *found;
  }
  CACS_ASSIGN(const PageNode* leaf, pages_->node(0, page >> kPageFanoutBits));
  std::uint64_t last = index + 1;
  const std::uint64_t leaf_end = std::min(run_end, index + kPageFanout - page % kPageFanout);
  const Ref ref = leaf == nullptr ? Ref{} : leaf->at(page % kPageFanout);
  if (ref.none()) {
    while (last < leaf_end && (leaf == nullptr || leaf->at((page + last - index) % kPageFanout).none())) ++last;
  }
  const std::uint64_t start = index * kPageBytes;
  return Piece{.start = start, .length = std::min(last * kPageBytes, blob_.size) - start, .ref = ref};
}

Result<std::span<const std::byte>> BlobCursor::read(const Piece& piece) {
  CACS_ASSIGN(slice_, store_.read(piece.ref, context_));
  const std::size_t expected = blob_.layout == BlobLayout::kPages ? kPageBytes : piece.length;
  if (slice_.bytes.size() != expected) {
    return corrupt(fmt::format("a slot has {} bytes where {} are expected", slice_.bytes.size(), expected));
  }
  return slice_.bytes.first(piece.length);
}

Status stream_blob(PackStore& store, ReadContext& context, const BlobRef& blob, Sink& sink) {
  BlobCursor cursor(store, context, blob);
  CACS_TRY(cursor.open());
  for (std::uint64_t at = 0; at < blob.size;) {
    CACS_ASSIGN(const auto piece, cursor.locate(at));
    if (piece.ref.none()) {
      CACS_TRY(sink.hole(piece.length));
    } else {
      CACS_ASSIGN(const auto bytes, cursor.read(piece));
      CACS_TRY(sink.write(bytes));
    }
    at = piece.start + piece.length;
  }
  return sink.finish();
}

namespace {

/// What one worker restores at a time.
constexpr std::uint64_t kStretchBytes = std::uint64_t{4} << 20U;

/// Collects bytes that follow each other, so that they are written in few calls.
class GatheringWriter {
 public:
  explicit GatheringWriter(int fd) : fd_(fd) { buffer_.reserve(kGather); }
  Status write(std::uint64_t offset, std::span<const std::byte> bytes) {
    if (offset != start_ + buffer_.size() || buffer_.size() + bytes.size() > kGather) CACS_TRY(flush());
    if (buffer_.empty()) start_ = offset;
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }
  Status flush() {
    if (!buffer_.empty()) CACS_TRY(pwrite_full(fd_, buffer_, start_));
    buffer_.clear();
    return {};
  }

 private:
  static constexpr std::size_t kGather = std::size_t{1} << 20U;
  int fd_;
  std::uint64_t start_ = 0;
  std::vector<std::byte> buffer_;
};

Status restore_stretch(BlobCursor& cursor, GatheringWriter& out, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t at = from; at < to;) {
    CACS_ASSIGN(const auto piece, cursor.locate(at));
    const std::uint64_t end = std::min(piece.start + piece.length, to);
    if (!piece.ref.none()) {
      CACS_ASSIGN(const auto bytes, cursor.read(piece));
      CACS_TRY(out.write(at, bytes.subspan(at - piece.start, end - at)));
    }
    at = end;
  }
  return out.flush();
}

}  // namespace

Status restore_blob(PackStore& store, WorkPool& pool, std::vector<ReadContext>& contexts, const BlobRef& blob, int fd) {
  if (::ftruncate(fd, static_cast<off_t>(blob.size)) != 0) return errno_error(errno, "set the length of the file");
  const std::size_t stretches = (blob.size + kStretchBytes - 1) / kStretchBytes;
  std::vector<std::optional<BlobCursor>> cursors(pool.workers());
  std::mutex mutex;
  Status failure;
  pool.run(stretches, [&](std::size_t index, std::size_t worker) {
    const auto work = [&]() -> Status {
      if (!cursors[worker]) {
        cursors[worker].emplace(store, contexts[worker], blob);
        CACS_TRY(cursors[worker]->open());
      }
      GatheringWriter out(fd);
      return restore_stretch(*cursors[worker], out, index * kStretchBytes,
                             std::min(blob.size, (index + 1) * kStretchBytes));
    };
    {
      const std::lock_guard lock(mutex);
      if (!failure) return;
    }
    auto status = work();
    if (status) return;
    const std::lock_guard lock(mutex);
    if (failure) failure = status;
  });
  return failure;
}

Result<std::size_t> read_at(BlobCursor& cursor, std::uint64_t offset, std::span<std::byte> out) {
  const std::uint64_t size = cursor.blob().size;
  if (offset >= size) return std::size_t{0};
  out = out.first(std::min<std::uint64_t>(out.size(), size - offset));
  const std::size_t total = out.size();
  while (!out.empty()) {
    CACS_ASSIGN(const auto piece, cursor.locate(offset));
    const std::uint64_t within = offset - piece.start;
    const std::size_t count = std::min<std::uint64_t>(out.size(), piece.length - within);
    if (piece.ref.none()) {
      std::memset(out.data(), 0, count);
    } else {
      CACS_ASSIGN(const auto bytes, cursor.read(piece));
      std::memcpy(out.data(), bytes.data() + within, count);
    }
    out = out.subspan(count);
    offset += count;
  }
  return total;
}

}  // namespace cacs::repository
