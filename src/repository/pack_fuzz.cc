// The end of a pack: any bytes are a pack's footer or an error, and what is accepted can be used.

#include <cstdint>
#include <cstdlib>

#include "base/io.h"
#include "repository/format.h"

namespace {

constexpr std::string_view kId = "01900000-0000-7000-8000-000000000001";

void check(const std::vector<cacs::repository::PackEntry>& entries, std::uint64_t file_size) {
  for (const auto& entry : entries) {
    if (std::uint64_t{entry.offset} + entry.stored > file_size || entry.raw > cacs::repository::kMaxChunkBytes)
      std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
  const auto bytes = std::as_bytes(std::span(data, size));
  if (size >= kPackHeaderBytes + kPackTrailerBytes) {
    const auto trailer = parse_pack_trailer(bytes.last(kPackTrailerBytes), size);
    if (trailer) {
      const auto entries =
          parse_pack_footer(kId, bytes.first(kPackHeaderBytes), bytes.subspan(trailer->footer_offset), size);
      if (entries) check(*entries, size);
    }
  }
  // The same behind the digests, which a fuzzer cannot guess: the bytes are taken as fields of entries.
  std::vector<PackEntry> entries;
  for (std::size_t at = 0; at + 13 <= size && entries.size() < 1000; at += 13) {
    const auto word = [&](std::size_t offset) {
      std::uint32_t value = 0;
      for (std::size_t i = 0; i < 4; ++i) value = value << 8U | data[at + offset + i];
      return value;
    };
    entries.push_back(
        {.digest = {}, .offset = word(0), .stored = word(4), .raw = word(8), .codec = Codec{data[at + 12]}});
  }
  const std::string header = encode_pack_header(kId);
  const std::string footer = encode_pack_footer(header, entries);
  std::uint64_t payload = kPackHeaderBytes;
  for (const auto& entry : entries) payload += entry.stored;
  const auto parsed = parse_pack_footer(kId, cacs::as_bytes(header), cacs::as_bytes(footer), payload + footer.size());
  if (parsed) check(*parsed, payload);
  return 0;
}
