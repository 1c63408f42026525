#include "repository/keys/derivation.h"

#include <array>

#include "repository/keys/hmac.h"
#include "repository/keys/test_support.h"

namespace cacs::repository {
namespace {

std::string hmac_hex(const Bytes& key, const Bytes& message) { return to_hex(HmacSha256(key)(message)); }

TEST(Hmac, has_the_answers_of_rfc_4231) {
  EXPECT_EQ(hmac_hex(counting(20, 0x0b, 0), to_bytes("Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hmac_hex(to_bytes("Jefe"), to_bytes("what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hmac_hex(counting(20, 0xaa, 0), counting(50, 0xdd, 0)),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(hmac_hex(counting(25, 1), counting(50, 0xcd, 0)),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
  EXPECT_EQ(hmac_hex(counting(131, 0xaa, 0), to_bytes("Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(
      hmac_hex(counting(131, 0xaa, 0),
               to_bytes("This is a test using a larger than block-size key and a larger than block-size data. The "
                        "key needs to be hashed before being used by the HMAC algorithm.")),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST(Hmac, one_object_answers_again_and_again) {
  HmacSha256 hmac(to_bytes("Jefe"));
  const auto first = hmac(to_bytes("what do ya want for nothing?"));
  EXPECT_NE(hmac(to_bytes("something else")), first);
  EXPECT_EQ(hmac(to_bytes("what do ya want for nothing?")), first);
}

std::string hkdf_hex(const Bytes& secret, const Bytes& salt, const Bytes& info, std::size_t length) {
  Bytes out(length);
  hkdf_sha256(secret, salt, info, out);
  return to_hex(out);
}

TEST(Hkdf, has_the_answers_of_rfc_5869) {
  EXPECT_EQ(hkdf_hex(counting(22, 0x0b, 0), counting(13, 0), counting(10, 0xf0), 42),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(
      hkdf_hex(counting(80, 0), counting(80, 0x60), counting(80, 0xb0), 82),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f"
      "09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  EXPECT_EQ(hkdf_hex(counting(22, 0x0b, 0), {}, {}, 42),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(Hkdf, derive_key_differs_by_secret_info_and_salt) {
  const SecretKey key = test_key(1);
  const SecretKey derived = derive_key(key, "purpose", as_bytes("salt"));
  Bytes expected(SecretKey::kBytes);
  hkdf_sha256(key.bytes(), as_bytes("salt"), as_bytes("purpose"), expected);
  EXPECT_EQ(to_hex(derived.bytes()), to_hex(expected));
  EXPECT_FALSE(derived == derive_key(test_key(2), "purpose", as_bytes("salt")));
  EXPECT_FALSE(derived == derive_key(key, "purposf", as_bytes("salt")));
  EXPECT_FALSE(derived == derive_key(key, "purpose", as_bytes("sal")));
}

std::string scrypt_hex(std::string_view passphrase, std::string_view salt, const ScryptCost& cost) {
  Bytes out(64);
  const Status status = scrypt(as_bytes(passphrase), as_bytes(salt), cost, out);
  return status ? to_hex(out) : status.error().to_string();
}

TEST(Scrypt, has_the_answers_of_rfc_7914) {
  EXPECT_EQ(
      scrypt_hex("", "", {.n = 16, .r = 1, .p = 1}),
      "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d"
      "3628cf35e20c38d18906");
  EXPECT_EQ(
      scrypt_hex("password", "NaCl", {.n = 1024, .r = 8, .p = 16}),
      "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83"
      "ee6d8360cbdfa2cc0640");
  EXPECT_EQ(
      scrypt_hex("pleaseletmein", "SodiumChloride", {.n = 16384, .r = 8, .p = 1}),
      "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d65"
      "1e40dfcf017b45575887");
}

TEST(Scrypt, cost_is_bounded) {
  EXPECT_TRUE(check_cost({}).ok());
  EXPECT_TRUE(check_cost({.n = 1U << 20U, .r = 8, .p = 16}).ok());
  EXPECT_TRUE(check_cost({.n = 1U << 18U, .r = 32, .p = 1}).ok());
  EXPECT_TRUE(check_cost({.n = 2, .r = 1, .p = 1}).ok());
  constexpr std::array<ScryptCost, 12> kRefused{{{.n = 0},
                                                 {.n = 1},
                                                 {.n = 3},
                                                 {.n = (1U << 16U) + 1},
                                                 {.n = 1U << 21U, .r = 1},
                                                 {.n = 1U << 31U, .r = 1},
                                                 {.r = 0},
                                                 {.r = 33},
                                                 {.p = 0},
                                                 {.p = 17},
                                                 {.n = 1U << 20U, .r = 9},
                                                 {.n = 1U << 19U, .r = 32}}};
  for (const ScryptCost& cost : kRefused) {
    Bytes out(32);
    const Status status = scrypt(as_bytes("p"), as_bytes("s"), cost, out);
    ASSERT_FALSE(status.ok()) << cost.n << " " << cost.r << " " << cost.p;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace cacs::repository
