#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs::repository {

/// The id of a pack: a UUID's 16 bytes. Never used again, not even when the pack is gone.
struct PackId {
  std::array<std::byte, 16> bytes{};

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 that <=> is compared with for a pointer
  friend auto operator<=>(const PackId&, const PackId&) = default;
  friend bool operator==(const PackId&, const PackId&) = default;
  static PackId make();
  [[nodiscard]] std::string to_hex() const;
  /// 32 lower-case hexadecimal digits.
  static std::optional<PackId> from_hex(std::string_view hex);
};

/// The place of a page, chunk or node in a pack: the segment's number in the upper 24 bits, the index in the segment in
/// the lower 8. It stays the same when the pack is rewritten without what nobody needs any more.
using Slot = std::uint32_t;
inline constexpr unsigned kSlotIndexBits = 8;
inline constexpr std::size_t kMaxSegmentSlots = std::size_t{1} << kSlotIndexBits;
constexpr Slot make_slot(std::uint32_t segment, std::uint32_t index) { return (segment << kSlotIndexBits) | index; }
constexpr std::uint32_t segment_of(Slot slot) { return slot >> kSlotIndexBits; }
constexpr std::uint32_t index_of(Slot slot) { return slot & (kMaxSegmentSlots - 1); }

/// A slot of a pack as it is named in memory: packs are numbered for the life of a Core (PackStore::number_of).
struct Ref {
  static constexpr std::uint32_t kNoPack = 0xffffffffU;
  std::uint32_t pack = kNoPack;
  Slot slot = 0;

  [[nodiscard]] bool none() const { return pack == kNoPack; }
  friend bool operator==(const Ref&, const Ref&) = default;
};

}  // namespace cacs::repository

template <>
struct std::hash<cacs::repository::PackId> {
  std::size_t operator()(const cacs::repository::PackId& id) const noexcept;
};
