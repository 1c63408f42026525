#include "repository/document.h"

#include <fmt/format.h>

#include "base/io.h"
#include "repository/bytes.h"
#include "repository/pack_format.h"

namespace cacs::repository {

namespace {

std::string_view magic_of(DocumentKind kind) {
  switch (kind) {
    case DocumentKind::kRepository:
      return "CACSREPO";
    case DocumentKind::kManifest:
      return "CACSMANI";
    case DocumentKind::kPiece:
      return "CACSPIEC";
    case DocumentKind::kDamage:
      return "CACSDAMG";
    case DocumentKind::kSummaries:
      return "CACSSUMM";
    case DocumentKind::kLevels:
      return "CACSLEVL";
    case DocumentKind::kSession:
      return "CACSSEAL";
  }
  return {};
}

std::string_view word_for(DocumentKind kind) {
  switch (kind) {
    case DocumentKind::kRepository:
      return "the repository's descriptor";
    case DocumentKind::kManifest:
      return "manifest";
    case DocumentKind::kPiece:
      return "piece";
    case DocumentKind::kDamage:
      return "quarantine";
    case DocumentKind::kSummaries:
      return "summaries";
    case DocumentKind::kLevels:
      return "record of levels";
    case DocumentKind::kSession:
      return "session object";
  }
  return {};
}

}  // namespace

std::string seal_document(DocumentKind kind, const TenantKeys& keys, std::string_view name,
                          std::span<const std::byte> body, std::uint16_t version) {
  const auto salt = make_salt();
  ByteWriter out;
  out.text(magic_of(kind));
  out.number(version);
  out.number(version);
  out.number(static_cast<std::uint8_t>(keys.sealing()));
  out.zeros(3);
  out.number(keys.newest());
  out.zeros(4);
  out.raw(salt);
  out.number(static_cast<std::uint64_t>(body.size()));
  std::string bytes = out.take();
  const std::string context = bytes + std::string(name);
  Sealer sealer(keys.sealing(), keys.object_key(keys.newest(), "document", salt).value());
  const std::size_t header = bytes.size();
  bytes.resize(header + body.size() + kTagBytes);
  sealer.seal(0, as_bytes(context), body, std::as_writable_bytes(std::span(bytes)).subspan(header));
  return bytes;
}

Result<std::string> open_document(DocumentKind kind, const TenantKeys& keys, std::string_view name,
                                  std::span<const std::byte> bytes, std::size_t limit) {
  const std::string what = fmt::format("{} {}", word_for(kind), name);
  const auto bad = [&](std::string_view why) { return corrupt(fmt::format("{}: {}", what, why)); };
  if (bytes.size() < kDocumentHeaderBytes + kTagBytes) return bad("cut off");
  if (bytes.size() > limit) return bad("longer than any document");
  ByteReader in(bytes);
  if (in.text(8) != magic_of(kind)) return bad("another kind of object under this name");
  in.number<std::uint16_t>();
  const auto minimum_reader = in.number<std::uint16_t>();
  const auto sealing = in.number<std::uint8_t>();
  if (minimum_reader > kSessionDocumentVersion || sealing > static_cast<std::uint8_t>(Sealing::kChaCha20Poly1305)) {
    return make_error(ErrorCode::kUnsupported, fmt::format("{} was written for a newer reader", what),
                      "use a newer version of cacs");
  }
  const bool reserved = in.zeros(3);
  const auto generation = in.number<std::uint32_t>();
  const bool more_reserved = in.zeros(4);
  const auto salt = in.bytes<16>();
  const auto length = in.number<std::uint64_t>();
  if (!reserved || !more_reserved || length != in.left() - kTagBytes) return bad("its header cannot be");
  if (sealing != static_cast<std::uint8_t>(keys.sealing())) return bad("sealed in another way than the repository");
  auto key = keys.object_key(generation, "document", salt);
  if (!key) return key.error().with_context(what);
  Sealer sealer(keys.sealing(), *key);
  std::string body(length, '\0');
  const std::string context =
      std::string(reinterpret_cast<const char*>(bytes.data()), kDocumentHeaderBytes) + std::string(name);
  const auto opened = sealer.open(0, as_bytes(context), in.take(in.left()), std::as_writable_bytes(std::span(body)));
  if (!opened) return bad("it was changed, or is another object's");
  return body;
}

std::string encode_document(DocumentKind kind, const TenantKeys& keys, std::string_view name, const JsonObject& body,
                            std::uint16_t version) {
  return seal_document(kind, keys, name, as_bytes(boost::json::serialize(body)), version);
}

Result<JsonObject> parse_document(DocumentKind kind, const TenantKeys& keys, std::string_view name,
                                  std::span<const std::byte> bytes) {
  CACS_ASSIGN(const std::string text, open_document(kind, keys, name, bytes, kMaxDocumentBytes));
  auto body = parse_json_object(text, fmt::format("{} {}", word_for(kind), name), kMaxDocumentBytes);
  if (!body) return corrupt(body.error().message);
  return body;
}

Result<JsonObject> load_document(Backend& backend, DocumentKind kind, const TenantKeys& keys, const std::string& name) {
  auto bytes = get_object(backend, name, kMaxDocumentBytes);
  if (!bytes && bytes.error().code == ErrorCode::kTooLarge) return corrupt(bytes.error().message);
  if (!bytes) return bytes.error();
  return parse_document(kind, keys, name, *bytes);
}

Status store_document(Backend& backend, DocumentKind kind, const TenantKeys& keys, const std::string& name,
                      const JsonObject& body, Overwrite overwrite, std::uint16_t version) {
  const std::string bytes = encode_document(kind, keys, name, body, version);
  if (bytes.size() > kMaxDocumentBytes) {
    return make_error(ErrorCode::kTooLarge, fmt::format("{} {} would be longer than any may be", word_for(kind), name));
  }
  return put_object(backend, name, as_bytes(bytes), overwrite);
}

}  // namespace cacs::repository
