#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cacs::delta {

/// Appends the primitives of the delta's binary forms: LEB128 numbers and length-prefixed byte strings.
class WireWriter {
 public:
  void number(std::uint64_t value) {
    while (value >= 0x80) {
      out_.push_back(static_cast<char>(static_cast<unsigned char>(value | 0x80U)));
      value >>= 7U;
    }
    out_.push_back(static_cast<char>(static_cast<unsigned char>(value)));
  }
  /// Zigzag, so that small negative numbers stay small.
  void signed_number(std::int64_t value) {
    number((static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63U));
  }
  void bytes(std::string_view value) {
    number(value.size());
    out_.append(value);
  }
  void raw(std::string_view value) { out_.append(value); }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

/// Reads them back. After the first thing that does not fit, ok() is false and everything read is zero or empty; so a
/// parser checks once per record. Views point into the input.
class WireReader {
 public:
  explicit WireReader(std::string_view input) : input_(input) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return input_.empty(); }
  [[nodiscard]] std::size_t left() const { return input_.size(); }
  void fail() {
    ok_ = false;
    input_ = {};
  }

  std::uint64_t number(std::uint64_t max = UINT64_MAX) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (input_.empty()) break;
      const auto byte = static_cast<unsigned char>(input_.front());
      input_.remove_prefix(1);
      const std::uint64_t bits = byte & 0x7fU;
      if (shift == 63 && bits > 1) break;
      value |= bits << shift;
      if ((byte & 0x80U) == 0) {
        if (value <= max) return value;
        break;
      }
    }
    fail();
    return 0;
  }
  std::uint32_t number32(std::uint32_t max = UINT32_MAX) { return static_cast<std::uint32_t>(number(max)); }
  std::int64_t signed_number() {
    const std::uint64_t value = number();
    return static_cast<std::int64_t>(value >> 1U) ^ -static_cast<std::int64_t>(value & 1U);
  }
  std::string_view bytes(std::size_t max) { return raw(static_cast<std::size_t>(number(max))); }
  std::string_view raw(std::size_t size) {
    if (size > input_.size()) {
      fail();
      return {};
    }
    const std::string_view value = input_.substr(0, size);
    input_.remove_prefix(size);
    return value;
  }

 private:
  std::string_view input_;
  bool ok_ = true;
};

}  // namespace cacs::delta
