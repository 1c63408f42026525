#include "repository/keys/tenant_keys.h"

#include <set>

#include "repository/keys/test_support.h"

namespace cacs::repository {
namespace {

const std::string kPackId = "0123456789abcdef";

TenantKeys two_generations(Sealing sealing) { return {sealing, {{1, test_key(1)}, {2, test_key(2)}}}; }

std::string hex_of(const SecretKey& key) { return to_hex(key.bytes()); }

TEST(TenantKeys, derives_each_key_as_the_header_says) {
  const TenantKeys keys = two_generations(Sealing::kAes256Gcm);
  const auto expected = [](unsigned generation, std::string_view info, std::string_view salt) {
    return hex_of(derive_key(test_key(generation), info, as_bytes(salt)));
  };
  EXPECT_EQ(hex_of(*keys.object_key(1, "pack", as_bytes(kPackId))), expected(1, "cacs object pack 16", kPackId));
  EXPECT_EQ(hex_of(*keys.object_key(2, "pack", as_bytes(kPackId))), expected(2, "cacs object pack 16", kPackId));
  EXPECT_EQ(hex_of(keys.chunking_key()), expected(1, "cacs chunk boundaries", ""));
  ContentHasher expected_hasher(Identity::kAesGmac, derive_key(test_key(1), "cacs content id"));
  EXPECT_EQ(keys.hasher()(as_bytes("page")), expected_hasher(as_bytes("page")));
}

TEST(TenantKeys, every_key_is_another) {
  const TenantKeys keys = two_generations(Sealing::kAes256Gcm);
  std::set<std::string> seen;
  for (const std::uint32_t generation : {1U, 2U}) {
    for (const std::string kind : {"pack", "document"}) {
      for (const std::string_view id : {std::string_view("a"), std::string_view("b"), std::string_view("a\0", 2)})
        seen.insert(hex_of(*keys.object_key(generation, kind, as_bytes(id))));
    }
  }
  seen.insert(hex_of(keys.chunking_key()));
  seen.insert(hex_of(test_key(1)));
  EXPECT_EQ(seen.size(), 14U);
}

TEST(TenantKeys, ids_boundaries_and_names_outlive_a_rotation) {
  const TenantKeys before(Sealing::kAes256Gcm, {{1, test_key(1)}});
  const TenantKeys after = two_generations(Sealing::kAes256Gcm);
  EXPECT_EQ(before.newest(), 1U);
  EXPECT_EQ(after.newest(), 2U);
  EXPECT_EQ(before.hasher()(as_bytes("page")), after.hasher()(as_bytes("page")));
  EXPECT_EQ(hex_of(before.chunking_key()), hex_of(after.chunking_key()));
  EXPECT_EQ(before.keyed_name("job/7"), after.keyed_name("job/7"));
  EXPECT_EQ(hex_of(*before.object_key(1, "pack", as_bytes(kPackId))),
            hex_of(*after.object_key(1, "pack", as_bytes(kPackId))));
}

TEST(TenantKeys, a_generation_that_was_not_given_is_not_permitted) {
  const TenantKeys keys = two_generations(Sealing::kAes256Gcm);
  for (const std::uint32_t generation : {0U, 3U, 4000000000U}) {
    const auto key = keys.object_key(generation, "pack", as_bytes(kPackId));
    ASSERT_FALSE(key.ok());
    EXPECT_EQ(key.error().code, ErrorCode::kPermission);
    EXPECT_NE(key.error().message.find("pack"), std::string::npos);
    EXPECT_NE(key.error().message.find(std::to_string(generation)), std::string::npos);
  }
}

TEST(TenantKeys, identity_follows_the_sealing) {
  EXPECT_EQ(two_generations(Sealing::kAes256Gcm).identity(), Identity::kAesGmac);
  EXPECT_EQ(two_generations(Sealing::kChaCha20Poly1305).identity(), Identity::kAesGmac);
  EXPECT_EQ(two_generations(Sealing::kNone).identity(), Identity::kHmacSha256);
  EXPECT_EQ(TenantKeys::unsealed("id").identity(), Identity::kHmacSha256);
}

TEST(TenantKeys, another_tenant_has_other_names_and_ids) {
  const TenantKeys one(Sealing::kAes256Gcm, {{1, test_key(1)}});
  const TenantKeys other(Sealing::kAes256Gcm, {{1, test_key(2)}});
  EXPECT_NE(one.keyed_name("x"), other.keyed_name("x"));
  EXPECT_NE(one.keyed_name("x"), one.keyed_name("y"));
  EXPECT_NE(one.hasher()(as_bytes("x")), other.hasher()(as_bytes("x")));
  EXPECT_EQ(one.keyed_name("x").size(), 32U);
  EXPECT_EQ(one.keyed_name("x").find_first_not_of("0123456789abcdef"), std::string::npos);
}

TEST(TenantKeys, unsealed_ones_follow_from_the_salt_alone) {
  const TenantKeys keys = TenantKeys::unsealed("0190-repository");
  EXPECT_EQ(keys.sealing(), Sealing::kNone);
  EXPECT_EQ(keys.newest(), 0U);
  EXPECT_TRUE(*keys.object_key(0, "pack", as_bytes(kPackId)) == SecretKey());
  EXPECT_FALSE(keys.object_key(1, "pack", as_bytes(kPackId)).ok());
  EXPECT_EQ(keys.keyed_name("x"), TenantKeys::unsealed("0190-repository").keyed_name("x"));
  EXPECT_NE(keys.keyed_name("x"), TenantKeys::unsealed("0191-repository").keyed_name("x"));
  // By an independent implementation (hmac and hashlib of Python).
  EXPECT_EQ(keys.keyed_name("x"), "c46ea57340f83898051ff04e007c6196");
  EXPECT_EQ(keys.hasher()(as_bytes("page")).to_hex(), "336c24bbe6206cfb5f54840f9034b842");
}

}  // namespace
}  // namespace cacs::repository
