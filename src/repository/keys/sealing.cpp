#include "repository/keys/sealing.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "base/io.h"
#include "repository/keys/derivation.h"
#include "repository/keys/evp.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kNonceBytes = 12;

const char* cipher_name(Sealing sealing) {
  return sealing == Sealing::kAes256Gcm ? "AES-256-GCM" : "ChaCha20-Poly1305";
}

evp::Cipher fetch_cipher(Sealing sealing) {
  return evp::Cipher(EVP_CIPHER_fetch(nullptr, cipher_name(sealing), nullptr));
}

std::array<std::byte, kNonceBytes> nonce_of(std::uint64_t number) {
  std::array<std::byte, kNonceBytes> nonce{};
  for (std::size_t i = 0; i < sizeof number; ++i) nonce.at(kNonceBytes - 1 - i) = std::byte(number >> (8 * i));
  return nonce;
}

Error changed(std::uint64_t number) {
  return make_error(ErrorCode::kCorrupt, "part " + std::to_string(number) +
                                             " of a sealed object is not what was stored, or was sealed under another "
                                             "key");
}

}  // namespace

SecretKey::SecretKey(std::span<const std::byte, kBytes> bytes) { std::ranges::copy(bytes, bytes_.begin()); }

SecretKey::~SecretKey() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

SecretKey SecretKey::random() {
  SecretKey key;
  evp::must(RAND_priv_bytes(evp::data(std::span(key.bytes_)), static_cast<int>(kBytes)) == 1);
  return key;
}

bool operator==(const SecretKey& a, const SecretKey& b) {
  return CRYPTO_memcmp(a.bytes_.data(), b.bytes_.data(), SecretKey::kBytes) == 0;
}

SecretKey derive_key(const SecretKey& from, std::string_view info, std::span<const std::byte> salt) {
  std::array<std::byte, SecretKey::kBytes> bytes{};
  hkdf_sha256(from.bytes(), salt, as_bytes(info), bytes);
  SecretKey key(bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

Result<Sealing> sealing_from_number(std::uint8_t number) {
  if (number > static_cast<std::uint8_t>(Sealing::kChaCha20Poly1305)) {
    return make_error(ErrorCode::kUnsupported, "sealing " + std::to_string(number) + " is not known here",
                      "it was written by a newer version: upgrade");
  }
  const Sealing sealing{number};
  if (sealing == Sealing::kNone || fetch_cipher(sealing) != nullptr) return sealing;
  ERR_clear_error();
  return make_error(ErrorCode::kUnsupported,
                    std::string("the installed OpenSSL does not offer ") + cipher_name(sealing),
                    "see `openssl list -cipher-algorithms` and the providers in openssl.cnf");
}

std::string_view sealing_name(Sealing sealing) {
  switch (sealing) {
    case Sealing::kNone:
      return "none";
    case Sealing::kAes256Gcm:
      return "aes-256-gcm";
    case Sealing::kChaCha20Poly1305:
      return "chacha20-poly1305";
  }
  return "unknown";
}

/// One of two: a cipher with its contexts, or, for Sealing::kNone, the hash of the checksum.
struct Sealer::State {
  evp::Cipher cipher;
  evp::CipherContext sealing;
  evp::CipherContext opening;  ///< made with the first part that is opened: most objects are written or read, not both
  SecretKey key;
  evp::Md hash;
  evp::MdContext digest;

  void start_opening() {
    if (opening != nullptr) return;
    opening.reset(EVP_CIPHER_CTX_new());
    evp::must(opening != nullptr);
    evp::must(EVP_DecryptInit_ex2(opening.get(), cipher.get(), evp::data(key.bytes()), nullptr, nullptr) == 1);
  }

  void start_sealing() {
    if (sealing != nullptr) return;
    sealing.reset(EVP_CIPHER_CTX_new());
    evp::must(sealing != nullptr);
    evp::must(EVP_EncryptInit_ex2(sealing.get(), cipher.get(), evp::data(key.bytes()), nullptr, nullptr) == 1);
  }

  void checksum(std::uint64_t number, std::span<const std::byte> context, std::span<const std::byte> plaintext,
                std::span<std::byte, kTagBytes> out) {
    std::array<std::byte, 16> head{};
    for (std::size_t i = 0; i < 8; ++i) {
      head.at(i) = std::byte(number >> (8 * i));
      head.at(8 + i) = std::byte(std::uint64_t{context.size()} >> (8 * i));
    }
    std::array<std::byte, 32> full{};
    evp::must(EVP_DigestInit_ex2(digest.get(), hash.get(), nullptr) == 1);
    for (const std::span<const std::byte> part : {std::span<const std::byte>(head), context, plaintext})
      evp::must(EVP_DigestUpdate(digest.get(), part.data(), part.size()) == 1);
    evp::must(EVP_DigestFinal_ex(digest.get(), evp::data(std::span(full)), nullptr) == 1);
    std::ranges::copy(std::span(full).first<kTagBytes>(), out.begin());
  }

  void encrypt(std::uint64_t number, std::span<const std::byte> context, std::span<const std::byte> plaintext,
               std::span<std::byte> out) {
    start_sealing();
    EVP_CIPHER_CTX* const cipher_context = sealing.get();
    const auto nonce = nonce_of(number);
    evp::must(EVP_EncryptInit_ex2(cipher_context, nullptr, nullptr, evp::data(std::span(nonce)), nullptr) == 1);
    int length = 0;
    evp::must(evp::in_pieces(context, [&](std::span<const std::byte> piece) {
      return EVP_EncryptUpdate(cipher_context, nullptr, &length, evp::data(piece), static_cast<int>(piece.size())) == 1;
    }));
    unsigned char* to = evp::data(out);
    evp::must(evp::in_pieces(plaintext, [&](std::span<const std::byte> piece) {
      const bool done =
          EVP_EncryptUpdate(cipher_context, to, &length, evp::data(piece), static_cast<int>(piece.size())) == 1;
      to += length;
      return done;
    }));
    evp::must(EVP_EncryptFinal_ex(cipher_context, to, &length) == 1 && length == 0);
    evp::must(EVP_CIPHER_CTX_ctrl(cipher_context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, to) == 1);
  }

  [[nodiscard]] bool decrypt(std::uint64_t number, std::span<const std::byte> context,
                             std::span<const std::byte> ciphertext, std::span<const std::byte> tag,
                             std::span<std::byte> out) {
    start_opening();
    EVP_CIPHER_CTX* const cipher_context = opening.get();
    const auto nonce = nonce_of(number);
    evp::must(EVP_DecryptInit_ex2(cipher_context, nullptr, nullptr, evp::data(std::span(nonce)), nullptr) == 1);
    // OpenSSL takes the tag as void*, and only reads it.
    evp::must(
        EVP_CIPHER_CTX_ctrl(cipher_context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, const_cast<std::byte*>(tag.data())) == 1);
    int length = 0;
    evp::must(evp::in_pieces(context, [&](std::span<const std::byte> piece) {
      return EVP_DecryptUpdate(cipher_context, nullptr, &length, evp::data(piece), static_cast<int>(piece.size())) == 1;
    }));
    unsigned char* to = evp::data(out);
    const bool decrypted = evp::in_pieces(ciphertext, [&](std::span<const std::byte> piece) {
      const bool done =
          EVP_DecryptUpdate(cipher_context, to, &length, evp::data(piece), static_cast<int>(piece.size())) == 1;
      to += length;
      return done;
    });
    std::array<unsigned char, kTagBytes> rest{};
    return decrypted && EVP_DecryptFinal_ex(cipher_context, rest.data(), &length) == 1;
  }
};

Sealer::Sealer(Sealing sealing, const SecretKey& key) : state_(std::make_unique<State>()) {
  if (sealing == Sealing::kNone) {
    state_->hash.reset(EVP_MD_fetch(nullptr, "SHA256", nullptr));
    state_->digest.reset(EVP_MD_CTX_new());
    evp::must(state_->hash != nullptr && state_->digest != nullptr);
    return;
  }
  state_->key = key;
  state_->cipher = fetch_cipher(sealing);
  evp::must(state_->cipher != nullptr);
}

Sealer::~Sealer() = default;
Sealer::Sealer(Sealer&&) noexcept = default;
Sealer& Sealer::operator=(Sealer&&) noexcept = default;

void Sealer::seal(std::uint64_t number, std::span<const std::byte> context, std::span<const std::byte> plaintext,
                  std::span<std::byte> out) {
  evp::must(out.size() == plaintext.size() + kTagBytes);
  if (state_->cipher != nullptr) return state_->encrypt(number, context, plaintext, out);
  std::ranges::copy(plaintext, out.begin());
  state_->checksum(number, context, plaintext, out.last<kTagBytes>());
}

Status Sealer::open(std::uint64_t number, std::span<const std::byte> context, std::span<const std::byte> sealed,
                    std::span<std::byte> out) {
  if (sealed.size() < kTagBytes) return changed(number);
  evp::must(out.size() == sealed.size() - kTagBytes);
  const auto body = sealed.first(out.size());
  const auto tag = sealed.last<kTagBytes>();
  if (state_->cipher == nullptr) {
    std::array<std::byte, kTagBytes> expected{};
    state_->checksum(number, context, body, expected);
    if (std::ranges::equal(expected, tag)) {
      std::ranges::copy(body, out.begin());
      return {};
    }
  } else if (state_->decrypt(number, context, body, tag, out)) {
    return {};
  }
  ERR_clear_error();
  // What was decrypted without its seal must not be used by anybody, not even by accident.
  OPENSSL_cleanse(out.data(), out.size());
  return changed(number);
}

}  // namespace cacs::repository
