#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "repository/blob_reader.h"
#include "repository/core.h"
#include "repository/layout.h"
#include "repository/repository.h"

namespace cacs::repository {

struct BlobReader::State {
  State(std::shared_ptr<Core> shared, const BlobRef& ref)
      : core(std::move(shared)), blob(ref), cursor(core->chunks, ref) {}
  std::shared_ptr<Core> core;
  BlobRef blob;
  BlobCursor cursor;
};

BlobReader::BlobReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobReader::~BlobReader() = default;

std::uint64_t BlobReader::size() const { return state_->blob.size; }

Result<std::size_t> BlobReader::read_at(std::uint64_t offset, std::span<std::byte> out) {
  if (offset >= size()) return std::size_t{0};
  out = out.first(std::min<std::uint64_t>(out.size(), size() - offset));
  const std::size_t total = out.size();
  while (!out.empty()) {
    CACS_ASSIGN(const auto piece, state_->cursor.locate(offset));
    const std::uint64_t within = offset - piece.start;
    const std::size_t count = std::min<std::uint64_t>(out.size(), piece.entry.length - within);
    if (piece.entry.is_zero_run()) {
      std::memset(out.data(), 0, count);
    } else {
      CACS_ASSIGN(const auto chunk, state_->cursor.read_chunk(piece.entry));
      std::memcpy(out.data(), chunk.data() + within, count);
    }
    out = out.subspan(count);
    offset += count;
  }
  return total;
}

Result<std::unique_ptr<BlobReader>> Repository::open_reader(const BlobRef& blob) {
  auto state = std::make_unique<BlobReader::State>(core_, blob);
  CACS_TRY(state->cursor.check_root());
  return std::unique_ptr<BlobReader>(new BlobReader(std::move(state)));
}

Status Repository::read_blob(const BlobRef& blob, Sink& sink) { return stream_blob(core_->chunks, blob, sink); }

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
