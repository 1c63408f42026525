#include "repository/core.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/io.h"
#include "base/time.h"
#include "base/uuid.h"
#include "repository/blob_read.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kMaxEntriesBytes = std::size_t{1} << 30U;

}  // namespace

Result<ManifestDocument> read_manifest(Core& core, const std::string& name) {
  CACS_ASSIGN(const JsonObject json, load_document(core.backend(), DocumentKind::kManifest, core.keys(), name));
  CACS_ASSIGN(ManifestDocument document, manifest_from_json(json));
  if (manifest_name(core.keys(), document.head.checkpoint) != name) {
    return corrupt(fmt::format("manifest {}: this is that of {} under another name", name, document.head.checkpoint));
  }
  return document;
}

std::string manifest_name(const TenantKeys& keys, std::string_view checkpoint) {
  return std::string(kManifestPrefix) + keys.keyed_name("manifest " + std::string(checkpoint));
}

Result<ManifestDocument> load_manifest_document(Core& core, std::string_view checkpoint) {
  if (!is_uuid(checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  auto document = read_manifest(core, manifest_name(core.keys(), checkpoint));
  if (!document && document.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("there is no checkpoint {} in {}", checkpoint, core.backend().describe()));
  }
  return std::move(document).context(fmt::format("manifest of checkpoint {}", checkpoint));
}

Result<PieceDocument> load_piece_document(Core& core, std::string_view piece) {
  if (!is_uuid(piece)) return make_error(ErrorCode::kInvalidArgument, "a piece's id is a UUID");
  const std::string what = fmt::format("piece {}", piece);
  auto json = load_document(core.backend(), DocumentKind::kPiece, core.keys(), piece_name(piece));
  if (!json && json.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound, fmt::format("there is no {} in {}", what, core.backend().describe()));
  }
  if (!json) return json.error().with_context(what);
  auto document = piece_from_json(*json);
  if (!document) return document.error().with_context(what);
  if (document->head.info.piece != piece) {
    return corrupt(fmt::format("{}: this is {} under another name", what, document->head.info.piece));
  }
  return document;
}

Result<std::vector<Entry>> load_entries(Core& core, const BlobRef& blob, std::uint64_t count) {
  if (blob.size > kMaxEntriesBytes) return corrupt("a list of entries longer than it may be");
  StringSink sink(blob.size);
  ReadContext context(core.keys());
  CACS_TRY(stream_blob(core.store, context, blob, sink));
  CACS_ASSIGN(auto entries, parse_entries(as_bytes(sink.text())));
  if (entries.size() != count) return corrupt("a list of entries of the wrong length");
  return entries;
}

Status for_each_manifest(Core& core, const std::function<Status(const ListedManifest&)>& visit) {
  std::vector<std::string> names;
  CACS_TRY(core.backend().list(std::string(kManifestPrefix), [&](const ObjectInfo& object) -> Status {
    names.push_back(object.name);
    return {};
  }));
  for (const auto& name : names) {
    auto document = read_manifest(core, name);
    if (!document && document.error().code == ErrorCode::kNotFound) continue;
    CACS_TRY(visit({.name = name, .document = std::move(document)}));
  }
  return {};
}

Result<std::vector<std::string>> list_pieces(Core& core) {
  std::vector<std::string> ids;
  CACS_TRY(core.backend().list(std::string(kPiecePrefix), [&](const ObjectInfo& object) -> Status {
    std::string id = object.name.substr(kPiecePrefix.size());
    if (is_uuid(id)) ids.push_back(std::move(id));
    return {};
  }));
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<BlobRef> store_entries(Core& core, PackWriter& packs, ContentHasher& hasher, const std::vector<Entry>& entries) {
  const std::string bytes = encode_entries(entries);
  if (bytes.size() > kMaxEntriesBytes) return make_error(ErrorCode::kTooLarge, "too many entries for one checkpoint");
  MemorySource source(as_bytes(bytes));
  FileTreeBuilder builder(core.store, packs, hasher);
  Chunker chunker(StreamKind::kMetadata, core.gear);
  CACS_TRY(chunker.run(source, {.chunk = [&](auto chunk) { return builder.add_chunk(chunk, StreamKind::kMetadata); },
                                .zeros = [&](auto count) { return builder.add_zeros(count); }}));
  return builder.finish();
}

Status write_manifest(Core& core, PackWriter& packs, ContentHasher& hasher, Manifest head,
                      std::uint64_t stored_before) {
  if (!is_uuid(head.checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id has to be a UUID");
  const std::string name = manifest_name(core.keys(), head.checkpoint);
  // Where the backend cannot refuse a taken name, this look has to do; ids are random.
  if (core.backend().size(name).ok()) {
    return make_error(ErrorCode::kConflict, fmt::format("there is a checkpoint {} already", head.checkpoint));
  }
  CACS_TRY(sort_entries(head.entries));
  ManifestDocument document;
  document.entry_count = head.entries.size();
  CACS_ASSIGN(document.entries, store_entries(core, packs, hasher, head.entries));
  CACS_TRY(packs.finish());
  head.size_bytes = 0;
  for (const auto& entry : head.entries) head.size_bytes += entry.blob.size;
  head.stored_bytes = stored_before + packs.stored_bytes();
  if (head.created_at.empty()) head.created_at = format_time(wall_now());
  head.entries.clear();
  document.head = std::move(head);
  return store_document(core.backend(), DocumentKind::kManifest, core.keys(), name, manifest_to_json(document),
                        Overwrite::kNo);
}

}  // namespace cacs::repository
