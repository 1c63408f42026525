#pragma once

#include <array>
#include <bit>
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

  /// Whether `test(slot)` is true of every slot in the set.
  template <typename Test>
  [[nodiscard]] bool all_of(const Test& test) const {
    const auto word_passes = [&](std::uint32_t segment, std::uint32_t start, std::uint64_t word) {
      for (; word != 0; word &= word - 1) {
        if (!test(make_slot(segment, start + static_cast<std::uint32_t>(std::countr_zero(word))))) return false;
      }
      return true;
    };
    for (std::uint32_t segment = 0; segment < first_.size(); ++segment) {
      if (!word_passes(segment, 0, first_[segment])) return false;
    }
    for (const auto& [segment, words] : more_) {
      for (std::uint32_t word = 0; word < words.size(); ++word) {
        if (!word_passes(segment, (word + 1) * kWord, words[word])) return false;
      }
    }
    return true;
  }

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
