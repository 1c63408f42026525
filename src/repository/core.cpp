#include "repository/core.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/io.h"
#include "base/time.h"
#include "base/uuid.h"
#include "repository/blob_read.h"
#include "repository/hold.h"
#include "repository/layout.h"
#include "repository/session_collection.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kMaxEntriesBytes = std::size_t{1} << 30U;

}  // namespace

Result<ManifestDocument> read_manifest(Core& core, const std::string& name) {
  CACS_ASSIGN(const JsonObject json, load_document(core.roots(), DocumentKind::kManifest, core.keys(), name));
  CACS_ASSIGN(ManifestDocument document, manifest_from_json(json));
  const std::string expected = manifest_name(core.keys(), document.head.checkpoint);
  const bool named = core.sessions ? name.starts_with(expected + ".") : name == expected;
  if (!named) {
    return corrupt(fmt::format("manifest {}: this is that of {} under another name", name, document.head.checkpoint));
  }
  if (core.sessions && !document.origin) return corrupt(fmt::format("manifest {}: it names no session", name));
  return document;
}

namespace {

/// Whether what a session wrote there is a checkpoint (or piece).
bool counts(const CollectionView& view, const std::string& name, const std::optional<RootOrigin>& origin) {
  return origin && root_counts(view.state, view.catalogue, name, *origin);
}

Status no_manifest(std::string_view checkpoint, const Core& core) {
  return make_error(ErrorCode::kNotFound,
                    fmt::format("there is no checkpoint {} in {}", checkpoint, core.backend().describe()));
}

}  // namespace

Core::Core(Place where, bool with_sessions)
    : place(std::move(where)), store(*place.backend, place.keys), gear(make_gear(place.keys.chunking_key())) {
  if (!with_sessions) return;
  sessions = std::make_unique<Sessions>(place.plain ? *place.plain : *place.backend, place.keys, place.sessions);
  store.set_locate([this](const PackId& id, bool again) { return sessions->locate(id, again); });
  store.catalog().set_generation_of([this](const PackId& id) { return sessions->generation_of(id); });
}

Core::~Core() = default;

std::string manifest_name(const TenantKeys& keys, std::string_view checkpoint) {
  return std::string(kManifestPrefix) + keys.keyed_name("manifest " + std::string(checkpoint));
}

Result<std::vector<std::string>> find_manifests(Core& core, std::string_view checkpoint) {
  const std::string name = manifest_name(core.keys(), checkpoint);
  std::vector<std::string> found;
  if (!core.sessions) {
    const auto size = core.backend().size(name);
    if (!size && size.error().code != ErrorCode::kNotFound) return size.error();
    if (size) found.push_back(name);
    return found;
  }
  CACS_ASSIGN(const KnownRoots known, core.sessions->roots());
  for (const auto& key : known.keys) {
    if (!key.starts_with(name + ".")) continue;
    const auto document = read_manifest(core, key);
    if (!document && document.error().code == ErrorCode::kNotFound) continue;
    if (document && !counts(*known.view, key, document->origin)) continue;
    found.push_back(key);  // also one that cannot be read: it is there
  }
  return found;
}

Result<ManifestDocument> load_manifest_document(Core& core, std::string_view checkpoint) {
  if (!is_uuid(checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  std::vector<std::string> names = {manifest_name(core.keys(), checkpoint)};
  if (core.sessions) {
    CACS_ASSIGN(names, find_manifests(core, checkpoint));
  }
  Result<ManifestDocument> document = no_manifest(checkpoint, core).error();
  for (const auto& name : names) {
    document = read_manifest(core, name);
    if (document) break;
  }
  if (!document && document.error().code == ErrorCode::kNotFound) return no_manifest(checkpoint, core).error();
  return std::move(document).context(fmt::format("manifest of checkpoint {}", checkpoint));
}

Result<PieceDocument> load_piece_document(Core& core, std::string_view piece) {
  if (!is_uuid(piece)) return make_error(ErrorCode::kInvalidArgument, "a piece's id is a UUID");
  const std::string what = fmt::format("piece {}", piece);
  const std::string name = piece_name(piece);
  std::shared_ptr<const CollectionView> view;
  if (core.sessions) {
    CACS_ASSIGN(view, core.sessions->view());
  }
  const auto none = [&] {
    return make_error(ErrorCode::kNotFound, fmt::format("there is no {} in {}", what, core.backend().describe()));
  };
  auto json = load_document(core.roots(), DocumentKind::kPiece, core.keys(), name);
  if (!json && json.error().code == ErrorCode::kNotFound) return none();
  if (!json) return json.error().with_context(what);
  auto document = piece_from_json(*json);
  if (!document) return document.error().with_context(what);
  if (document->head.info.piece != piece) {
    return corrupt(fmt::format("{}: this is {} under another name", what, document->head.info.piece));
  }
  if (view && !counts(*view, name, document->origin)) return none();
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

namespace {

/// With sessions: manifests and pieces that are known by key. Else: what is listed.
Result<std::vector<std::string>> root_names(Core& core, std::string_view prefix,
                                            std::shared_ptr<const CollectionView>& view) {
  std::vector<std::string> names;
  if (core.sessions) {
    CACS_ASSIGN(KnownRoots known, core.sessions->roots());
    view = std::move(known.view);
    for (auto& key : known.keys) {
      if (key.starts_with(prefix)) names.push_back(std::move(key));
    }
    return names;
  }
  CACS_TRY(core.backend().list(std::string(prefix), [&](const ObjectInfo& object) -> Status {
    names.push_back(object.name);
    return {};
  }));
  return names;
}

}  // namespace

Status for_each_manifest(Core& core, const std::function<Status(const ListedManifest&)>& visit) {
  std::shared_ptr<const CollectionView> view;
  CACS_ASSIGN(const auto names, root_names(core, kManifestPrefix, view));
  for (const auto& name : names) {
    auto document = read_manifest(core, name);
    if (!document && document.error().code == ErrorCode::kNotFound) continue;
    if (view && document && !counts(*view, name, document->origin)) continue;
    CACS_TRY(visit({.name = name, .document = std::move(document)}));
  }
  return {};
}

Result<std::vector<std::string>> list_pieces(Core& core) {
  std::shared_ptr<const CollectionView> view;
  CACS_ASSIGN(const auto names, root_names(core, kPiecePrefix, view));
  std::vector<std::string> ids;
  for (const auto& name : names) {
    std::string id = name.substr(kPiecePrefix.size());
    if (!is_uuid(id)) continue;
    if (view) {
      const auto document = load_piece_document(core, id);
      if (!document && document.error().code == ErrorCode::kNotFound) continue;
    }
    ids.push_back(std::move(id));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<BlobRef> store_entries(Core& core, PackWriter& packs, ContentHasher& hasher, const std::vector<Entry>& entries) {
  const std::string bytes = encode_entries(entries);
  if (bytes.size() > kMaxEntriesBytes) return make_error(ErrorCode::kTooLarge, "too many entries for one checkpoint");
  MemorySource source(as_bytes(bytes));
  FileTreeBuilder builder(core.store, packs, hasher);
  Chunker chunker(core.place.sizes.chunk(StreamKind::kMetadata), core.gear);
  CACS_TRY(chunker.run(source, {.chunk = [&](auto chunk) { return builder.add_chunk(chunk, StreamKind::kMetadata); },
                                .zeros = [&](auto count) { return builder.add_zeros(count); }}));
  return builder.finish();
}

Status write_manifest(Core& core, Hold& hold, PackWriter& packs, ContentHasher& hasher, Manifest head,
                      std::uint64_t stored_before, Overwrite overwrite) {
  if (!is_uuid(head.checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id has to be a UUID");
  const std::string name = core.sessions ? hold.manifest : manifest_name(core.keys(), head.checkpoint);
  // Where the backend cannot refuse a taken name, this look has to do; ids are random.
  CACS_ASSIGN(const auto taken, find_manifests(core, head.checkpoint));
  if (overwrite == Overwrite::kNo && !taken.empty()) {
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
  if (hold.session) document.origin = hold.session->origin();
  return store_root(core, hold, DocumentKind::kManifest, name, manifest_to_json(document), overwrite);
}

}  // namespace cacs::repository
