#include <fmt/format.h>

#include "repository/blob_read.h"
#include "repository/repository.h"

namespace cacs::repository {

struct BlobReader::State {
  State(std::shared_ptr<Core> shared, const BlobRef& ref)
      : core(std::move(shared)), context(core->keys()), cursor(core->store, context, ref) {}
  std::shared_ptr<Core> core;
  ReadContext context;
  BlobCursor cursor;
};

BlobReader::BlobReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobReader::~BlobReader() = default;

std::uint64_t BlobReader::size() const { return state_->cursor.blob().size; }

Result<std::size_t> BlobReader::read_at(std::uint64_t offset, std::span<std::byte> out) {
  return repository::read_at(state_->cursor, offset, out);
}

Result<std::unique_ptr<BlobReader>> Repository::open_reader(const BlobRef& blob) {
  auto state = std::make_unique<BlobReader::State>(core_, blob);
  CACS_TRY(state->cursor.open());
  return std::unique_ptr<BlobReader>(new BlobReader(std::move(state)));
}

Status Repository::read_blob(const BlobRef& blob, Sink& sink) {
  ReadContext context(core_->keys());
  return stream_blob(core_->store, context, blob, sink);
}

Status Repository::restore_blob(const BlobRef& blob, int fd) {
  // A small file is not worth threads. Far from here what takes the time is waiting, not the processors.
  constexpr std::uint64_t kWorthThreads = std::uint64_t{8} << 20U;
  constexpr std::size_t kRequests = 16;
  const bool far = core_->further || !core_->backend().traits().local;
  WorkPool pool(blob.size < kWorthThreads ? 1 : (far ? kRequests : 0));
  std::vector<ReadContext> contexts;
  for (std::size_t worker = 0; worker < pool.workers(); ++worker) contexts.emplace_back(core_->keys());
  return repository::restore_blob(core_->store, pool, contexts, blob, fd);
}

Result<PageLayout> Repository::page_layout(const BlobRef& blob) {
  ReadContext context(core_->keys());
  CACS_ASSIGN(OpenPageMap map, open_page_map(core_->store, context, blob));
  return std::move(map.layout);
}

Result<PageLayout> Repository::stored_pages(const BlobRef& blob) {
  ReadContext context(core_->keys());
  return repository::stored_pages(core_->store, context, blob);
}

Status Repository::compare_pages(const BlobRef& one, const BlobRef& other, const PageRange& range,
                                 const VisitPages& visit) {
  ReadContext context(core_->keys());
  return repository::compare_pages(core_->store, context, one, other, range, visit);
}

Result<FileDifference> Repository::compare_files(const BlobRef& one, const BlobRef& other) {
  ReadContext context(core_->keys());
  return repository::compare_files(core_->store, context, one, other);
}

Status Repository::verify(std::string_view checkpoint, const std::function<void(std::uint64_t)>& progress) {
  CACS_ASSIGN(const Manifest manifest, load(checkpoint));
  std::uint64_t done = 0;
  for (const auto& entry : manifest.entries) {
    NullSink sink;
    CACS_TRY(read_blob(entry.blob, sink).context(fmt::format("checkpoint {}, entry {}", checkpoint, entry.name)));
    done += entry.blob.size;
    if (progress) progress(done);
  }
  return {};
}

}  // namespace cacs::repository
