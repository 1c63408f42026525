#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

/// Secrets and what is done with them, on OpenSSL 3. Where an operation of OpenSSL fails that can only fail for want of
/// memory, the program ends: it must not go on without the seal. docs/keys.md: which key protects what, and every byte.
namespace cacs::repository {

/// How what is stored is sealed: encrypted and authenticated together. The numbers stand in files.
enum class Sealing : std::uint8_t {
  kNone = 0,  ///< readable by anybody; a keyless checksum in the place of the tag
  kAes256Gcm = 1,
  kChaCha20Poly1305 = 2,  ///< for processors without AES instructions
};

inline constexpr std::size_t kTagBytes = 16;

/// A number that stood in a file, or came from an option: kUnsupported for one that this build does not know, or whose
/// cipher the installed OpenSSL does not offer. A Sealer may be made of what this let pass.
Result<Sealing> sealing_from_number(std::uint8_t number);
/// "none", "aes-256-gcm", "chacha20-poly1305"
std::string_view sealing_name(Sealing sealing);

/// 32 secret bytes, wiped when they go.
class SecretKey {
 public:
  static constexpr std::size_t kBytes = 32;
  SecretKey() = default;  ///< zeros
  explicit SecretKey(std::span<const std::byte, kBytes> bytes);
  SecretKey(const SecretKey&) = default;
  SecretKey& operator=(const SecretKey&) = default;
  SecretKey(SecretKey&&) noexcept = default;  ///< a copy: what is moved from wipes its own when it goes
  SecretKey& operator=(SecretKey&&) noexcept = default;
  ~SecretKey();
  /// From the kernel's generator.
  static SecretKey random();
  [[nodiscard]] std::span<const std::byte, kBytes> bytes() const { return bytes_; }
  /// In a time that does not depend on where they differ.
  friend bool operator==(const SecretKey& a, const SecretKey& b);

 private:
  std::array<std::byte, kBytes> bytes_{};
};

/// HKDF-SHA-256 (RFC 5869): a key for one purpose. `info` names the purpose, `salt` the object.
SecretKey derive_key(const SecretKey& from, std::string_view info, std::span<const std::byte> salt = {});

/// Seals and opens the parts of one object under a key that no other object has (derived from the object's random
/// id), so a part's number serves as nonce: 4 zero bytes, then the number, big-endian. Kept between calls: the cipher's
/// key schedule. One thread at a time.
///
/// What is sealed is as long as the plaintext, and has its tag behind it. With Sealing::kNone it is the plaintext, and
/// the first 16 bytes of SHA-256 over: number (8 bytes, little-endian), length of the context (8 bytes, little-endian),
/// context, plaintext. That finds damage, and bytes in the wrong place; it keeps nobody from changing them.
class Sealer {
 public:
  Sealer(Sealing sealing, const SecretKey& key);
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  Sealer(Sealer&&) noexcept;
  Sealer& operator=(Sealer&&) noexcept;

  /// Writes plaintext.size() + kTagBytes bytes to `out`, which has to have that length and may not overlap. `context`
  /// is authenticated with it. No number may be used twice for one object.
  void seal(std::uint64_t number, std::span<const std::byte> context, std::span<const std::byte> plaintext,
            std::span<std::byte> out);
  /// The reverse; `out` has sealed.size() - kTagBytes bytes and may not overlap. kCorrupt when anything was changed, or
  /// sealed under another key: then `out` is wiped.
  Status open(std::uint64_t number, std::span<const std::byte> context, std::span<const std::byte> sealed,
              std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The identity of a page or chunk within a tenant: 128 bits that say nothing without the tenant's key.
struct ContentId {
  std::array<std::byte, 16> bytes{};
  friend auto operator<=>(const ContentId&, const ContentId&) = default;
  friend bool operator==(const ContentId&, const ContentId&) = default;
  /// The first 8 bytes as a number, little-endian: uniformly distributed.
  [[nodiscard]] std::uint64_t prefix() const;
  [[nodiscard]] std::string to_hex() const;
};

/// How content ids are made. The numbers stand in files.
enum class Identity : std::uint8_t {
  /// HMAC-SHA-256, cut to 128 bits. For unsealed repositories, whose key is no secret.
  kHmacSha256 = 1,
  /// AES-256-GMAC with a fixed nonce under a secret key. An almost universal hash: two different contents of n bytes
  /// have the same id with a probability of at most (n/16 + 1) / 2^128, whoever chose them, as long as he does not know
  /// the key; the ids themselves are stored sealed only. The same bound as that of the sealing's own tags, at a
  /// multiple of SHA-256's speed on processors without SHA instructions (docs/repository.md has the measurement).
  kAesGmac = 2,
};

/// Makes content ids. Kept between calls: the key schedule. One thread at a time; clone one for each thread.
class ContentHasher {
 public:
  ContentHasher(Identity identity, const SecretKey& key);
  ~ContentHasher();
  ContentHasher(const ContentHasher&) = delete;
  ContentHasher& operator=(const ContentHasher&) = delete;
  ContentHasher(ContentHasher&&) noexcept;
  ContentHasher& operator=(ContentHasher&&) noexcept;
  /// Another that makes the same ids, for another thread.
  [[nodiscard]] ContentHasher clone() const;
  [[nodiscard]] ContentId operator()(std::span<const std::byte> data);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cacs::repository

template <>
struct std::hash<cacs::repository::ContentId> {
  std::size_t operator()(const cacs::repository::ContentId& id) const noexcept {
    return static_cast<std::size_t>(id.prefix());
  }
};
