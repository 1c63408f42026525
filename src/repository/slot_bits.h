#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "repository/ref.h"

namespace cacs::repository {

/// A set of slots of one pack, a bit each. A segment of pages has at most 64 slots, which take a word; what chunks of
/// files need beyond that is kept apart, so that a pack of memory takes 1 KiB and not four times as much.
class SlotBits {
 public:
  [[nodiscard]] bool contains(Slot slot) const {
    const std::uint32_t segment = segment_of(slot);
    const std::uint32_t index = index_of(slot);
    if (index < kWord) return segment < first_.size() && ((first_[segment] >> index) & 1U) != 0;
    const auto found = more_.find(segment);
    return found != more_.end() && ((found->second[index / kWord - 1] >> (index % kWord)) & 1U) != 0;
  }

  /// True when it was not there before.
  bool add(Slot slot) {
    std::uint64_t& word = word_of(slot);
    const std::uint64_t bit = bit_of(slot);
    const bool fresh = (word & bit) == 0;
    word |= bit;
    return fresh;
  }
  void remove(Slot slot) { word_of(slot) &= ~bit_of(slot); }

 private:
  static constexpr std::uint32_t kWord = 64;
  static_assert(kMaxSegmentSlots == std::size_t{4} * kWord);
  static std::uint64_t bit_of(Slot slot) { return std::uint64_t{1} << (index_of(slot) % kWord); }
  std::uint64_t& word_of(Slot slot) {
    const std::uint32_t segment = segment_of(slot);
    const std::uint32_t index = index_of(slot);
    if (segment >= first_.size()) first_.resize(std::size_t{segment} + 1);
    return index < kWord ? first_[segment] : more_[segment][index / kWord - 1];
  }

  std::vector<std::uint64_t> first_;  ///< by segment: its slots below 64
  std::unordered_map<std::uint32_t, std::array<std::uint64_t, 3>> more_;
};

}  // namespace cacs::repository
