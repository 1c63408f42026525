#include <fmt/format.h>

#include "base/io.h"
#include "base/uuid.h"
#include "repository/bytes.h"
#include "repository/format.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kPackMagic = "CACSPACK";
constexpr std::string_view kFooterMagic = "CACSFOOT";
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kUuidBytes = 36;

}  // namespace

Error corrupt(std::string message) {
  return make_error(ErrorCode::kCorrupt, std::move(message),
                    "the stored bytes are damaged: use another checkpoint, and look at the disk")
      .with_type("corrupt-repository");
}

std::string encode_pack_header(std::string_view pack_id) {
  ByteWriter out;
  out.text(kPackMagic);
  out.number(kFormatVersion);
  out.number(kMinimumReader);
  out.number(kSealingNone);
  out.zeros(3);
  out.text(pack_id);
  out.zeros(12);
  out.digest(sha256(out.view()));
  return out.take();
}

std::string encode_pack_footer(std::string_view header, const std::vector<PackEntry>& entries) {
  ByteWriter out;
  out.reserve(entries.size() * kPackEntryBytes + kPackTrailerBytes);
  std::uint64_t end = kPackHeaderBytes;
  for (const auto& entry : entries) {
    out.digest(entry.digest);
    out.number(entry.offset);
    out.number(entry.stored);
    out.number(entry.raw);
    out.number(static_cast<std::uint32_t>(entry.codec));
    end += entry.stored;
  }
  out.text(kFooterMagic);
  out.number(end);
  out.number(static_cast<std::uint32_t>(entries.size()));
  out.zeros(12);
  Sha256 hash;
  hash.update(as_bytes(header));
  hash.update(as_bytes(out.view()));
  out.digest(hash.finish());
  return out.take();
}

Result<PackTrailer> parse_pack_trailer(std::span<const std::byte> trailer, std::uint64_t file_size) {
  ByteReader in(trailer);
  const auto magic = in.text(kFooterMagic.size());
  PackTrailer found;
  found.footer_offset = in.number<std::uint64_t>();
  found.count = in.number<std::uint32_t>();
  if (in.failed() || magic != kFooterMagic) return corrupt("a pack without its end: it was cut off or overwritten");
  if (found.count > kMaxPackEntries || file_size > kMaxPackBytes) return corrupt("a pack larger than any pack may be");
  const std::uint64_t footer_bytes = found.count * kPackEntryBytes + kPackTrailerBytes;
  if (file_size < kPackHeaderBytes + footer_bytes || found.footer_offset != file_size - footer_bytes) {
    return corrupt("a pack whose footer does not lie where it says");
  }
  return found;
}

namespace {

Status check_pack_header(std::string_view pack_id, std::span<const std::byte> header) {
  ByteReader in(header);
  if (in.text(kPackMagic.size()) != kPackMagic) return corrupt("not a pack: its first bytes are not a pack's");
  in.number<std::uint16_t>();
  const auto minimum_reader = in.number<std::uint16_t>();
  const auto sealing = in.number<std::uint8_t>();
  const bool reserved = in.zeros(3);
  const auto id = in.text(kUuidBytes);
  const bool more_reserved = in.zeros(12);
  const Digest digest = in.digest();
  if (in.failed() || in.left() != 0) return corrupt("a pack header of the wrong length");
  if (digest != sha256(header.first(header.size() - kDigestBytes))) return corrupt("a pack header with a wrong digest");
  // Only now are the fields worth a look: a damaged byte is damage, not a newer version.
  if (minimum_reader > kFormatVersion || sealing != kSealingNone || !reserved || !more_reserved) {
    return make_error(ErrorCode::kUnsupported, fmt::format("pack {} was written for a newer reader", pack_id),
                      "use a newer version of cacs");
  }
  if (id != pack_id) return corrupt(fmt::format("this pack is {} under another name", id));
  return {};
}

}  // namespace

Result<std::vector<PackEntry>> parse_pack_footer(std::string_view pack_id, std::span<const std::byte> header,
                                                 std::span<const std::byte> footer, std::uint64_t file_size) {
  CACS_TRY(check_pack_header(pack_id, header));
  if (footer.size() < kPackTrailerBytes) return corrupt("a pack footer that is too short");
  CACS_ASSIGN(const PackTrailer trailer, parse_pack_trailer(footer.last(kPackTrailerBytes), file_size));
  if (footer.size() != trailer.count * kPackEntryBytes + kPackTrailerBytes) {
    return corrupt("a pack footer of the wrong length");
  }
  Sha256 hash;
  hash.update(header);
  hash.update(footer.first(footer.size() - kDigestBytes));
  const Digest computed = hash.finish();
  if (std::memcmp(computed.bytes.data(), footer.last(kDigestBytes).data(), kDigestBytes) != 0) {
    return corrupt("a pack footer with a wrong digest");
  }
  ByteReader in(footer);
  std::vector<PackEntry> entries(trailer.count);
  std::uint64_t expected = kPackHeaderBytes;
  for (auto& entry : entries) {
    entry.digest = in.digest();
    entry.offset = in.number<std::uint32_t>();
    entry.stored = in.number<std::uint32_t>();
    entry.raw = in.number<std::uint32_t>();
    const auto codec = in.number<std::uint32_t>();
    if (codec > static_cast<std::uint32_t>(Codec::kZstd)) return corrupt("a pack with an unknown kind of compression");
    entry.codec = static_cast<Codec>(codec);
    const bool sane = entry.raw > 0 && entry.raw <= kMaxChunkBytes && entry.stored > 0 && entry.stored <= entry.raw &&
                      (entry.codec != Codec::kNone || entry.stored == entry.raw) && entry.offset == expected;
    if (!sane) return corrupt("a pack footer with a chunk that cannot be");
    expected += entry.stored;
  }
  if (expected != trailer.footer_offset) return corrupt("a pack with bytes that belong to no chunk");
  return entries;
}

}  // namespace cacs::repository
