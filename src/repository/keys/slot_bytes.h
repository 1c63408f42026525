#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// Little-endian fields of a key slot. For the sources of this folder.
namespace cacs::repository {

class SlotWriter {
 public:
  template <typename T>
  void number(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) out_.push_back(std::byte(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  void bytes(std::span<const std::byte> value) { out_.insert(out_.end(), value.begin(), value.end()); }
  void zeros(std::size_t count) { out_.resize(out_.size() + count); }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

/// Reading past the end gives nothing and sets failed(), which the caller looks at before it uses anything.
class SlotReader {
 public:
  explicit SlotReader(std::span<const std::byte> data) : data_(data) {}

  std::span<const std::byte> take(std::size_t count) {
    if (count > data_.size()) {
      failed_ = true;
      data_ = {};
      return {};
    }
    const auto bytes = data_.first(count);
    data_ = data_.subspan(count);
    return bytes;
  }
  template <typename T>
  T number() {
    const auto bytes = take(sizeof(T));
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = (value << 8U) | std::to_integer<std::uint64_t>(bytes[i]);
    return static_cast<T>(value);
  }
  std::string_view text(std::size_t count) {
    const auto bytes = take(count);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  void fill(std::span<std::byte> out) { std::ranges::copy(take(out.size()), out.begin()); }
  bool zeros(std::size_t count) {
    return std::ranges::all_of(take(count), [](std::byte byte) { return byte == std::byte{0}; }) && !failed_;
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  std::span<const std::byte> data_;
  bool failed_ = false;
};

}  // namespace cacs::repository
