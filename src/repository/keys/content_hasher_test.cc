#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <set>

#include "repository/keys/sealing.h"
#include "repository/keys/test_support.h"

namespace cacs::repository {
namespace {

using Block = std::array<unsigned char, 16>;

/// The product in GF(2^128) of NIST SP 800-38D, 6.3, bit by bit.
Block multiply(const Block& x, Block v) {
  Block z{};
  for (std::size_t i = 0; i < 128; ++i) {
    if ((unsigned{x.at(i / 8)} >> (7 - i % 8) & 1U) != 0) {
      for (std::size_t j = 0; j < 16; ++j) z.at(j) ^= v.at(j);
    }
    const bool carry = (v[15] & 1U) != 0;
    for (std::size_t j = 16; j-- > 0;)
      v.at(j) = static_cast<unsigned char>(unsigned{v.at(j)} >> 1U | (j > 0 ? unsigned{v.at(j - 1)} << 7U : 0U));
    if (carry) v[0] ^= 0xe1U;
  }
  return z;
}

Block encrypt_block(const SecretKey& key, const Block& plain) {
  Block out{};
  int length = 0;
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex2(context, EVP_aes_256_ecb(), reinterpret_cast<const unsigned char*>(key.bytes().data()), nullptr,
                      nullptr);
  EVP_EncryptUpdate(context, out.data(), &length, plain.data(), 16);
  EVP_CIPHER_CTX_free(context);
  return out;
}

/// AES-256-GMAC with a nonce of zeros, from the specification.
std::string reference_id(const SecretKey& key, const Bytes& content) {
  const Block h = encrypt_block(key, {});
  Block sum{};
  for (std::size_t at = 0; at < content.size(); at += 16) {
    for (std::size_t i = at; i < std::min(at + 16, content.size()); ++i)
      sum.at(i - at) ^= std::to_integer<unsigned char>(content[i]);
    sum = multiply(sum, h);
  }
  for (std::size_t i = 0; i < 8; ++i)
    sum.at(7 - i) ^= static_cast<unsigned char>(std::uint64_t{content.size()} * 8 >> (8 * i));
  sum = multiply(sum, h);
  const Block mask = encrypt_block(key, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  for (std::size_t i = 0; i < 16; ++i) sum.at(i) ^= mask.at(i);
  return to_hex(std::as_bytes(std::span(sum)));
}

TEST(ContentHasher, gmac_is_that_of_the_specification) {
  EXPECT_EQ(ContentHasher(Identity::kAesGmac, SecretKey())({}).to_hex(), "530f8afbc74536b9a963b4f1c4cb738b");
  ContentHasher hasher(Identity::kAesGmac, test_key(3));
  for (const std::size_t size : std::array<std::size_t, 10>{0, 1, 15, 16, 17, 100, 4095, 4096, 4097, 70000}) {
    const Bytes content = random_bytes(size, size + 1);
    EXPECT_EQ(hasher(content).to_hex(), reference_id(test_key(3), content)) << size;
  }
}

TEST(ContentHasher, hmac_is_that_of_rfc_4231_cut) {
  // The RFC's own keys have other lengths than ours; HMAC pads with zeros, so "Jefe" is also a key of 32 bytes.
  Bytes key = to_bytes("Jefe");
  key.resize(SecretKey::kBytes);
  ContentHasher hasher(Identity::kHmacSha256, SecretKey(std::span(key).first<32>()));
  EXPECT_EQ(hasher(as_bytes("what do ya want for nothing?")).to_hex(), "5bdcc146bf60754e6a042426089575c7");
}

class EveryIdentity : public ::testing::TestWithParam<Identity> {};

TEST_P(EveryIdentity, depends_on_every_bit_on_the_length_and_on_the_key) {
  ContentHasher hasher(GetParam(), test_key(1));
  const Bytes content(200);
  std::set<ContentId> seen{hasher(content)};
  std::size_t made = 1;
  for (std::size_t bit = 0; bit < content.size() * 8; ++bit, ++made) seen.insert(hasher(flipped(content, bit)));
  for (std::size_t size = 0; size < content.size(); ++size, ++made) seen.insert(hasher(std::span(content).first(size)));
  for (std::size_t bit = 0; bit < SecretKey::kBytes * 8; ++bit, ++made) {
    const Bytes near = flipped(test_key(1).bytes(), bit);
    seen.insert(ContentHasher(GetParam(), SecretKey(std::span(near).first<32>()))(content));
  }
  EXPECT_EQ(seen.size(), made);
}

TEST_P(EveryIdentity, answers_the_same_again_and_from_clones) {
  ContentHasher hasher(GetParam(), test_key(1));
  const Bytes content = random_bytes(4096, 1);
  const ContentId id = hasher(content);
  EXPECT_NE(hasher(random_bytes(4096, 2)), id);
  EXPECT_EQ(hasher(content), id);
  ContentHasher clone = hasher.clone();
  EXPECT_EQ(clone(content), id);
  ContentHasher moved = std::move(hasher);
  EXPECT_EQ(moved(content), id);
}

INSTANTIATE_TEST_SUITE_P(ContentHasher, EveryIdentity, ::testing::Values(Identity::kHmacSha256, Identity::kAesGmac),
                         [](const auto& which) { return "identity_" + std::to_string(static_cast<int>(which.param)); });

TEST(ContentId, prefix_is_its_first_eight_bytes) {
  ContentId id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes.at(i) = std::byte(i + 1);
  EXPECT_EQ(id.prefix(), 0x0807060504030201U);
  EXPECT_EQ(id.to_hex(), "0102030405060708090a0b0c0d0e0f10");
  EXPECT_EQ(std::hash<ContentId>()(id), id.prefix());
}

}  // namespace
}  // namespace cacs::repository
