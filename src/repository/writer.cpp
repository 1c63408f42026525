#include <fmt/format.h>

#include "base/io.h"
#include "base/time.h"
#include "base/uuid.h"
#include "repository/blob_reader.h"
#include "repository/blob_writer.h"
#include "repository/chunker.h"
#include "repository/core.h"
#include "repository/layout.h"
#include "repository/repository.h"
#include "repository/writer_state.h"

namespace cacs::repository {

namespace {

constexpr std::uint64_t kProgressStep = std::uint64_t{4} << 20U;

Status session_over() { return make_error(ErrorCode::kConflict, "this session has ended", "begin another"); }

}  // namespace

Writer::Writer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Writer::~Writer() = default;

void Writer::set_progress(std::function<void(std::uint64_t)> progress) { state_->progress = std::move(progress); }

std::uint64_t Writer::stored_bytes() const { return state_->packs.stored_bytes() + state_->packs.open_bytes(); }

void Writer::State::advance(std::uint64_t bytes) {
  done += bytes;
  if (progress && done - reported >= kProgressStep) {
    reported = done;
    progress(done);
  }
}

Result<BlobRef> Writer::put(Source& source, StreamKind kind) {
  State& state = *state_;
  if (state.over) return session_over().error();
  BlobBuilder builder(state.core->chunks, state.packs);
  auto& chunker = state.chunkers.try_emplace(kind, kind).first->second;
  CACS_TRY(chunker.run(source, {.chunk =
                                    [&](std::span<const std::byte> chunk) {
                                      state.advance(chunk.size());
                                      return builder.add_chunk(chunk);
                                    },
                                .zeros =
                                    [&](std::uint64_t bytes) {
                                      state.advance(bytes);
                                      return builder.add_zeros(bytes);
                                    }}));
  CACS_ASSIGN(const BlobRef blob, builder.finish());
  state.blobs.emplace(blob.id, blob.size);
  if (state.progress) state.progress(state.done);
  return blob;
}

Result<BlobRef> Writer::put_bytes(std::string_view bytes) {
  MemorySource source(as_bytes(bytes));
  return put(source, StreamKind::kMetadata);
}

Status Writer::reuse(const BlobRef& blob) {
  State& state = *state_;
  if (state.over) return session_over();
  if (const auto found = state.blobs.find(blob.id); found != state.blobs.end() && found->second == blob.size) return {};
  ChunkStore& chunks = state.core->chunks;
  const auto gone = [&](std::string_view why) {
    return make_error(ErrorCode::kNotFound, fmt::format("blob {} cannot be reused: {}", blob.id.to_hex(), why));
  };
  // A list may have outlived what it lists (a collection keeps garbage that is not worth its removal), so every chunk
  // is looked up. Nothing disappears from here on: the session's lock keeps the collector out.
  if (!chunks.contains(blob.id)) return gone("it is not in the repository");
  bool whole = true;
  auto status = walk_blob(chunks, state.codec, blob,
                          {.enter = [&](const Digest& node) { return whole && (whole = chunks.contains(node)); },
                           .leaf =
                               [&](const NodeEntry& entry) {
                                 whole = whole && chunks.contains(entry.digest);
                                 return ok_status();
                               }});
  if (!status && status.error().code == ErrorCode::kCorrupt) return gone(status.error().message);
  CACS_TRY(status);
  if (!whole) return gone("a part of it is not in the repository");
  state.blobs.emplace(blob.id, blob.size);
  state.advance(blob.size);
  return {};
}

Status Writer::State::check_entries(const std::vector<Entry>& entries) const {
  for (const auto& entry : entries) {
    const auto found = blobs.find(entry.blob.id);
    if (found == blobs.end() || found->second != entry.blob.size) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("entry {} names a blob that this session neither put nor reused", entry.name));
    }
  }
  return {};
}

Status Writer::commit(Manifest manifest) {
  State& state = *state_;
  if (state.over) return session_over();
  CACS_TRY(state.check_entries(manifest.entries));
  const std::string doing = fmt::format("commit checkpoint {}", manifest.checkpoint);
  auto status = write_manifest(*state.core, state.packs, std::move(manifest), 0);
  if (!status) return status.error().with_context(doing);
  state.end();
  return {};
}

Result<std::string> Writer::finish_piece(std::vector<Entry> entries, JsonObject meta) {
  State& state = *state_;
  if (state.over) return session_over().error();
  CACS_TRY(state.check_entries(entries));
  CACS_TRY(sort_entries(entries));
  const std::string doing = fmt::format("store piece {}", state.label);
  PieceDocument document;
  auto list = store_entries(*state.core, state.packs, entries);
  if (!list) return list.error().with_context(doing);
  document.entries = *list;
  document.entry_count = entries.size();
  CACS_TRY(state.packs.publish().context(doing));
  document.head.info = {.piece = new_uuid(), .label = state.label, .meta = std::move(meta)};
  document.head.created_at = format_time(wall_now());
  document.head.stored_bytes = state.packs.stored_bytes();
  const std::string id = document.head.info.piece;
  CACS_TRY(write_document_file(*state.core->storage, kPieceDirectory, piece_file(id),
                               encode_document(DocumentKind::kPiece, piece_to_json(document)))
               .context(doing));
  state.end();
  return id;
}

}  // namespace cacs::repository
