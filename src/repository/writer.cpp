#include <fmt/format.h>

#include <algorithm>

#include "base/io.h"
#include "base/time.h"
#include "base/uuid.h"
#include "repository/file_node.h"
#include "repository/layout.h"
#include "repository/page_ingest.h"
#include "repository/pieces.h"
#include "repository/walk.h"
#include "repository/writer_state.h"

namespace cacs::repository {

namespace {

constexpr std::uint64_t kProgressStep = std::uint64_t{4} << 20U;

Status session_over() { return make_error(ErrorCode::kConflict, "this session has ended", "begin another"); }

}  // namespace

Writer::Writer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Writer::~Writer() = default;

Writer::State::State(std::shared_ptr<Core> shared, Hold held, std::string_view name)
    : core(std::move(shared)),
      hold(std::move(held)),
      label(name),
      packs(core->backend(), core->keys(), core->store, pool, core->place.sizes, hold.guard.get()) {
  for (std::size_t worker = 0; worker < pool.workers(); ++worker) contexts.emplace_back(core->keys());
}

void Writer::set_progress(std::function<void(std::uint64_t)> progress) { state_->progress = std::move(progress); }

std::uint64_t Writer::stored_bytes() const { return state_->packs.stored_bytes(); }

void Writer::State::advance(std::uint64_t bytes) {
  done += bytes;
  if (progress && done - reported >= kProgressStep) {
    reported = done;
    progress(done);
  }
}

BlobRef Writer::State::remember(const BlobRef& blob) {
  blobs.insert(blob.to_text());
  return blob;
}

// --- files -----------------------------------------------------------------------------------------------------------

Result<BlobRef> Writer::put(Source& source, StreamKind kind) {
  State& state = *state_;
  if (state.over) return session_over().error();
  if (kind == StreamKind::kMemory) {
    return make_error(ErrorCode::kInvalidArgument, "memory is stored by address", "call put_pages");
  }
  FileTreeBuilder builder(state.core->store, state.packs, state.contexts.front().hasher);
  auto& chunker = state.chunkers.try_emplace(kind, state.core->place.sizes.chunk(kind), state.core->gear).first->second;
  CACS_TRY(chunker.run(source, {.chunk =
                                    [&](std::span<const std::byte> chunk) {
                                      state.advance(chunk.size());
                                      return builder.add_chunk(chunk, kind);
                                    },
                                .zeros =
                                    [&](std::uint64_t bytes) {
                                      state.advance(bytes);
                                      return builder.add_zeros(bytes);
                                    }}));
  CACS_ASSIGN(const BlobRef blob, builder.finish());
  if (state.progress) state.progress(state.done);
  return state.remember(blob);
}

Result<BlobRef> Writer::put_bytes(std::string_view bytes) {
  MemorySource source(as_bytes(bytes));
  return put(source, StreamKind::kMetadata);
}

// --- pages -----------------------------------------------------------------------------------------------------------

Result<BlobRef> Writer::put_pages(const PageSource& source, const PageLayout& layout, const BlobRef* parent) {
  if (state_->over) return session_over().error();
  CACS_TRY(check_page_layout(layout));
  CACS_ASSIGN(const std::uint64_t size, source.size());
  std::vector<PageRun> runs;
  PageMapHead shape;
  for (const auto& extent : layout) {
    runs.push_back({.page = extent.page, .offset = shape.pages * kPageBytes, .count = extent.count});
    shape.pages += extent.count;
  }
  if (size != shape.pages * kPageBytes) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("the layout has {} pages, the source {} bytes", shape.pages, size));
  }
  if (shape.pages == 0) return state_->remember({});
  CACS_ASSIGN(shape.layout, put_bytes(encode_page_layout(layout)));
  return state_->put_pages(source, std::move(runs), shape, parent).context("store memory");
}

Result<BlobRef> Writer::put_pages(const PageSource& source, const BlobRef* parent) {
  if (state_->over) return session_over().error();
  CACS_ASSIGN(const std::uint64_t size, source.size());
  CACS_ASSIGN(const PageLayout data, source.data());
  std::vector<PageRun> runs;
  for (const auto& extent : data) {
    runs.push_back({.page = extent.page, .offset = extent.page * kPageBytes, .count = extent.count});
  }
  auto blob = state_->put_pages(source, std::move(runs), {.pages = (size + kPageBytes - 1) / kPageBytes}, parent);
  if (!blob) return blob.error().with_context("store pages");
  blob->size = size;
  return state_->remember(*blob);
}

Result<BlobRef> Writer::State::put_pages(const PageSource& source, std::vector<PageRun> runs, const PageMapHead& shape,
                                         const BlobRef* parent) {
  std::optional<OpenPageMap> before;
  if (parent != nullptr) {
    auto opened = open_page_map(core->store, contexts.front(), *parent);
    // A parent that is gone, damaged or of another kind is none: the index finds what it can.
    if (opened) before = *std::move(opened);
  }
  PageIngest ingest({.store = core->store, .packs = packs, .pool = pool, .contexts = contexts});
  CACS_ASSIGN(const PageTreeRoot root, ingest.run(source, std::move(runs), before ? &before->root : nullptr,
                                                  [&](std::uint64_t bytes) { advance(bytes); }));
  PageMapHead head = shape;
  head.empty = root.ref.none();
  if (!head.empty) {
    head.root_pack = core->store.catalog().id_of(root.ref.pack);
    head.root_slot = root.ref.slot;
    head.height = root.height;
  }
  const std::string bytes = encode_page_map_head(head);
  const ContentId id = contexts.front().hasher(as_bytes(bytes));
  CACS_ASSIGN(const Ref ref, packs.add(StreamKind::kMetadata, id, as_bytes(bytes)));
  if (progress) progress(done);
  return remember({.pack = core->store.catalog().id_of(ref.pack),
                   .slot = ref.slot,
                   .layout = BlobLayout::kPages,
                   .size = head.pages * kPageBytes});
}

// --- what is there already -------------------------------------------------------------------------------------------

Status Writer::reuse(const BlobRef& blob) {
  State& state = *state_;
  if (state.over) return session_over();
  if (state.blobs.contains(blob.to_text())) return {};
  PackStore& store = state.core->store;
  // A part may have outlived the rest (a collection keeps garbage that is not worth its removal), so every slot is
  // looked up. Nothing that may be referred to disappears from here on: the hold keeps the collector off it.
  const auto need = [&](const Ref& ref) -> Result<bool> {
    CACS_ASSIGN(const bool there, store.contains(ref));
    CACS_ASSIGN(const bool allowed, there ? state.packs.may_reference(ref) : Result<bool>(false));
    if (allowed) return true;
    return make_error(ErrorCode::kNotFound, "a part of it is not in the repository");
  };
  auto status = walk_blob(store, state.contexts.front(), blob, {.enter = need, .leaf = [&](const Ref& ref) -> Status {
                                                                  CACS_TRY(need(ref));
                                                                  return {};
                                                                }});
  if (!status && (status.error().code == ErrorCode::kCorrupt || status.error().code == ErrorCode::kNotFound)) {
    return make_error(ErrorCode::kNotFound, fmt::format("a blob cannot be reused: {}", status.error().message));
  }
  CACS_TRY(status);
  state.remember(blob);
  state.advance(blob.size);
  return {};
}

Status Writer::State::check_entries(const std::vector<Entry>& entries) const {
  for (const auto& entry : entries) {
    if (entry.blob.layout == BlobLayout::kZeros || blobs.contains(entry.blob.to_text())) continue;
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("entry {} names a blob that this session neither put nor reused", entry.name));
  }
  return {};
}

// --- the end of a session --------------------------------------------------------------------------------------------

Status Writer::commit(Manifest manifest) {
  State& state = *state_;
  if (state.over) return session_over();
  CACS_TRY(state.check_entries(manifest.entries));
  const std::string doing = fmt::format("commit checkpoint {}", manifest.checkpoint);
  Core& core = *state.core;
  if (state.hold.session && !state.hold.manifest.starts_with(manifest_name(core.keys(), manifest.checkpoint) + ".")) {
    // The session was begun for no checkpoint, or for another: what it may write is a piece.
    if (!is_uuid(manifest.checkpoint)) {
      return make_error(ErrorCode::kInvalidArgument, doing + ": a checkpoint's id has to be a UUID");
    }
    auto piece = state.finish_piece(std::exchange(manifest.entries, {}), {});
    if (!piece) return piece.error().with_context(doing);
    return commit_pieces(state.core, std::move(manifest), {*piece}, NamePieces::kNo).context(doing);
  }
  CACS_TRY(write_manifest(core, state.hold, state.packs, state.contexts.front().hasher, std::move(manifest), 0)
               .context(doing));
  state.end();
  return {};
}

Result<std::string> Writer::finish_piece(std::vector<Entry> entries, JsonObject meta) {
  State& state = *state_;
  if (state.over) return session_over().error();
  CACS_TRY(state.check_entries(entries));
  auto id = state.finish_piece(std::move(entries), std::move(meta));
  if (!id) return id.error().with_context(fmt::format("store piece {}", state.label));
  return id;
}

Result<std::string> Writer::State::finish_piece(std::vector<Entry> entries, JsonObject meta) {
  CACS_TRY(sort_entries(entries));
  PieceDocument document;
  CACS_ASSIGN(document.entries, store_entries(*core, packs, contexts.front().hasher, entries));
  document.entry_count = entries.size();
  CACS_TRY(packs.finish());
  document.head.info = {.piece = hold.piece, .label = label, .meta = std::move(meta)};
  document.head.created_at = format_time(wall_now());
  document.head.stored_bytes = packs.stored_bytes();
  if (hold.session) document.origin = hold.session->origin();
  std::string id = hold.piece;
  CACS_TRY(store_root(*core, hold, DocumentKind::kPiece, piece_name(id), piece_to_json(document)));
  end();
  return id;
}

}  // namespace cacs::repository
