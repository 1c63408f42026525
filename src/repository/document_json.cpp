#include "base/uuid.h"
#include "repository/format.h"

namespace cacs::repository {

namespace {

JsonObject blob_to_json(const BlobRef& blob) { return {{"id", blob.id.to_hex()}, {"size", blob.size}}; }

Result<std::uint64_t> count_member(const JsonObject& json, std::string_view name) {
  CACS_ASSIGN(const std::int64_t value, json_int(json, name));
  if (value < 0) return corrupt(std::string(name) + " is negative");
  return static_cast<std::uint64_t>(value);
}

Result<BlobRef> blob_from_json(const JsonObject& json) {
  BlobRef blob;
  CACS_ASSIGN(const std::string id, json_string(json, "id"));
  CACS_ASSIGN(blob.id, Digest::from_hex(id));
  CACS_ASSIGN(blob.size, count_member(json, "size"));
  if (blob.size > kMaxBlobBytes) return corrupt("a list of entries of impossible size");
  return blob;
}

Result<BlobRef> entries_member(const JsonObject& json) {
  const JsonObject* entries = json_find_object(json, "entries");
  if (entries == nullptr) return corrupt("it names no entries");
  return blob_from_json(*entries);
}

Result<std::string> uuid_member(const JsonObject& json, std::string_view name) {
  CACS_ASSIGN(std::string id, json_string(json, name));
  if (!is_uuid(id)) return corrupt(std::string(name) + " is not a UUID");
  return id;
}

JsonObject info_to_json(const PieceInfo& info) {
  return {{"piece", info.piece}, {"label", info.label}, {"meta", info.meta}};
}

Result<PieceInfo> info_from_json(const JsonObject& json) {
  PieceInfo info;
  CACS_ASSIGN(info.piece, uuid_member(json, "piece"));
  CACS_ASSIGN(info.label, json_string(json, "label"));
  if (const JsonObject* meta = json_find_object(json, "meta")) info.meta = *meta;
  return info;
}

/// Whatever a helper found amiss in a document whose digest was right, the document is what is corrupt.
template <typename T>
Result<T> as_corrupt(Result<T> result) {
  if (result.ok()) return result;
  return corrupt(result.error().message);
}

Result<ManifestDocument> read_manifest(const JsonObject& json) {
  ManifestDocument document;
  Manifest& head = document.head;
  CACS_ASSIGN(head.checkpoint, uuid_member(json, "checkpoint"));
  CACS_ASSIGN(head.tenant, json_string(json, "tenant"));
  CACS_ASSIGN(head.application, json_string(json, "application"));
  CACS_ASSIGN(const std::int64_t incarnation, json_int(json, "incarnation"));
  if (incarnation < 0 || incarnation > INT32_MAX) return corrupt("an impossible incarnation");
  head.incarnation = static_cast<int>(incarnation);
  CACS_ASSIGN(head.created_at, json_string(json, "created_at"));
  if (const JsonObject* meta = json_find_object(json, "meta")) head.meta = *meta;
  if (const JsonArray* pieces = json_find_array(json, "pieces")) {
    for (const auto& piece : *pieces) {
      if (!piece.is_object()) return corrupt("a piece that is none");
      CACS_ASSIGN(PieceInfo info, info_from_json(piece.get_object()));
      head.pieces.push_back(std::move(info));
    }
  }
  CACS_ASSIGN(head.size_bytes, count_member(json, "size_bytes"));
  CACS_ASSIGN(head.stored_bytes, count_member(json, "stored_bytes"));
  CACS_ASSIGN(document.entry_count, count_member(json, "entry_count"));
  CACS_ASSIGN(document.entries, entries_member(json));
  return document;
}

Result<PieceDocument> read_piece(const JsonObject& json) {
  PieceDocument document;
  CACS_ASSIGN(document.head.info, info_from_json(json));
  CACS_ASSIGN(document.head.created_at, json_string(json, "created_at"));
  CACS_ASSIGN(document.head.stored_bytes, count_member(json, "stored_bytes"));
  CACS_ASSIGN(document.entry_count, count_member(json, "entry_count"));
  CACS_ASSIGN(document.entries, entries_member(json));
  return document;
}

}  // namespace

JsonObject manifest_to_json(const ManifestDocument& document) {
  const Manifest& head = document.head;
  JsonArray pieces;
  for (const auto& piece : head.pieces) pieces.push_back(info_to_json(piece));
  return {{"checkpoint", head.checkpoint},
          {"tenant", head.tenant},
          {"application", head.application},
          {"incarnation", head.incarnation},
          {"created_at", head.created_at},
          {"meta", head.meta},
          {"pieces", pieces},
          {"size_bytes", head.size_bytes},
          {"stored_bytes", head.stored_bytes},
          {"entry_count", document.entry_count},
          {"entries", blob_to_json(document.entries)}};
}

Result<ManifestDocument> manifest_from_json(const JsonObject& json) { return as_corrupt(read_manifest(json)); }

JsonObject piece_to_json(const PieceDocument& document) {
  JsonObject json = info_to_json(document.head.info);
  json["created_at"] = document.head.created_at;
  json["stored_bytes"] = document.head.stored_bytes;
  json["entry_count"] = document.entry_count;
  json["entries"] = blob_to_json(document.entries);
  return json;
}

Result<PieceDocument> piece_from_json(const JsonObject& json) { return as_corrupt(read_piece(json)); }

}  // namespace cacs::repository
