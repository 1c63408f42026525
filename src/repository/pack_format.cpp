#include "repository/pack_format.h"

#include <algorithm>
#include <utility>

#include "base/io.h"
#include "repository/bytes.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kHeaderMagic = "CACSPACK";
constexpr std::string_view kTrailerMagic = "CACSTAIL";
constexpr std::size_t kSegmentEntryBytes = 24;
constexpr std::size_t kIdBytes = 16;
constexpr std::uint8_t kPagesFlag = 1;

}  // namespace

Error corrupt(std::string message) {
  return make_error(ErrorCode::kCorrupt, std::move(message),
                    "the stored bytes are damaged: use another checkpoint, and look at the disk")
      .with_type("corrupt-repository");
}

std::array<std::byte, 16> make_salt() {
  std::array<std::byte, 16> salt{};
  std::ranges::copy(SecretKey::random().bytes().first<16>(), salt.begin());
  return salt;
}

std::string encode_pack_header(const PackHeader& header) {
  ByteWriter out;
  out.text(kHeaderMagic);
  out.number(kPackVersion);
  out.number(kPackMinimumReader);
  out.number(static_cast<std::uint8_t>(header.sealing));
  out.number(static_cast<std::uint8_t>(header.identity));
  out.zeros(2);
  out.number(header.key_generation);
  out.raw(header.id.bytes);
  out.number(header.generation);
  out.raw(header.salt);
  out.zeros(8);
  return out.take();
}

Result<PackHeader> parse_pack_header(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  if (bytes.size() != kPackHeaderBytes || in.text(kHeaderMagic.size()) != kHeaderMagic) return corrupt("no pack");
  in.number<std::uint16_t>();
  const auto minimum_reader = in.number<std::uint16_t>();
  const auto sealing = in.number<std::uint8_t>();
  const auto identity = in.number<std::uint8_t>();
  const bool known = sealing <= static_cast<std::uint8_t>(Sealing::kChaCha20Poly1305) && identity >= 1 &&
                     identity <= static_cast<std::uint8_t>(Identity::kAesGmac);
  if (minimum_reader > kPackVersion || !known) {
    return make_error(ErrorCode::kUnsupported, "a pack that was written for a newer reader",
                      "use a newer version of cacs");
  }
  const bool reserved = in.zeros(2);
  PackHeader header;
  header.sealing = static_cast<Sealing>(sealing);
  header.identity = static_cast<Identity>(identity);
  header.key_generation = in.number<std::uint32_t>();
  header.id.bytes = in.bytes<16>();
  header.generation = in.number<std::uint32_t>();
  header.salt = in.bytes<16>();
  if (!reserved || !in.zeros(8)) return corrupt("a pack's header that cannot be");
  return header;
}

std::string encode_pack_trailer(const PackTrailer& trailer) {
  ByteWriter out;
  out.text(kTrailerMagic);
  out.number(trailer.table_offset);
  out.number(trailer.table_bytes);
  out.number(trailer.hooks_bytes);
  out.number(trailer.segments);
  out.number(trailer.slots);
  out.number(trailer.creator.seat);
  out.number(trailer.creator.number);
  return out.take();
}

Result<PackTrailer> parse_pack_trailer(std::span<const std::byte> bytes, std::uint64_t file_size) {
  ByteReader in(bytes);
  if (bytes.size() != kPackTrailerBytes || in.text(kTrailerMagic.size()) != kTrailerMagic) {
    return corrupt("a pack that ends too early or too late");
  }
  PackTrailer trailer;
  trailer.table_offset = in.number<std::uint64_t>();
  trailer.table_bytes = in.number<std::uint32_t>();
  trailer.hooks_bytes = in.number<std::uint32_t>();
  trailer.segments = in.number<std::uint32_t>();
  trailer.slots = in.number<std::uint32_t>();
  trailer.creator.seat = in.number<std::uint64_t>();
  trailer.creator.number = in.number<std::uint64_t>();
  const bool sane = file_size <= kMaxPackBytes && trailer.table_offset >= kPackHeaderBytes &&
                    trailer.table_offset <= file_size && trailer.segments <= kMaxSegments &&
                    trailer.slots <= trailer.segments * kMaxSegmentSlots &&
                    trailer.table_offset + trailer.table_bytes + trailer.hooks_bytes + kPackTrailerBytes == file_size &&
                    trailer.table_bytes >= kTagBytes && trailer.hooks_bytes >= kTagBytes;
  if (!sane) return corrupt("a pack whose end says what cannot be");
  return trailer;
}

// --- the table -------------------------------------------------------------------------------------------------------

void PackTable::add(const SegmentInfo& info, std::span<const ContentId> ids, std::span<const std::uint32_t> lengths) {
  index_.push_back(
      {.first_id = static_cast<std::uint32_t>(ids_.size()), .first_end = static_cast<std::uint32_t>(ends_.size())});
  segments_.push_back(info);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  std::uint32_t end = 0;
  for (const std::uint32_t length : lengths) ends_.push_back(end += length);
}

std::optional<SlotPlace> PackTable::place(Slot slot) const {
  const std::uint32_t segment = segment_of(slot);
  const std::uint32_t index = index_of(slot);
  if (segment >= segments_.size() || index >= segments_[segment].slots) return std::nullopt;
  const Index& at = index_[segment];
  SlotPlace place{.id = ids_[at.first_id + index]};
  if (segments_[segment].pages) {
    place.offset = static_cast<std::uint32_t>(index * kPageBytes);
    place.length = kPageBytes;
    return place;
  }
  place.offset = index == 0 ? 0 : ends_[at.first_end + index - 1];
  place.length = ends_[at.first_end + index] - place.offset;
  if (place.length == 0) return std::nullopt;
  return place;
}

std::size_t PackTable::memory_bytes() const {
  return segments_.capacity() * sizeof(SegmentInfo) + index_.capacity() * sizeof(Index) +
         ids_.capacity() * sizeof(ContentId) + ends_.capacity() * sizeof(std::uint32_t);
}

std::string encode_pack_table(const PackTable& table) {
  ByteWriter out;
  out.reserve(table.segments().size() * kSegmentEntryBytes + table.slots() * (kIdBytes + 4));
  for (const auto& segment : table.segments()) {
    out.number(segment.offset);
    out.number(segment.stored);
    out.number(segment.raw);
    out.number(segment.slots);
    out.number(static_cast<std::uint8_t>(segment.codec));
    out.number(static_cast<std::uint8_t>(segment.pages ? kPagesFlag : 0));
    out.zeros(4);
  }
  for (std::uint32_t number = 0; number < table.segments().size(); ++number) {
    const auto& segment = table.segments()[number];
    for (std::uint32_t index = 0; index < segment.slots; ++index) {
      const auto place = table.place(make_slot(number, index));
      out.raw(place ? place->id.bytes : ContentId{}.bytes);
    }
    if (segment.pages) continue;
    for (std::uint32_t index = 0; index < segment.slots; ++index) {
      const auto place = table.place(make_slot(number, index));
      out.number(place ? place->length : std::uint32_t{0});
    }
  }
  return out.take();
}

namespace {

/// Reads one segment's line; false when it cannot be.
bool read_segment(ByteReader& in, SegmentInfo& segment) {
  segment.offset = in.number<std::uint64_t>();
  segment.stored = in.number<std::uint32_t>();
  segment.raw = in.number<std::uint32_t>();
  segment.slots = in.number<std::uint16_t>();
  const auto codec = in.number<std::uint8_t>();
  const auto flags = in.number<std::uint8_t>();
  segment.codec = static_cast<Codec>(codec);
  segment.pages = flags == kPagesFlag;
  const bool known = in.zeros(4) && flags <= kPagesFlag && codec <= static_cast<std::uint8_t>(Codec::kLz4);
  if (segment.slots == 0) {
    return known && segment.stored == 0 && segment.raw == 0 && segment.offset == 0 && !segment.pages;
  }
  return known && segment.slots <= kMaxSegmentSlots && segment.raw > 0 && segment.raw <= kMaxRawBytes &&
         segment.stored > kTagBytes && segment.stored <= segment.raw + kTagBytes &&
         (!segment.pages || segment.raw == segment.slots * kPageBytes) &&
         (segment.codec != Codec::kNone || segment.stored == segment.raw + kTagBytes);
}

/// Segments lie between header and table without gaps, in any order: several are filled at a time.
bool cover_the_pack(const std::vector<SegmentInfo>& segments, std::uint64_t table_offset) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> places;
  for (const auto& segment : segments) {
    if (segment.slots > 0) places.emplace_back(segment.offset, segment.stored);
  }
  std::sort(places.begin(), places.end());
  std::uint64_t end = kPackHeaderBytes;
  for (const auto& [offset, stored] : places) {
    if (offset != end) return false;
    end += stored;
  }
  return end == table_offset;
}

}  // namespace

Result<PackTable> parse_pack_table(std::span<const std::byte> bytes, const PackTrailer& trailer) {
  const auto bad = [] { return corrupt("a pack's table that cannot be"); };
  ByteReader in(bytes);
  if (trailer.segments > bytes.size() / kSegmentEntryBytes) return bad();
  std::vector<SegmentInfo> segments(trailer.segments);
  std::size_t slots = 0;
  for (auto& segment : segments) {
    if (!read_segment(in, segment)) return bad();
    slots += segment.slots;
  }
  if (in.failed() || !cover_the_pack(segments, trailer.table_offset) || slots != trailer.slots ||
      slots > in.left() / kIdBytes) {
    return bad();
  }
  PackTable table;
  std::vector<ContentId> ids;
  std::vector<std::uint32_t> lengths;
  for (const auto& segment : segments) {
    ids.clear();
    lengths.clear();
    for (std::size_t i = 0; i < segment.slots; ++i) ids.push_back({in.bytes<kIdBytes>()});
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < segment.slots && !segment.pages; ++i) {
      lengths.push_back(in.number<std::uint32_t>());
      total += lengths.back();
    }
    if (in.failed() || (!segment.pages && total != segment.raw)) return bad();
    table.add(segment, ids, lengths);
  }
  if (in.left() != 0) return bad();
  return table;
}

std::string encode_hooks(std::span<const std::uint64_t> hooks) {
  ByteWriter out;
  for (const std::uint64_t hook : hooks) out.number(hook);
  return out.take();
}

Result<std::vector<std::uint64_t>> parse_hooks(std::span<const std::byte> bytes) {
  if (bytes.size() % sizeof(std::uint64_t) != 0) return corrupt("a pack's hooks that cannot be");
  ByteReader in(bytes);
  std::vector<std::uint64_t> hooks(bytes.size() / sizeof(std::uint64_t));
  for (auto& hook : hooks) hook = in.number<std::uint64_t>();
  return hooks;
}

}  // namespace cacs::repository
