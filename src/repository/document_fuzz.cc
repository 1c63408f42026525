// Manifests, pieces, lists of chunks and lists of entries: any bytes are one or an error; what is accepted comes out
// the same when written and read again.

#include <cstdint>
#include <cstdlib>

#include "base/io.h"
#include "repository/codec.h"
#include "repository/format.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)

void fuzz_json(std::span<const std::byte> bytes) {
  // Without the envelope's digest, which a fuzzer cannot guess.
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto json = parse_json_object(text, "input");
  if (!json) return;
  if (const auto manifest = manifest_from_json(*json)) {
    const auto again = manifest_from_json(manifest_to_json(*manifest));
    if (!again || again->entries != manifest->entries || again->head.checkpoint != manifest->head.checkpoint)
      std::abort();
  }
  if (const auto piece = piece_from_json(*json)) {
    const auto again = piece_from_json(piece_to_json(*piece));
    if (!again || again->entries != piece->entries || again->head.info.piece != piece->head.info.piece) std::abort();
  }
  if (const auto slots = damage_from_json(*json, json_string_or(*json, "pack", ""), 64)) {
    if (slots->size() != 64) std::abort();
  }
}

void fuzz_lists(std::span<const std::byte> bytes) {
  if (const auto node = parse_node(bytes)) {
    if (node->size() > kMaxBlobBytes || as_bytes(encode_node(*node)).size() != bytes.size()) std::abort();
  }
  if (const auto entries = parse_entries(bytes)) {
    if (as_bytes(encode_entries(*entries)).size() != bytes.size()) std::abort();
  }
}

void fuzz_chunk(std::span<const std::byte> bytes) {
  static ChunkCodec codec;
  std::vector<std::byte> out(4096);
  static_cast<void>(codec.expand(bytes, Codec::kZstd, out).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 6) {
    case 0:
      fuzz_json(bytes);
      break;
    case 1:
      fuzz_lists(bytes);
      break;
    case 2:
      fuzz_chunk(bytes);
      break;
    case 3:
      static_cast<void>(parse_document(DocumentKind::kManifest, bytes, "manifest").ok());
      break;
    case 4:
      static_cast<void>(parse_document(DocumentKind::kPiece, bytes, "piece").ok());
      break;
    default:
      static_cast<void>(parse_document(DocumentKind::kRepository, bytes, "descriptor").ok());
      break;
  }
  return 0;
}
