// Header, trailer, table and hooks of a pack: any bytes are one or an error; what is accepted can be used, and comes
// out the same when written again. The first byte says which; seals, which a fuzzer cannot guess, are left out.

#include <cstdint>

#include "base/io.h"
#include "repository/fuzz_support.h"
#include "repository/layout.h"
#include "repository/pack_format.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)

bool same(const std::string& text, std::span<const std::byte> bytes) {
  return std::ranges::equal(as_bytes(text), bytes);
}

void fuzz_header(std::span<const std::byte> bytes) {
  const auto header = parse_pack_header(bytes);
  if (!header) return;
  const auto again = parse_pack_header(as_bytes(encode_pack_header(*header)));
  require(again.ok() && again->id == header->id && again->generation == header->generation &&
          again->salt == header->salt && again->sealing == header->sealing && again->identity == header->identity &&
          again->key_generation == header->key_generation);
}

void fuzz_trailer(std::span<const std::byte> bytes) {
  // The size of the file is the input's too.
  if (bytes.size() < 4) return;
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) size = size << 8U | static_cast<std::uint64_t>(bytes[i]);
  const auto trailer = parse_pack_trailer(bytes.subspan(4), size);
  if (!trailer) return;
  require(same(encode_pack_trailer(*trailer), bytes.subspan(4)));
  require(trailer->table_offset + trailer->table_bytes + trailer->hooks_bytes <= size);
}

void fuzz_table(std::span<const std::byte> bytes) {
  // What the trailer would say: taken from the table's own lines, so that they are looked at more closely.
  if (bytes.size() < 2) return;
  PackTrailer trailer{.table_offset = kPackHeaderBytes, .segments = static_cast<std::uint32_t>(bytes[0])};
  const auto table_bytes = bytes.subspan(1);
  for (std::size_t at = 0; at < trailer.segments && (at + 1) * 24 <= table_bytes.size(); ++at) {
    const auto line = table_bytes.subspan(at * 24, 24);
    const auto number = [&](std::size_t from, std::size_t count) {
      std::uint64_t value = 0;
      for (std::size_t i = count; i-- > 0;) value = value << 8U | static_cast<std::uint64_t>(line[from + i]);
      return value;
    };
    trailer.table_offset += number(8, 4);
    trailer.slots += static_cast<std::uint32_t>(number(16, 2));
  }
  const auto table = parse_pack_table(table_bytes, trailer);
  if (!table) return;
  require(table->slots() == trailer.slots && table->segments().size() == trailer.segments);
  std::uint64_t live = 0;
  table->for_each([&](Slot slot, const SlotPlace& place) {
    const SegmentInfo& info = table->segments()[segment_of(slot)];
    require(place.length > 0 && std::uint64_t{place.offset} + place.length <= info.raw);
    require(info.offset + info.stored <= trailer.table_offset);
    live += place.length;
  });
  std::uint64_t raw = 0;
  for (const auto& info : table->segments()) raw += info.raw;
  require(live == raw);
  const std::string written = encode_pack_table(*table);
  const auto again = parse_pack_table(as_bytes(written), trailer);
  require(again.ok() && encode_pack_table(*again) == written && written.size() == table_bytes.size());
}

void fuzz_hooks(std::span<const std::byte> bytes) {
  const auto hooks = parse_hooks(bytes);
  if (hooks) require(same(encode_hooks(*hooks), bytes));
}

void fuzz_name(std::span<const std::byte> bytes) {
  const std::string name(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto parsed = parse_pack_name(name);
  if (parsed) require(pack_name(parsed->id, parsed->generation) == name && parsed->generation > 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 5) {
    case 0:
      fuzz_header(bytes);
      break;
    case 1:
      fuzz_trailer(bytes);
      break;
    case 2:
      fuzz_table(bytes);
      break;
    case 3:
      fuzz_hooks(bytes);
      break;
    default:
      fuzz_name(bytes);
      break;
  }
  return 0;
}
