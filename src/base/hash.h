#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs {

/// A SHA-256 digest: identity of content wherever CACS needs one.
struct Digest {
  std::array<unsigned char, 32> bytes{};

  friend auto operator<=>(const Digest&, const Digest&) = default;
  [[nodiscard]] std::string to_hex() const;
  static Result<Digest> from_hex(std::string_view hex);
};

struct DigestHash {
  std::size_t operator()(const Digest& digest) const;
};

Digest sha256(std::span<const std::byte> data);
Digest sha256(std::string_view data);

/// SHA-256 over pieces. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::span<const std::byte> data);
  /// The digest of everything so far; the object must not be used again.
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cacs
