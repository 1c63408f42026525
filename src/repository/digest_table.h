#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/hash.h"

namespace cacs::repository {

/// An open-addressing hash table from digests to 64-bit values that keeps only the values: the digest of a value is
/// asked back from where it stands anyway (`KeyOf`: Digest const&(uint64_t)). 8 bytes a slot, at most 3/4 full. No
/// removal: the owner builds a new one. Digests are uniform, so their first bytes serve as the hash.
template <typename KeyOf>
class DigestTable {
 public:
  explicit DigestTable(KeyOf key_of) : key_of_(std::move(key_of)) {}

  static constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

  [[nodiscard]] std::uint64_t find(const Digest& digest) const {
    if (slots_.empty()) return kNone;
    for (std::size_t at = home(digest);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] == kNone) return kNone;
      if (key_of_(slots_[at]) == digest) return slots_[at];
    }
  }

  /// Adds a value whose digest is not in the table yet; returns false, changing nothing, when it is.
  bool insert(std::uint64_t value) {
    if ((count_ + 1) * 4 > slots_.size() * 3) grow();
    const Digest& digest = key_of_(value);
    for (std::size_t at = home(digest);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] == kNone) {
        slots_[at] = value;
        ++count_;
        return true;
      }
      if (key_of_(slots_[at]) == digest) return false;
    }
  }

  void clear() {
    slots_.clear();
    slots_.shrink_to_fit();
    count_ = 0;
  }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t memory_bytes() const { return slots_.capacity() * sizeof(std::uint64_t); }

 private:
  [[nodiscard]] std::size_t home(const Digest& digest) const { return DigestHash{}(digest) & (slots_.size() - 1); }

  void grow() {
    std::vector<std::uint64_t> old = std::move(slots_);
    slots_.assign(old.empty() ? 1024 : old.size() * 2, kNone);
    for (const std::uint64_t value : old) {
      if (value == kNone) continue;
      std::size_t at = home(key_of_(value));
      while (slots_[at] != kNone) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = value;
    }
  }

  KeyOf key_of_;
  std::vector<std::uint64_t> slots_;  ///< a power of two, or none
  std::size_t count_ = 0;
};

}  // namespace cacs::repository
