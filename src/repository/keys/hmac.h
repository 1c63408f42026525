#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

namespace cacs::repository {

/// HMAC-SHA-256 (RFC 2104) under one key. Kept between calls: the hash's states after the padded key, so that a short
/// message costs two blocks instead of four. One thread at a time.
class HmacSha256 {
 public:
  static constexpr std::size_t kBytes = 32;
  explicit HmacSha256(std::span<const std::byte> key);
  ~HmacSha256();
  HmacSha256(const HmacSha256&) = delete;
  HmacSha256& operator=(const HmacSha256&) = delete;
  HmacSha256(HmacSha256&&) noexcept;
  HmacSha256& operator=(HmacSha256&&) noexcept;
  [[nodiscard]] std::array<std::byte, kBytes> operator()(std::span<const std::byte> message);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cacs::repository
