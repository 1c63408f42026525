#include "repository/pack_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/io.h"
#include "repository/bytes.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

/// What is read at the end of a pack in one go: enough for the table of a pack of the usual size.
constexpr std::size_t kTailBytes = std::size_t{192} << 10U;
constexpr std::size_t kHooksTailBytes = std::size_t{4} << 10U;

/// The end of a pack as read, and what it says.
struct Ends {
  std::string header_bytes;
  PackHeader header;
  std::string trailer_bytes;
  PackTrailer trailer;
  SecretKey key;
  std::vector<std::byte> tail;  ///< the last bytes of the object, trailer included
};

Status read_exactly(Backend& backend, const std::string& name, std::uint64_t offset, std::span<std::byte> out) {
  CACS_ASSIGN(const std::size_t got, backend.read(name, offset, out));
  if (got != out.size()) return corrupt("a pack that ends too early");
  return {};
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<Ends> read_ends(Backend& backend, const TenantKeys& keys, const PackName& expected, std::uint64_t size,
                       std::size_t tail) {
  const std::string name = pack_name(expected.id, expected.generation);
  if (size < kPackHeaderBytes + kPackTrailerBytes || size > kMaxPackBytes) return corrupt("a pack of impossible size");
  Ends ends;
  std::array<std::byte, kPackHeaderBytes> header{};
  CACS_TRY(read_exactly(backend, name, 0, header));
  ends.header_bytes = text_of(header);
  CACS_ASSIGN(ends.header, parse_pack_header(header));
  if (ends.header.id != expected.id || ends.header.generation != expected.generation) {
    return corrupt("another pack under this name");
  }
  if (ends.header.sealing != keys.sealing() || ends.header.identity != keys.identity()) {
    return corrupt("a pack that is sealed in another way than the repository");
  }
  CACS_ASSIGN(ends.key, keys.object_key(ends.header.key_generation, "pack", ends.header.salt));
  ends.tail.resize(std::min<std::uint64_t>(tail, size - kPackHeaderBytes));
  CACS_TRY(read_exactly(backend, name, size - ends.tail.size(), ends.tail));
  const auto trailer = std::span(ends.tail).last(kPackTrailerBytes);
  ends.trailer_bytes = text_of(trailer);
  CACS_ASSIGN(ends.trailer, parse_pack_trailer(trailer, size));
  return ends;
}

/// Bytes of the object from `offset` on, from the tail where it reaches so far back.
Result<std::vector<std::byte>> part_of(Backend& backend, const std::string& name, const Ends& ends, std::uint64_t size,
                                       std::uint64_t offset, std::size_t length) {
  const std::uint64_t tail_offset = size - ends.tail.size();
  std::vector<std::byte> part(length);
  if (offset >= tail_offset) {
    std::copy_n(ends.tail.begin() + static_cast<std::ptrdiff_t>(offset - tail_offset), length, part.begin());
  } else {
    CACS_TRY(read_exactly(backend, name, offset, part));
  }
  return part;
}

Result<std::vector<std::byte>> open_part(const Ends& ends, std::uint64_t number, std::span<const std::byte> sealed) {
  Sealer sealer(ends.header.sealing, ends.key);
  std::vector<std::byte> plain(sealed.size() - kTagBytes);
  CACS_TRY(sealer.open(number, as_bytes(ends.header_bytes + ends.trailer_bytes), sealed, plain));
  return plain;
}

/// Damage that the cipher or the codec found is told as all damage is.
Error in_pack(const Error& error, std::string_view what) {
  return (error.code == ErrorCode::kCorrupt ? corrupt(error.message) : error).with_context(what);
}

}  // namespace

bool OpenPack::is_damaged(Slot slot) const { return std::binary_search(damaged.begin(), damaged.end(), slot); }

std::string segment_context(std::string_view header, std::uint32_t segment) {
  ByteWriter out;
  out.text(header);
  out.number(segment);
  return out.take();
}

Result<std::shared_ptr<OpenPack>> open_pack(Backend& backend, const TenantKeys& keys, const PackId& id,
                                            std::uint32_t generation, std::uint64_t size) {
  auto pack = std::make_shared<OpenPack>();
  pack->name = pack_name(id, generation);
  const auto open = [&]() -> Status {
    CACS_ASSIGN(const Ends ends, read_ends(backend, keys, {id, generation}, size, kTailBytes));
    CACS_ASSIGN(const auto sealed,
                part_of(backend, pack->name, ends, size, ends.trailer.table_offset, ends.trailer.table_bytes));
    CACS_ASSIGN(const auto plain, open_part(ends, kTablePart, sealed));
    CACS_ASSIGN(pack->table, parse_pack_table(plain, ends.trailer));
    pack->id = id;
    pack->generation = generation;
    pack->sealing = ends.header.sealing;
    pack->key = ends.key;
    pack->context = ends.header_bytes;
    pack->creator = ends.trailer.creator;
    return {};
  };
  if (const Status opened = open(); !opened) return in_pack(opened.error(), "pack " + id.to_hex());
  return pack;
}

Result<std::vector<std::uint64_t>> read_pack_hooks(Backend& backend, const TenantKeys& keys, const PackId& id,
                                                   std::uint32_t generation, std::uint64_t size) {
  const auto read = [&]() -> Result<std::vector<std::uint64_t>> {
    CACS_ASSIGN(const Ends ends, read_ends(backend, keys, {id, generation}, size, kHooksTailBytes));
    const std::uint64_t offset = ends.trailer.table_offset + ends.trailer.table_bytes;
    CACS_ASSIGN(const auto sealed,
                part_of(backend, pack_name(id, generation), ends, size, offset, ends.trailer.hooks_bytes));
    CACS_ASSIGN(const auto plain, open_part(ends, kHooksPart, sealed));
    return parse_hooks(plain);
  };
  auto hooks = read();
  if (!hooks) return in_pack(hooks.error(), "pack " + id.to_hex());
  return hooks;
}

namespace {

Status in_segment(const Status& status, const OpenPack& pack, std::uint32_t segment) {
  if (status) return {};
  return in_pack(status.error(), fmt::format("pack {}, segment {}", pack.id.to_hex(), segment));
}

}  // namespace

Status load_segment(Backend& backend, const OpenPack& pack, std::uint32_t segment, std::vector<std::byte>& sealed) {
  const SegmentInfo& info = pack.table.segments()[segment];
  sealed.resize(info.stored);
  return in_segment(read_exactly(backend, pack.name, info.offset, sealed), pack, segment);
}

Status open_segment(const OpenPack& pack, std::uint32_t segment, std::span<const std::byte> sealed,
                    ReadContext& context, std::vector<std::byte>& out) {
  const auto open = [&]() -> Status {
    const SegmentInfo& info = pack.table.segments()[segment];
    Sealer sealer(pack.sealing, pack.key);
    const std::string authenticated = segment_context(pack.context, segment);
    out.resize(info.raw);
    if (info.codec == Codec::kNone) return sealer.open(segment, as_bytes(authenticated), sealed, out);
    context.packed.resize(info.stored - kTagBytes);
    CACS_TRY(sealer.open(segment, as_bytes(authenticated), sealed, context.packed));
    return context.codec.expand(context.packed, info.codec, out);
  };
  return in_segment(open(), pack, segment);
}

Status read_segment(Backend& backend, const OpenPack& pack, std::uint32_t segment, ReadContext& context,
                    std::vector<std::byte>& out) {
  CACS_TRY(load_segment(backend, pack, segment, context.sealed));
  return open_segment(pack, segment, context.sealed, context, out);
}

Result<std::uint64_t> finish_pack(ObjectWriter& object, const OpenPack& pack, std::span<const std::uint64_t> hooks,
                                  std::uint64_t end) {
  const std::string table = encode_pack_table(pack.table);
  const std::string hook_bytes = encode_hooks(hooks);
  const PackTrailer trailer{.table_offset = end,
                            .table_bytes = static_cast<std::uint32_t>(table.size() + kTagBytes),
                            .hooks_bytes = static_cast<std::uint32_t>(hook_bytes.size() + kTagBytes),
                            .segments = static_cast<std::uint32_t>(pack.table.segments().size()),
                            .slots = static_cast<std::uint32_t>(pack.table.slots()),
                            .creator = pack.creator};
  const std::string trailer_bytes = encode_pack_trailer(trailer);
  Sealer sealer(pack.sealing, pack.key);
  const std::string context = pack.context + trailer_bytes;
  std::vector<std::byte> sealed(trailer.table_bytes);
  sealer.seal(kTablePart, as_bytes(context), as_bytes(table), sealed);
  CACS_TRY(object.append(sealed));
  sealed.resize(trailer.hooks_bytes);
  sealer.seal(kHooksPart, as_bytes(context), as_bytes(hook_bytes), sealed);
  CACS_TRY(object.append(sealed));
  CACS_TRY(object.append(as_bytes(trailer_bytes)));
  CACS_TRY(object.commit());
  return end + trailer.table_bytes + trailer.hooks_bytes + trailer_bytes.size();
}

std::optional<PackName> parse_pack_name(std::string_view name) {
  if (!name.starts_with(kPackPrefix)) return std::nullopt;
  name.remove_prefix(kPackPrefix.size());
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto id = PackId::from_hex(name.substr(0, dot));
  const std::string_view digits = name.substr(dot + 1);
  if (!id || digits.empty() || digits.size() > 9 || digits.front() == '0') return std::nullopt;
  std::uint32_t generation = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return std::nullopt;
    generation = generation * 10 + static_cast<std::uint32_t>(digit - '0');
  }
  return PackName{.id = *id, .generation = generation};
}

}  // namespace cacs::repository
