#include "repository/repository.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/core.h"
#include "repository/layout.h"
#include "repository/writer_state.h"

namespace cacs::repository {

namespace {

Result<JsonObject> load_descriptor(Storage& storage) {
  auto bytes = read_document_file(storage, std::string(kDescriptorFile));
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound, fmt::format("there is no repository in {}", storage.describe()),
                      "make one first, or name another directory");
  }
  if (!bytes) return bytes.error();
  return parse_document(DocumentKind::kRepository, *bytes, "the repository's descriptor");
}

}  // namespace

Repository::Repository(std::shared_ptr<Core> core) : core_(std::move(core)) {}
Repository::~Repository() = default;

Result<std::unique_ptr<Repository>> Repository::create(const std::filesystem::path& path) {
  return create(make_file_storage(path));
}

Result<std::unique_ptr<Repository>> Repository::open(const std::filesystem::path& path) {
  return open(make_file_storage(path));
}

Result<std::unique_ptr<Repository>> Repository::create(std::unique_ptr<Storage> storage) {
  const std::string doing = "make a repository in " + storage->describe();
  CACS_TRY(storage->make_directory("").context(doing));
  if (storage->open(std::string(kDescriptorFile)).ok()) {
    return make_error(ErrorCode::kConflict, doing + ": there is one already");
  }
  for (const auto directory : {kPackDirectory, kManifestDirectory, kPieceDirectory}) {
    CACS_TRY(storage->make_directory(std::string(directory)).context(doing));
  }
  // The descriptor last: a directory without one is no repository, and creating can be tried again.
  const JsonObject body{{"repository", new_uuid()}};
  CACS_TRY(
      write_document_file(*storage, "", std::string(kDescriptorFile), encode_document(DocumentKind::kRepository, body))
          .context(doing));
  return open(std::move(storage));
}

Result<std::unique_ptr<Repository>> Repository::open(std::unique_ptr<Storage> storage) {
  CACS_TRY(load_descriptor(*storage));
  const std::string doing = "open the repository in " + storage->describe();
  {
    // With a writer or collector at work the temporary files may be theirs; then the next open or collection clears up.
    auto lock = storage->lock(LockMode::kExclusive, LockWait::kFail);
    if (lock) CACS_TRY(remove_temporaries(*storage).context(doing));
    if (!lock && lock.error().code != ErrorCode::kUnavailable) return lock.error().with_context(doing);
  }
  auto core = std::make_shared<Core>(std::move(storage));
  CACS_TRY(core->chunks.refresh().context(doing));
  for (const auto& [id, error] : core->chunks.damaged()) spdlog::warn("{}: {}", doing, error.to_string());
  return std::unique_ptr<Repository>(new Repository(std::move(core)));
}

Result<std::unique_ptr<Writer>> Repository::begin(std::string_view label) {
  CACS_ASSIGN(auto lock, core_->storage->lock(LockMode::kShared, LockWait::kBlock));
  // Under the lock: from here on no pack disappears, so every chunk that the index names may be built on.
  CACS_TRY(core_->chunks.refresh());
  auto state = std::make_unique<Writer::State>(core_, std::move(lock), label);
  return std::unique_ptr<Writer>(new Writer(std::move(state)));
}

// --- pieces ----------------------------------------------------------------------------------------------------------

Status Repository::commit_checkpoint(Manifest head, const std::vector<std::string>& pieces) {
  const std::string doing = fmt::format("commit checkpoint {}", head.checkpoint);
  if (!head.entries.empty()) return make_error(ErrorCode::kInvalidArgument, doing + ": the head must have no entries");
  Storage& storage = *core_->storage;
  if (auto done = load_manifest_document(storage, head.checkpoint); done.ok()) {
    const auto& before = done->head.pieces;
    const bool same = std::equal(before.begin(), before.end(), pieces.begin(), pieces.end(),
                                 [](const PieceInfo& info, const std::string& id) { return info.piece == id; });
    if (!same) return make_error(ErrorCode::kConflict, doing + ": it exists, and was made of other pieces");
  } else {
    if (done.error().code != ErrorCode::kNotFound) return done.error().with_context(doing);
    CACS_ASSIGN(const auto lock, storage.lock(LockMode::kShared, LockWait::kBlock));
    CACS_TRY(core_->chunks.refresh().context(doing));
    std::uint64_t stored = 0;
    head.pieces.clear();
    for (const auto& id : pieces) {
      auto piece = load_piece(id);
      if (!piece) return piece.error().with_context(doing);
      head.entries.insert(head.entries.end(), piece->entries.begin(), piece->entries.end());
      stored += piece->stored_bytes;
      head.pieces.push_back(std::move(piece->info));
    }
    PackWriter packs(storage, core_->chunks);
    CACS_TRY(write_manifest(*core_, packs, std::move(head), stored).context(doing));
  }
  for (const auto& id : pieces) CACS_TRY(drop_piece(id).context(doing));
  return {};
}

Result<std::vector<std::string>> Repository::list_pieces() {
  return list_ids(*core_->storage, kPieceDirectory, kPieceSuffix);
}

Result<Piece> Repository::load_piece(std::string_view piece) {
  CACS_ASSIGN(PieceDocument document, load_piece_document(*core_->storage, piece));
  auto entries = load_entries(*core_, document.entries, document.entry_count);
  if (!entries) return entries.error().with_context(fmt::format("piece {}", piece));
  document.head.entries = std::move(*entries);
  return std::move(document.head);
}

Status Repository::drop_piece(std::string_view piece) {
  if (!is_uuid(piece)) return make_error(ErrorCode::kInvalidArgument, "a piece's id is a UUID");
  auto status = remove_document_file(*core_->storage, kPieceDirectory, piece_file(piece));
  if (!status && status.error().code == ErrorCode::kNotFound) return {};
  return status;
}

Status Repository::drop_all_pieces() {
  CACS_ASSIGN(const auto pieces, list_pieces());
  for (const auto& piece : pieces) CACS_TRY(drop_piece(piece));
  return {};
}

// --- checkpoints -----------------------------------------------------------------------------------------------------

Result<std::vector<Summary>> Repository::list() {
  CACS_ASSIGN(const auto ids, list_ids(*core_->storage, kManifestDirectory, kManifestSuffix));
  std::vector<Summary> all;
  for (const auto& id : ids) {
    Summary summary;
    auto document = load_manifest_document(*core_->storage, id);
    if (document) {
      summary.head = std::move(document->head);
      summary.entry_count = document->entry_count;
    } else if (document.error().code == ErrorCode::kNotFound) {
      continue;  // removed since
    } else {
      summary.head.checkpoint = id;
      summary.problem = document.error();
    }
    all.push_back(std::move(summary));
  }
  return all;
}

Result<Manifest> Repository::load(std::string_view checkpoint) {
  CACS_ASSIGN(ManifestDocument document, load_manifest_document(*core_->storage, checkpoint));
  auto entries = load_entries(*core_, document.entries, document.entry_count);
  if (!entries) return entries.error().with_context(fmt::format("checkpoint {}, its list of entries", checkpoint));
  document.head.entries = std::move(*entries);
  return std::move(document.head);
}

Status Repository::remove(std::string_view checkpoint) {
  if (!is_uuid(checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  auto status = remove_document_file(*core_->storage, kManifestDirectory, manifest_file(checkpoint));
  if (!status && status.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound, fmt::format("there is no checkpoint {}", checkpoint));
  }
  return status;
}

std::uint64_t Repository::quarantines() const { return core_->chunks.quarantines(); }

Result<Stats> Repository::stats() {
  CACS_TRY(core_->chunks.refresh());
  Stats stats;
  CACS_ASSIGN(const auto checkpoints, list_ids(*core_->storage, kManifestDirectory, kManifestSuffix));
  CACS_ASSIGN(const auto pieces, list_pieces());
  stats.checkpoints = checkpoints.size();
  stats.pieces = pieces.size();
  for (const auto& pack : core_->chunks.packs()) {
    ++stats.packs;
    stats.stored_bytes += pack->file_size;
    stats.chunks += pack->entries.size();
    for (const auto& entry : pack->entries) stats.raw_bytes += entry.raw;
  }
  stats.index_bytes = core_->chunks.memory_bytes();
  return stats;
}

}  // namespace cacs::repository
