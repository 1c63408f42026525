#include "repository/manifest.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/uuid.h"
#include "repository/bytes.h"
#include "repository/pack_format.h"
#include "repository/page_node.h"

namespace cacs::repository {

namespace {

Result<std::uint64_t> count_member(const JsonObject& json, std::string_view name) {
  CACS_ASSIGN(const std::int64_t value, json_int(json, name));
  if (value < 0) return corrupt(std::string(name) + " is negative");
  return static_cast<std::uint64_t>(value);
}

Result<BlobRef> entries_member(const JsonObject& json) {
  CACS_ASSIGN(const std::string text, json_string(json, "entries"));
  return BlobRef::from_text(text);
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

void put_origin(JsonObject& json, const std::optional<RootOrigin>& origin) {
  if (!origin) return;
  json["origin"] = JsonObject{{"seat", origin->session.seat},
                              {"number", origin->session.number},
                              {"term", origin->seen.term},
                              {"serial", origin->seen.serial}};
}

Result<std::optional<RootOrigin>> origin_member(const JsonObject& json) {
  if (!json.contains("origin")) return std::optional<RootOrigin>();
  const JsonObject* object = json_find_object(json, "origin");
  if (object == nullptr) return corrupt("origin is not an object");
  RootOrigin origin;
  CACS_ASSIGN(origin.session.seat, count_member(*object, "seat"));
  CACS_ASSIGN(origin.session.number, count_member(*object, "number"));
  CACS_ASSIGN(origin.seen.term, count_member(*object, "term"));
  CACS_ASSIGN(origin.seen.serial, count_member(*object, "serial"));
  return std::optional(origin);
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
  CACS_ASSIGN(document.origin, origin_member(json));
  return document;
}

Result<PieceDocument> read_piece(const JsonObject& json) {
  PieceDocument document;
  CACS_ASSIGN(document.head.info, info_from_json(json));
  CACS_ASSIGN(document.head.created_at, json_string(json, "created_at"));
  CACS_ASSIGN(document.head.stored_bytes, count_member(json, "stored_bytes"));
  CACS_ASSIGN(document.entry_count, count_member(json, "entry_count"));
  CACS_ASSIGN(document.entries, entries_member(json));
  CACS_ASSIGN(document.origin, origin_member(json));
  return document;
}

}  // namespace

JsonObject manifest_to_json(const ManifestDocument& document) {
  const Manifest& head = document.head;
  JsonArray pieces;
  for (const auto& piece : head.pieces) pieces.push_back(info_to_json(piece));
  JsonObject json{{"checkpoint", head.checkpoint},
                  {"tenant", head.tenant},
                  {"application", head.application},
                  {"incarnation", head.incarnation},
                  {"created_at", head.created_at},
                  {"meta", head.meta},
                  {"pieces", pieces},
                  {"size_bytes", head.size_bytes},
                  {"stored_bytes", head.stored_bytes},
                  {"entry_count", document.entry_count},
                  {"entries", document.entries.to_text()}};
  put_origin(json, document.origin);
  return json;
}

Result<ManifestDocument> manifest_from_json(const JsonObject& json) { return as_corrupt(read_manifest(json)); }

JsonObject piece_to_json(const PieceDocument& document) {
  JsonObject json = info_to_json(document.head.info);
  json["created_at"] = document.head.created_at;
  json["stored_bytes"] = document.head.stored_bytes;
  json["entry_count"] = document.entry_count;
  json["entries"] = document.entries.to_text();
  put_origin(json, document.origin);
  return json;
}

Result<PieceDocument> piece_from_json(const JsonObject& json) { return as_corrupt(read_piece(json)); }

// --- entries ---------------------------------------------------------------------------------------------------------

std::string BlobRef::to_text() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : encode_blob_ref(*this)) {
    const auto value = static_cast<unsigned char>(byte);
    text += kDigits[value >> 4U];
    text += kDigits[value & 15U];
  }
  return text;
}

Result<BlobRef> BlobRef::from_text(std::string_view text) {
  std::vector<std::byte> bytes;
  if (text.size() != 2 * kEncodedBytes) return corrupt("a name of stored bytes of the wrong length");
  for (std::size_t at = 0; at < text.size(); at += 32) {
    const auto half = PackId::from_hex(text.substr(at, 32));
    if (!half) return corrupt("a name of stored bytes that is not hexadecimal");
    bytes.insert(bytes.end(), half->bytes.begin(), half->bytes.end());
  }
  return parse_blob_ref(bytes);
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

std::string encode_entries(const std::vector<Entry>& entries) {
  ByteWriter out;
  for (const auto& entry : entries) {
    out.number(static_cast<std::uint16_t>(entry.name.size()));
    out.text(entry.name);
    out.text(encode_blob_ref(entry.blob));
  }
  return out.take();
}

Result<std::vector<Entry>> parse_entries(std::span<const std::byte> bytes) {
  std::vector<Entry> entries;
  ByteReader in(bytes);
  while (in.left() > 0) {
    Entry entry;
    entry.name = in.text(in.number<std::uint16_t>());
    const auto blob = in.take(BlobRef::kEncodedBytes);
    if (in.failed() || entry.name.empty()) return corrupt("a list of entries that is none");
    CACS_ASSIGN(entry.blob, parse_blob_ref(blob));
    if (!entries.empty() && entries.back().name >= entry.name) return corrupt("a list of entries out of order");
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace cacs::repository
