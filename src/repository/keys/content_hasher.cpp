#include <algorithm>
#include <optional>

#include "repository/keys/evp.h"
#include "repository/keys/hmac.h"
#include "repository/keys/sealing.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kNonceBytes = 12;

}  // namespace

std::uint64_t ContentId::prefix() const {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) value |= std::to_integer<std::uint64_t>(bytes.at(i)) << (8 * i);
  return value;
}

std::string ContentId::to_hex() const {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    text += kHex[std::to_integer<unsigned>(byte) >> 4U];
    text += kHex[std::to_integer<unsigned>(byte) & 15U];
  }
  return text;
}

struct ContentHasher::State {
  Identity identity = Identity::kAesGmac;
  SecretKey key;  ///< for clones
  evp::Cipher cipher;
  evp::CipherContext gmac;
  std::optional<HmacSha256> hmac;

  [[nodiscard]] ContentId tag_of(std::span<const std::byte> content) {
    // Everything is authenticated, nothing encrypted, and the nonce always the same: what remains of GCM is its
    // universal hash, masked with a constant that depends on the key.
    constexpr std::array<unsigned char, kNonceBytes> kNonce{};
    EVP_CIPHER_CTX* const context = gmac.get();
    evp::must(EVP_EncryptInit_ex2(context, nullptr, nullptr, kNonce.data(), nullptr) == 1);
    int length = 0;
    evp::must(evp::in_pieces(content, [&](std::span<const std::byte> piece) {
      return EVP_EncryptUpdate(context, nullptr, &length, evp::data(piece), static_cast<int>(piece.size())) == 1;
    }));
    ContentId id;
    std::array<unsigned char, 16> rest{};
    evp::must(EVP_EncryptFinal_ex(context, rest.data(), &length) == 1);
    evp::must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(id.bytes.size()), id.bytes.data()) ==
              1);
    return id;
  }
};

ContentHasher::ContentHasher(Identity identity, const SecretKey& key) : state_(std::make_unique<State>()) {
  state_->identity = identity;
  state_->key = key;
  if (identity == Identity::kHmacSha256) {
    state_->hmac.emplace(key.bytes());
    return;
  }
  state_->cipher.reset(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr));
  state_->gmac.reset(EVP_CIPHER_CTX_new());
  evp::must(state_->cipher != nullptr && state_->gmac != nullptr);
  evp::must(EVP_EncryptInit_ex2(state_->gmac.get(), state_->cipher.get(), evp::data(key.bytes()), nullptr, nullptr) ==
            1);
}

ContentHasher::~ContentHasher() = default;
ContentHasher::ContentHasher(ContentHasher&&) noexcept = default;
ContentHasher& ContentHasher::operator=(ContentHasher&&) noexcept = default;

ContentHasher ContentHasher::clone() const { return {state_->identity, state_->key}; }

ContentId ContentHasher::operator()(std::span<const std::byte> data) {
  if (!state_->hmac) return state_->tag_of(data);
  const auto digest = (*state_->hmac)(data);
  ContentId id;
  std::ranges::copy(std::span(digest).first<16>(), id.bytes.begin());
  return id;
}

}  // namespace cacs::repository
