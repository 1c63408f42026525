// Nodes of page maps and of files, heads, layouts, names of blobs and lists of entries: any bytes are one or an error;
// what is accepted comes out the same when written and read again. The first byte says which, the second the level.

#include <cstdint>

#include "base/io.h"
#include "repository/file_node.h"
#include "repository/fuzz_support.h"
#include "repository/manifest.h"
#include "repository/page_node.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)

/// What a file is said to have, for the fuzzer to hit.
constexpr std::uint64_t kFileBytes = 4096;

void fuzz_page_node(std::span<const std::byte> bytes, std::uint8_t level, PackCatalog& catalog) {
  const auto node = parse_page_node(bytes, level, catalog);
  if (!node) return;
  const std::string written = encode_page_node(*node, level, catalog);
  const auto again = parse_page_node(as_bytes(written), level, catalog);
  require(again.ok() && *again == *node);
  require(!parse_page_node(bytes, static_cast<std::uint8_t>(level + 1), catalog).ok());
}

void fuzz_file_node(std::span<const std::byte> bytes, std::uint8_t level, PackCatalog& catalog) {
  const auto node = parse_file_node(bytes, level, kFileBytes, catalog);
  if (!node) return;
  std::uint64_t total = 0;
  for (const auto& entry : *node) {
    require(entry.length > 0 && (level == 0 || !entry.ref.none()));
    total += entry.length;
  }
  require(total == kFileBytes && node->size() <= kMaxFileNodeEntries);
  const auto again = parse_file_node(as_bytes(encode_file_node(*node, level, catalog)), level, kFileBytes, catalog);
  require(again.ok() && again->size() == node->size());
  for (std::size_t i = 0; i < node->size(); ++i) {
    require((*again)[i].length == (*node)[i].length && (*again)[i].ref == (*node)[i].ref);
  }
}

void fuzz_head(std::span<const std::byte> bytes) {
  const auto head = parse_page_map_head(bytes);
  if (head) require(std::ranges::equal(as_bytes(encode_page_map_head(*head)), bytes));
}

void fuzz_layout(std::span<const std::byte> bytes, std::uint8_t pages) {
  const auto layout = parse_page_layout(bytes, pages);
  if (!layout) return;
  require(check_page_layout(*layout).ok());
  std::uint64_t total = 0;
  for (const auto& extent : *layout) total += extent.count;
  require(total == pages && encode_page_layout(*layout).size() == bytes.size());
}

void fuzz_blob(std::span<const std::byte> bytes) {
  const auto blob = parse_blob_ref(bytes);
  if (!blob) return;
  require(std::ranges::equal(as_bytes(encode_blob_ref(*blob)), bytes));
  const auto again = BlobRef::from_text(blob->to_text());
  require(again.ok() && *again == *blob);
}

void fuzz_entries(std::span<const std::byte> bytes) {
  auto entries = parse_entries(bytes);
  if (!entries) return;
  require(std::ranges::equal(as_bytes(encode_entries(*entries)), bytes));
  const auto before = *entries;
  require(sort_entries(*entries).ok() && *entries == before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto bytes = std::as_bytes(std::span(data + 2, size - 2));
  static const TenantKeys keys = TenantKeys::unsealed("fuzzer");
  OneObjectBackend backend;
  PackCatalog catalog(backend, keys);
  switch (data[0] % 6) {
    case 0:
      fuzz_page_node(bytes, data[1] % 10, catalog);
      break;
    case 1:
      fuzz_file_node(bytes, data[1] % 10, catalog);
      break;
    case 2:
      fuzz_head(bytes);
      break;
    case 3:
      fuzz_layout(bytes, data[1]);
      break;
    case 4:
      fuzz_blob(bytes);
      break;
    default:
      fuzz_entries(bytes);
      break;
  }
  return 0;
}
