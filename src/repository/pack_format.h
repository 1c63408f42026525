#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/codec/codec.h"
#include "repository/keys/sealing.h"
#include "repository/ref.h"
#include "repository/session/session_types.h"
#include "repository/types.h"

/// The bytes of a pack: docs/repository-format.md describes each. Pure: bytes in, values out. Parsers take any bytes
/// whatsoever, and check every count, length and offset before they use it; what they refuse is kCorrupt, or
/// kUnsupported when it was written for a newer reader.
namespace cacs::repository {

inline constexpr std::uint16_t kPackVersion = 2;
inline constexpr std::uint16_t kPackMinimumReader = 2;

inline constexpr std::size_t kMaxPackBytes = std::size_t{1} << 28U;
inline constexpr std::size_t kMaxSegments = std::size_t{1} << 16U;
/// Of an expanded segment.
inline constexpr std::size_t kMaxRawBytes = std::size_t{1} << 21U;
inline constexpr std::size_t kMaxChunkBytes = std::size_t{1} << 20U;

inline constexpr std::size_t kPackHeaderBytes = 64;
inline constexpr std::size_t kPackTrailerBytes = 48;

Error corrupt(std::string message);

/// What stands at the front of a pack, in clear: whose bytes these are, and what they are sealed with.
struct PackHeader {
  Sealing sealing = Sealing::kNone;
  Identity identity = Identity::kHmacSha256;
  std::uint32_t key_generation = 0;
  PackId id;
  std::uint32_t generation = 1;      ///< rises when the pack is rewritten without its dead slots
  std::array<std::byte, 16> salt{};  ///< random: no two objects have the same key
};
/// 16 random bytes.
std::array<std::byte, 16> make_salt();
std::string encode_pack_header(const PackHeader& header);
Result<PackHeader> parse_pack_header(std::span<const std::byte> bytes);

/// What stands at its end, in clear. `table` and `hooks` are sealed, and authenticate header and trailer.
struct PackTrailer {
  std::uint64_t table_offset = 0;
  std::uint32_t table_bytes = 0;  ///< as stored
  std::uint32_t hooks_bytes = 0;  ///< as stored; they follow the table
  std::uint32_t segments = 0;
  std::uint32_t slots = 0;
  SessionId creator;  ///< the session that wrote the pack; zeros where there is a gate
};
std::string encode_pack_trailer(const PackTrailer& trailer);
Result<PackTrailer> parse_pack_trailer(std::span<const std::byte> bytes, std::uint64_t file_size);

/// Numbers of the sealed parts of a pack (Sealer): segments have their own number.
inline constexpr std::uint64_t kTablePart = std::uint64_t{1} << 32U;
inline constexpr std::uint64_t kHooksPart = kTablePart + 1;

/// Where a segment lies and how to open it.
struct SegmentInfo {
  std::uint64_t offset = 0;
  std::uint32_t stored = 0;  ///< bytes in the pack, tag included; 0: everything in it was dropped
  std::uint32_t raw = 0;     ///< bytes when opened and expanded
  std::uint16_t slots = 0;   ///< 0 when dropped
  Codec codec = Codec::kNone;
  bool pages = false;  ///< every slot is there and has kPageBytes
};

/// What a slot holds.
struct SlotPlace {
  ContentId id;
  std::uint32_t offset = 0;  ///< in the expanded segment
  std::uint32_t length = 0;
};

/// The table of a pack: where each segment lies, and id and length of each slot. 16 to 20 bytes a slot in memory.
/// Immutable once made; any thread.
class PackTable {
 public:
  /// Adds the next segment. `ids` and `lengths` go together; a length of 0 is a slot that was dropped. For a segment of
  /// pages (info.pages) `lengths` is empty.
  void add(const SegmentInfo& info, std::span<const ContentId> ids, std::span<const std::uint32_t> lengths);

  [[nodiscard]] const std::vector<SegmentInfo>& segments() const { return segments_; }
  /// Nothing when there is no such slot, or it was dropped.
  [[nodiscard]] std::optional<SlotPlace> place(Slot slot) const;
  [[nodiscard]] std::size_t slots() const { return ids_.size(); }
  /// Bytes of memory.
  [[nodiscard]] std::size_t memory_bytes() const;
  /// Calls `visit(slot, place)` for every slot that is there.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (std::uint32_t segment = 0; segment < segments_.size(); ++segment) {
      for (std::uint32_t index = 0; index < segments_[segment].slots; ++index) {
        if (const auto found = place(make_slot(segment, index))) visit(make_slot(segment, index), *found);
      }
    }
  }

 private:
  struct Index {
    std::uint32_t first_id = 0;
    std::uint32_t first_end = 0;  ///< in ends_, for segments that are not of pages
  };
  std::vector<SegmentInfo> segments_;
  std::vector<Index> index_;
  std::vector<ContentId> ids_;
  std::vector<std::uint32_t> ends_;  ///< where each slot ends in its expanded segment
};

std::string encode_pack_table(const PackTable& table);
/// `trailer` says what has to come out.
Result<PackTable> parse_pack_table(std::span<const std::byte> bytes, const PackTrailer& trailer);

/// Ids that the sparse index knows the pack by: their first 8 bytes.
std::string encode_hooks(std::span<const std::uint64_t> hooks);
Result<std::vector<std::uint64_t>> parse_hooks(std::span<const std::byte> bytes);

}  // namespace cacs::repository
