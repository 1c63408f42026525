#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "repository/keys/sealing.h"

namespace cacs::repository {

/// Secret bytes of any length, wiped when they go. Their number never changes: nothing is left behind in memory that
/// was outgrown.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size) : bytes_(size) {}
  explicit SecretBytes(std::span<const std::byte> bytes) : bytes_(bytes.begin(), bytes.end()) {}
  SecretBytes(const SecretBytes&) = default;
  SecretBytes(SecretBytes&&) noexcept = default;
  /// Exchanged, so that what was here before is wiped with the other.
  SecretBytes& operator=(const SecretBytes& other) { return *this = SecretBytes(other); }
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    bytes_.swap(other.bytes_);
    return *this;
  }
  ~SecretBytes();
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::span<std::byte> bytes() { return bytes_; }
  [[nodiscard]] std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

 private:
  std::vector<std::byte> bytes_;
};

/// What a person remembers: bytes as they were typed, in whatever encoding the terminal has.
class Passphrase {
 public:
  static constexpr std::size_t kMaxBytes = 1024;
  /// What a new slot asks for at least. scrypt makes a guess dear, not impossible.
  static constexpr std::size_t kMinNewBytes = 8;
  /// kInvalidArgument when it is empty, too long or holds a NUL, which no other tool could pass on.
  static Result<Passphrase> from(std::string_view text);
  [[nodiscard]] std::span<const std::byte> bytes() const { return text_.bytes(); }

 private:
  explicit Passphrase(std::string_view text);
  SecretBytes text_;
};

/// What opens a key slot: a passphrase, or the key of a key file.
using Credential = std::variant<Passphrase, SecretKey>;

}  // namespace cacs::repository
