#include "repository/keys/sealing.h"

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "repository/keys/test_support.h"

namespace cacs::repository {
namespace {

constexpr std::array kAll{Sealing::kNone, Sealing::kAes256Gcm, Sealing::kChaCha20Poly1305};

Bytes sealed(Sealer& sealer, std::uint64_t number, std::span<const std::byte> context,
             std::span<const std::byte> plain) {
  Bytes out(plain.size() + kTagBytes);
  sealer.seal(number, context, plain, out);
  return out;
}

/// Opens and expects a refusal that leaves nothing of what was decrypted.
void expect_refused(Sealer& sealer, std::uint64_t number, std::span<const std::byte> context,
                    std::span<const std::byte> bytes) {
  Bytes out(bytes.size() - kTagBytes, std::byte{0x77});
  const Status status = sealer.open(number, context, bytes, out);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(std::ranges::all_of(out, [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST(Sealer, has_the_answers_of_the_gcm_specification) {
  // Test cases 13 and 14 of McGrew and Viega, whose nonce is zero.
  Sealer sealer(Sealing::kAes256Gcm, SecretKey());
  EXPECT_EQ(to_hex(sealed(sealer, 0, {}, {})), "530f8afbc74536b9a963b4f1c4cb738b");
  EXPECT_EQ(to_hex(sealed(sealer, 0, {}, Bytes(16))),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

TEST(Sealer, has_the_answer_of_rfc_8439) {
  // Appendix A.5, whose nonce starts with four zeros. Its tag is over all of the ciphertext.
  const Bytes key = from_hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
  const std::string_view plain =
      "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or "
      "obsoleted "
      "by other documents at any time. It is inappropriate to use Internet-Drafts as reference material or to cite "
      "them "
      "other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
  Sealer sealer(Sealing::kChaCha20Poly1305, SecretKey(std::span(key).first<32>()));
  const Bytes out = sealed(sealer, 0x0102030405060708, from_hex("f33388860000000000004e91"), as_bytes(plain));
  EXPECT_EQ(to_hex(std::span(out).first(16)), "64a0861575861af460f062c79be643bd");
  EXPECT_EQ(to_hex(std::span(out).last(16)), "eead9d67890cbb22392336fea1851f38");
}

TEST(Sealer, without_sealing_the_tag_is_a_checksum_that_anybody_can_compute) {
  const Bytes plain = random_bytes(1000, 1);
  const Bytes context = to_bytes("segment");
  Sealer sealer(Sealing::kNone, SecretKey());
  const Bytes out = sealed(sealer, 0x1122334455667788, context, plain);
  Bytes hashed = from_hex("88776655443322110700000000000000");
  hashed.insert(hashed.end(), context.begin(), context.end());
  hashed.insert(hashed.end(), plain.begin(), plain.end());
  EXPECT_TRUE(std::ranges::equal(plain, std::span(out).first(plain.size())));
  EXPECT_EQ(to_hex(std::span(out).last(kTagBytes)), sha256(hashed).to_hex().substr(0, 32));
}

class EverySealing : public ::testing::TestWithParam<Sealing> {};

TEST_P(EverySealing, opens_what_it_sealed) {
  Sealer sealer(GetParam(), test_key(1));
  Sealer other(GetParam(), test_key(1));
  std::uint64_t number = 0;
  for (const std::size_t size : std::array<std::size_t, 9>{0, 1, 15, 16, 17, 4095, 4096, 262144, 1000003}) {
    const Bytes plain = random_bytes(size, size);
    const Bytes context = random_bytes(size % 40, 1);
    const Bytes out = sealed(sealer, ++number, context, plain);
    Bytes back(size);
    ASSERT_OK(other.open(number, context, out, back));
    EXPECT_EQ(back, plain) << size;
    ASSERT_OK(sealer.open(number, context, out, back));  // one that also sealed
  }
}

TEST_P(EverySealing, refuses_every_flipped_bit) {
  Sealer sealer(GetParam(), test_key(1));
  const Bytes context = to_bytes("context");
  const Bytes plain = random_bytes(77, 1);
  const Bytes out = sealed(sealer, 5, context, plain);
  for (std::size_t bit = 0; bit < out.size() * 8; ++bit) expect_refused(sealer, 5, context, flipped(out, bit));
  for (std::size_t bit = 0; bit < context.size() * 8; ++bit) expect_refused(sealer, 5, flipped(context, bit), out);
  for (std::size_t bit = 0; bit < 64; ++bit)
    expect_refused(sealer, std::uint64_t{5} ^ (std::uint64_t{1} << bit), context, out);
  Bytes back(plain.size());
  ASSERT_OK(sealer.open(5, context, out, back));  // after refusals it still opens
  EXPECT_EQ(back, plain);
}

TEST_P(EverySealing, refuses_every_shorter_and_longer_form) {
  Sealer sealer(GetParam(), test_key(1));
  const Bytes out = sealed(sealer, 5, {}, random_bytes(40, 1));
  for (std::size_t size = kTagBytes; size < out.size(); ++size)
    expect_refused(sealer, 5, {}, std::span(out).first(size));
  Bytes longer = out;
  longer.emplace_back();
  expect_refused(sealer, 5, {}, longer);
  for (std::size_t size = 0; size < kTagBytes; ++size) {
    const Status status = sealer.open(5, {}, std::span(out).first(size), {});
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  }
}

TEST_P(EverySealing, tells_context_from_plaintext) {
  Sealer sealer(GetParam(), test_key(1));
  const Bytes joined = sealed(sealer, 1, to_bytes("ab"), to_bytes("cd"));
  expect_refused(sealer, 1, to_bytes("abc"), std::span(joined).subspan(1));
  expect_refused(sealer, 1, to_bytes("a"), joined);
}

TEST_P(EverySealing, moves) {
  Sealer sealer(GetParam(), test_key(1));
  const Bytes out = sealed(sealer, 1, {}, to_bytes("x"));
  Sealer moved = std::move(sealer);
  Bytes back(1);
  ASSERT_OK(moved.open(1, {}, out, back));
  EXPECT_EQ(back, to_bytes("x"));
}

INSTANTIATE_TEST_SUITE_P(Sealer, EverySealing, ::testing::ValuesIn(kAll),
                         [](const auto& which) { return "sealing_" + std::to_string(static_cast<int>(which.param)); });

TEST(Sealer, refuses_what_another_key_or_another_cipher_sealed) {
  const Bytes plain = random_bytes(100, 1);
  for (const Sealing sealing : {Sealing::kAes256Gcm, Sealing::kChaCha20Poly1305}) {
    Sealer sealer(sealing, test_key(1));
    const Bytes out = sealed(sealer, 1, {}, plain);
    EXPECT_FALSE(std::ranges::equal(std::span(out).first(plain.size()), plain));
    for (std::size_t bit = 0; bit < SecretKey::kBytes * 8; ++bit) {
      const Bytes near = flipped(test_key(1).bytes(), bit);
      Sealer other(sealing, SecretKey(std::span(near).first<32>()));
      expect_refused(other, 1, {}, out);
    }
    for (const Sealing other : kAll) {
      if (other == sealing) continue;
      Sealer wrong(other, test_key(1));
      expect_refused(wrong, 1, {}, out);
    }
  }
}

TEST(Sealing, numbers_and_names_are_those_of_the_format) {
  EXPECT_EQ(*sealing_from_number(0), Sealing::kNone);
  EXPECT_EQ(*sealing_from_number(1), Sealing::kAes256Gcm);
  EXPECT_EQ(*sealing_from_number(2), Sealing::kChaCha20Poly1305);
  for (unsigned number = 3; number < 256; ++number) {
    const auto unknown = sealing_from_number(static_cast<std::uint8_t>(number));
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().code, ErrorCode::kUnsupported);
  }
  EXPECT_EQ(sealing_name(Sealing::kNone), "none");
  EXPECT_EQ(sealing_name(Sealing::kAes256Gcm), "aes-256-gcm");
  EXPECT_EQ(sealing_name(Sealing::kChaCha20Poly1305), "chacha20-poly1305");
}

TEST(SecretKey, random_ones_differ_and_compare) {
  const SecretKey one = SecretKey::random();
  const SecretKey copy = one;
  EXPECT_TRUE(one == copy);
  EXPECT_FALSE(one == SecretKey::random());
  EXPECT_FALSE(one == SecretKey());
}

TEST(SecretKey, wipes_its_bytes_when_it_goes) {
  alignas(SecretKey) std::array<std::byte, sizeof(SecretKey)> place{};
  auto* const key = new (place.data()) SecretKey(test_key(1));
  EXPECT_FALSE(std::ranges::all_of(place, [](std::byte byte) { return byte == std::byte{0}; }));
  key->~SecretKey();
  EXPECT_TRUE(std::ranges::all_of(place, [](std::byte byte) { return byte == std::byte{0}; }));
}

}  // namespace
}  // namespace cacs::repository
