#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/hash.h"

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
  void text(std::string_view value) { out_ += value; }
  void zeros(std::size_t count) { out_.append(count, '\0'); }
  void digest(const Digest& value) {
    out_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
  }
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
  std::string_view text(std::size_t length) {
    const auto bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  Digest digest() {
    Digest value;
    const auto bytes = take(value.bytes.size());
    if (!bytes.empty()) std::memcpy(value.bytes.data(), bytes.data(), bytes.size());
    return value;
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
