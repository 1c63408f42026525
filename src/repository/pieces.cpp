#include "repository/pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/blob_read.h"
#include "repository/layout.h"
#include "repository/page_ingest.h"
#include "repository/summaries.h"
#include "repository/writer_state.h"

namespace cacs::repository {

Result<Piece> load_piece(Core& core, std::string_view piece) {
  CACS_ASSIGN(PieceDocument document, load_piece_document(core, piece));
  auto entries = load_entries(core, document.entries, document.entry_count);
  if (!entries) return entries.error().with_context(fmt::format("piece {}", piece));
  document.head.entries = std::move(*entries);
  return std::move(document.head);
}

Status drop_piece(Core& core, std::string_view piece) {
  if (!is_uuid(piece)) return make_error(ErrorCode::kInvalidArgument, "a piece's id is a UUID");
  auto status = core.roots().remove(piece_name(piece));
  if (!status && status.error().code == ErrorCode::kNotFound) return {};
  return status;
}

namespace {

/// A stored blob, to be stored anew.
class StoredSource final : public Source {
 public:
  StoredSource(Core& core, const BlobRef& blob) : context_(core.keys()), cursor_(core.store, context_, blob) {}
  Status open() { return cursor_.open(); }
  Result<std::size_t> read(std::span<std::byte> out) override {
    CACS_ASSIGN(const std::size_t got, repository::read_at(cursor_, offset_, out));
    offset_ += got;
    return got;
  }
  Result<std::uint64_t> hole() override { return std::uint64_t{0}; }
  void skip(std::uint64_t count) override { offset_ += count; }

 private:
  ReadContext context_;
  BlobCursor cursor_;
  std::uint64_t offset_ = 0;
};

/// The same for a page map. Its pages come one after the other, whichever thread asks.
class StoredPages final : public PageSource {
 public:
  StoredPages(Core& core, const BlobRef& blob) : context_(core.keys()), cursor_(core.store, context_, blob) {}
  Status open() { return cursor_.open(); }
  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    const std::lock_guard lock(mutex_);
    return repository::read_at(cursor_, offset, out);
  }
  [[nodiscard]] Result<std::uint64_t> size() const override { return cursor_.blob().size; }
  [[nodiscard]] Result<PageLayout> data() const override {
    const std::uint64_t pages = (cursor_.blob().size + kPageBytes - 1) / kPageBytes;
    return pages == 0 ? PageLayout() : PageLayout{{.page = 0, .count = pages}};
  }

 private:
  ReadContext context_;
  mutable std::mutex mutex_;
  mutable BlobCursor cursor_;
};

Result<BlobRef> store_anew(Core& core, Writer& writer, const BlobRef& blob) {
  if (blob.layout != BlobLayout::kPages) {
    StoredSource source(core, blob);
    CACS_TRY(source.open());
    return writer.put(source, StreamKind::kFile);
  }
  ReadContext context(core.keys());
  CACS_ASSIGN(const OpenPageMap map, open_page_map(core.store, context, blob));
  StoredPages source(core, blob);
  CACS_TRY(source.open());
  return map.layout.empty() ? writer.put_pages(source, nullptr) : writer.put_pages(source, map.layout, nullptr);
}

/// Whether all that the piece refers to may be referred to without a look at it: nothing was condemned since its
/// session began that its session did not know of.
bool may_take_all(const Session& session, const CollectionView& view, const PieceDocument& piece) {
  const CollectorState& state = session.state();
  std::set<std::string> condemned;  // that it may refer to any of them
  for (const auto& entry : state.condemned) condemned.insert(entry.pack);
  const bool same = view.state.term == state.term && view.state.serial == state.serial;
  return may_share(state, same ? view.catalogue : RootCatalogue{}, piece_name(piece.head.info.piece), *piece.origin,
                   condemned);
}

}  // namespace

/// Makes one manifest of pieces; what one of them refers to and this session may not is stored anew.
class PieceJoin {
 public:
  PieceJoin(const std::shared_ptr<Core>& core, Hold hold)
      : core_(*core), writer_(std::make_unique<Writer::State>(core, std::move(hold), "commit")) {}

  /// `head`: with the entries and pieces that are in it already.
  Status run(Manifest head, const std::vector<std::string>& pieces, NamePieces name, Overwrite overwrite) {
    std::uint64_t stored = std::exchange(head.stored_bytes, 0);
    for (const auto& id : pieces) {
      CACS_ASSIGN(PieceDocument piece, load_piece_document(core_, id));
      auto entries = load_entries(core_, piece.entries, piece.entry_count);
      if (!entries) return entries.error().with_context(fmt::format("piece {}", id));
      CACS_TRY(take(piece, *entries));
      head.entries.insert(head.entries.end(), entries->begin(), entries->end());
      stored += piece.head.stored_bytes;
      if (name == NamePieces::kYes) head.pieces.push_back(std::move(piece.head.info));
    }
    Writer::State& state = *writer_.state_;
    return write_manifest(core_, state.hold, state.packs, state.contexts.front().hasher, std::move(head), stored,
                          overwrite);
  }

 private:
  Status take(const PieceDocument& piece, std::vector<Entry>& entries) {
    const Session* session = writer_.state_->hold.session.get();
    if (session == nullptr || core_.place.sessions.fault == SessionFault::kTakePieces) return {};
    if (may_take_all(*session, *core_.sessions->known_view(), piece)) return {};
    for (auto& entry : entries) {
      auto reused = writer_.reuse(entry.blob);
      if (reused) continue;
      if (reused.error().code != ErrorCode::kNotFound) return reused;
      CACS_ASSIGN(entry.blob, store_anew(core_, writer_, entry.blob));
    }
    return {};
  }

  Core& core_;
  Writer writer_;
};

Status commit_pieces(const std::shared_ptr<Core>& core, Manifest head, const std::vector<std::string>& pieces,
                     NamePieces name) {
  if (auto done = load_manifest_document(*core, head.checkpoint); done.ok()) {
    const auto& before = done->head.pieces;
    const bool same = name == NamePieces::kYes &&
                      std::equal(before.begin(), before.end(), pieces.begin(), pieces.end(),
                                 [](const PieceInfo& info, const std::string& id) { return info.piece == id; });
    if (!same) return make_error(ErrorCode::kConflict, "it exists, and was made of other pieces");
  } else {
    if (done.error().code != ErrorCode::kNotFound) return done.error();
    CACS_ASSIGN(Hold hold, hold_for_writing(*core, head.checkpoint));
    head.pieces.clear();
    head.stored_bytes = 0;
    CACS_TRY(PieceJoin(core, std::move(hold)).run(std::move(head), pieces, name, Overwrite::kNo));
  }
  for (const auto& id : pieces) {
    auto dropped = drop_piece(*core, id);
    if (dropped) continue;
    // Of the caller's pieces he is told: he repeats the call.
    if (name == NamePieces::kYes) return dropped;
    spdlog::warn("a piece that is not needed any more stays: {}", dropped.error().to_string());
  }
  return {};
}

Status extend_by_pieces(const std::shared_ptr<Core>& core, std::string_view checkpoint,
                        const std::vector<std::string>& pieces, JsonObject meta) {
  if (core->sessions) {
    return make_error(ErrorCode::kUnsupported, "a repository that several machines write to has no parts that grow");
  }
  CACS_ASSIGN(Hold hold, hold_for_writing(*core, checkpoint));
  CACS_ASSIGN(ManifestDocument there, load_manifest_document(*core, checkpoint));
  const auto is_in = [&](const std::string& id) {
    return std::ranges::any_of(there.head.pieces, [&](const PieceInfo& info) { return info.piece == id; });
  };
  if (!std::ranges::all_of(pieces, is_in)) {
    CACS_ASSIGN(there.head.entries, load_entries(*core, there.entries, there.entry_count));
    there.head.meta = std::move(meta);
    // What lists keep of it is of the manifest before.
    CACS_TRY(forget_summary(*core, manifest_name(core->keys(), checkpoint)));
    PieceJoin join(core, std::move(hold));
    CACS_TRY(join.run(std::move(there.head), pieces, NamePieces::kYes, Overwrite::kYes));
  }
  for (const auto& id : pieces) CACS_TRY(drop_piece(*core, id));
  return {};
}

}  // namespace cacs::repository
