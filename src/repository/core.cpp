#include "repository/core.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/io.h"
#include "base/time.h"
#include "base/uuid.h"
#include "repository/blob_reader.h"
#include "repository/blob_writer.h"
#include "repository/chunker.h"
#include "repository/layout.h"
#include "repository/repository.h"

namespace cacs::repository {

namespace {

constexpr std::uint64_t kMaxEntriesBytes = std::uint64_t{1} << 30U;

}  // namespace

Result<std::vector<std::byte>> read_document_file(Storage& storage, const std::string& name) {
  CACS_ASSIGN(const auto file, storage.open(name));
  CACS_ASSIGN(const std::uint64_t size, file->size());
  if (size > kMaxDocumentBytes + 4096) return corrupt(name + " is longer than it may be");
  std::vector<std::byte> bytes(size);
  CACS_ASSIGN(const std::size_t got, file->read_at(0, bytes));
  bytes.resize(got);
  return bytes;
}

Status write_document_file(Storage& storage, std::string_view directory, const std::string& name,
                           std::string_view bytes) {
  if (bytes.size() > kMaxDocumentBytes) {
    return make_error(ErrorCode::kTooLarge, fmt::format("{} would take {} bytes, more than the {} it may", name,
                                                        bytes.size(), kMaxDocumentBytes));
  }
  const std::string temporary = fmt::format("{}.{}{}", name, new_uuid(), kTemporarySuffix);
  const auto write = [&]() -> Status {
    CACS_ASSIGN(const auto file, storage.create(temporary));
    CACS_TRY(file->append(as_bytes(bytes)));
    CACS_TRY(file->sync());
    return storage.rename(temporary, name);
  };
  if (auto status = write(); !status) {
    // Best effort: what cannot be removed now is removed by the next open.
    static_cast<void>(storage.remove(temporary).ok());
    return status;
  }
  return storage.sync_directory(std::string(directory));
}

Status remove_document_file(Storage& storage, std::string_view directory, const std::string& name) {
  Status removed = storage.remove(name);
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
  CACS_TRY(storage.sync_directory(std::string(directory)));
  return removed;
}

Result<std::vector<std::string>> list_ids(Storage& storage, std::string_view directory, std::string_view suffix) {
  CACS_ASSIGN(const auto names, storage.list(std::string(directory)));
  std::vector<std::string> ids;
  for (const auto& name : names) {
    if (auto id = id_of_file(name, suffix); !id.empty()) ids.push_back(std::move(id));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<ManifestDocument> load_manifest_document(Storage& storage, std::string_view checkpoint) {
  const std::string what = fmt::format("manifest of checkpoint {}", checkpoint);
  if (!is_uuid(checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  auto bytes = read_document_file(storage, manifest_file(checkpoint));
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("there is no checkpoint {} in {}", checkpoint, storage.describe()));
  }
  if (!bytes) return bytes.error();
  CACS_ASSIGN(const JsonObject json, parse_document(DocumentKind::kManifest, *bytes, what));
  auto document = manifest_from_json(json);
  if (!document) return document.error().with_context(what);
  if (document->head.checkpoint != checkpoint) {
    return corrupt(fmt::format("{}: this is that of {} under another name", what, document->head.checkpoint));
  }
  return document;
}

Result<PieceDocument> load_piece_document(Storage& storage, std::string_view piece) {
  const std::string what = fmt::format("piece {}", piece);
  if (!is_uuid(piece)) return make_error(ErrorCode::kInvalidArgument, "a piece's id is a UUID");
  auto bytes = read_document_file(storage, piece_file(piece));
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound, fmt::format("there is no piece {} in {}", piece, storage.describe()));
  }
  if (!bytes) return bytes.error();
  CACS_ASSIGN(const JsonObject json, parse_document(DocumentKind::kPiece, *bytes, what));
  auto document = piece_from_json(json);
  if (!document) return document.error().with_context(what);
  if (document->head.info.piece != piece) {
    return corrupt(fmt::format("{}: this is {} under another name", what, document->head.info.piece));
  }
  return document;
}

Result<std::vector<Entry>> load_entries(Core& core, const BlobRef& blob, std::uint64_t count) {
  if (blob.size > kMaxEntriesBytes) return corrupt("a list of entries longer than it may be");
  StringSink sink(blob.size);
  CACS_TRY(stream_blob(core.chunks, blob, sink));
  CACS_ASSIGN(auto entries, parse_entries(as_bytes(sink.text())));
  if (entries.size() != count) return corrupt("a list of entries of the wrong length");
  return entries;
}

Status remove_temporaries(Storage& storage) {
  for (const auto directory :
       {std::string_view(), kPackDirectory, kManifestDirectory, kPieceDirectory, kDamageDirectory}) {
    auto names = storage.list(std::string(directory));
    // That of quarantines is made when there is the first.
    if (!names && names.error().code == ErrorCode::kNotFound && directory == kDamageDirectory) continue;
    if (!names) return names.error();
    for (const auto& name : *names) {
      if (!name.ends_with(kTemporarySuffix)) continue;
      CACS_TRY(storage.remove(directory.empty() ? name : std::string(directory) + "/" + name));
    }
  }
  return {};
}

Status sort_entries(std::vector<Entry>& entries) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& name = entries[i].name;
    if (name.empty() || name.size() > kMaxNameBytes) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("an entry's name has {} bytes: 1 to {} are allowed", name.size(), kMaxNameBytes));
    }
    if (i > 0 && entries[i - 1].name == name) {
      return make_error(ErrorCode::kInvalidArgument, fmt::format("two entries of the name {}", name));
    }
  }
  return {};
}

Result<BlobRef> store_entries(Core& core, PackWriter& packs, const std::vector<Entry>& entries) {
  const std::string bytes = encode_entries(entries);
  if (bytes.size() > kMaxEntriesBytes) return make_error(ErrorCode::kTooLarge, "too many entries for one checkpoint");
  MemorySource source(as_bytes(bytes));
  BlobBuilder builder(core.chunks, packs);
  Chunker chunker(StreamKind::kMetadata);
  CACS_TRY(chunker.run(source, {.chunk = [&](auto chunk) { return builder.add_chunk(chunk); },
                                .zeros = [&](auto count) { return builder.add_zeros(count); }}));
  return builder.finish();
}

Status write_manifest(Core& core, PackWriter& packs, Manifest head, std::uint64_t stored_before) {
  if (!is_uuid(head.checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id has to be a UUID");
  const std::string name = manifest_file(head.checkpoint);
  if (core.storage->open(name).ok()) {
    return make_error(ErrorCode::kConflict, fmt::format("there is a checkpoint {} already", head.checkpoint));
  }
  CACS_TRY(sort_entries(head.entries));
  ManifestDocument document;
  document.entry_count = head.entries.size();
  CACS_ASSIGN(document.entries, store_entries(core, packs, head.entries));
  CACS_TRY(packs.publish());
  head.size_bytes = 0;
  for (const auto& entry : head.entries) head.size_bytes += entry.blob.size;
  head.stored_bytes = stored_before + packs.stored_bytes();
  if (head.created_at.empty()) head.created_at = format_time(wall_now());
  document.head = std::move(head);
  return write_document_file(*core.storage, kManifestDirectory, name,
                             encode_document(DocumentKind::kManifest, manifest_to_json(document)));
}

}  // namespace cacs::repository
