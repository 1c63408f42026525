#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace cacs::repository {

/// Appends little-endian numbers and bytes to a string.
class ByteWriter {
 public:
  template <typename T>
  void number(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      out_ += static_cast<char>(static_cast<unsigned char>(static_cast<std::uint64_t>(value) >> (8 * i)));
    }
  }
  /// LEB128: seven bits a byte, the lowest first.
  void varint(std::uint64_t value) {
    while (value >= 0x80) {
      out_ += static_cast<char>(static_cast<unsigned char>(value) | 0x80U);
      value >>= 7U;
    }
    out_ += static_cast<char>(static_cast<unsigned char>(value));
  }
  /// Small numbers of either sign: zigzag, then LEB128.
  void signed_varint(std::int64_t value) {
    varint((static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63U));
  }
  void raw(std::span<const std::byte> value) { out_.append(reinterpret_cast<const char*>(value.data()), value.size()); }
  void text(std::string_view value) { out_ += value; }
  void zeros(std::size_t count) { out_.append(count, '\0'); }
  void reserve(std::size_t bytes) { out_.reserve(bytes); }
  [[nodiscard]] const std::string& view() const { return out_; }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

/// Reads them back. Reading past the end gives zeros and sets failed(), which the caller looks at before it uses
/// anything.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> data) : data_(data) {}

  template <typename T>
  T number() {
    const auto bytes = take(sizeof(T));
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = (value << 8U) | static_cast<std::uint64_t>(bytes[i]);
    return static_cast<T>(value);
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = number<std::uint8_t>();
      if (shift == 63 && byte > 1) break;
      value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      // One way to write each number: no zero byte at the end of a longer one.
      if (byte == 0 && shift > 0) break;
      if ((byte & 0x80U) == 0) return value;
    }
    failed_ = true;
    return 0;
  }
  std::int64_t signed_varint() {
    const std::uint64_t value = varint();
    return static_cast<std::int64_t>((value >> 1U) ^ (~(value & 1U) + 1U));
  }
  template <std::size_t N>
  std::array<std::byte, N> bytes() {
    std::array<std::byte, N> value{};
    const auto from = take(N);
    if (!from.empty()) std::memcpy(value.data(), from.data(), N);
    return value;
  }
  std::string_view text(std::size_t length) {
    const auto bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  bool zeros(std::size_t count) {
    for (const std::byte byte : take(count)) {
      if (byte != std::byte{0}) return false;
    }
    return !failed_;
  }
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
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::size_t left() const { return data_.size(); }

 private:
  std::span<const std::byte> data_;
  bool failed_ = false;
};

}  // namespace cacs::repository
