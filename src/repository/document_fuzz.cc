// Documents and what stands in them: any bytes are a document or an error; manifests, pieces and quarantines of any
// JSON are one or an error, and come out the same when written and read again. The first byte says which.

#include <cstdint>

#include "base/io.h"
#include "base/log.h"
#include "repository/document.h"
#include "repository/fuzz_support.h"
#include "repository/layout.h"
#include "repository/manifest.h"
#include "repository/pack_format.h"
#include "repository/quarantine.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)

constexpr std::array kKinds{DocumentKind::kRepository, DocumentKind::kManifest, DocumentKind::kPiece,
                            DocumentKind::kDamage};

/// The JSON as a quarantine of its pack. The seal, which a fuzzer cannot guess, is right.
void fuzz_quarantine(const JsonObject& json, const TenantKeys& keys) {
  const auto pack = PackId::from_hex(json_string_or(json, "pack", ""));
  if (!pack) return;
  const std::string name = damage_name(*pack);
  const std::string bytes = encode_document(DocumentKind::kDamage, keys, name, json);
  OneObjectBackend backend(name, as_bytes(bytes));
  Quarantine quarantine(backend, keys);
  const auto fresh = quarantine.refresh();
  require(fresh.ok());
  const auto slots = quarantine.slots(*pack);
  require(std::ranges::is_sorted(slots) && std::ranges::adjacent_find(slots) == slots.end());
}

void fuzz_json(std::span<const std::byte> bytes, const TenantKeys& keys) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto json = parse_json_object(text, "input");
  if (!json) return;
  if (const auto manifest = manifest_from_json(*json)) {
    const auto again = manifest_from_json(manifest_to_json(*manifest));
    require(again.ok() && again->entries == manifest->entries && again->entry_count == manifest->entry_count &&
            again->head.checkpoint == manifest->head.checkpoint && again->head.meta == manifest->head.meta);
  }
  if (const auto piece = piece_from_json(*json)) {
    const auto again = piece_from_json(piece_to_json(*piece));
    require(again.ok() && again->entries == piece->entries && again->head.info.piece == piece->head.info.piece);
  }
  const std::string document = encode_document(DocumentKind::kManifest, keys, "name", *json);
  const auto opened = parse_document(DocumentKind::kManifest, keys, "name", as_bytes(document));
  require(opened.ok());
  require(!parse_document(DocumentKind::kManifest, keys, "another", as_bytes(document)).ok());
  fuzz_quarantine(*json, keys);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TenantKeys keys = [] {
    spdlog::set_level(spdlog::level::off);
    return TenantKeys::unsealed("fuzzer");
  }();
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  if (data[0] % 8 < kKinds.size()) {
    static_cast<void>(parse_document(kKinds.at(data[0] % 8), keys, "name", bytes).ok());
  } else {
    fuzz_json(bytes, keys);
  }
  return 0;
}
