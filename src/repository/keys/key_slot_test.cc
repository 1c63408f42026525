#include "repository/keys/key_slot.h"

#include <algorithm>
#include <chrono>

#include "base/hash.h"
#include "repository/keys/test_support.h"

namespace cacs::repository {
namespace {

constexpr std::string_view kId = "01900000-0000-7000-8000-000000000001";
constexpr std::string_view kRepository = "01900000-0000-7000-8000-0000000000ff";
constexpr std::size_t kDigestBytes = 32;
constexpr ScryptCost kCheap{.n = 2, .r = 1, .p = 1};

Credential passphrase(std::string_view text) { return *Passphrase::from(text); }
Credential key_file(std::uint64_t seed) { return test_key(seed); }

SlotRequest request() {
  return {.id = std::string(kId),
          .repository = std::string(kRepository),
          .label = {.host = "node1", .user = "root", .created = WallTime(std::chrono::milliseconds(1'700'000'000'123))},
          .cost = kCheap};
}

MasterKeys three_generations() { return *MasterKeys::from({test_key(101), test_key(102), test_key(103)}); }

bool same(const MasterKeys& a, const MasterKeys& b) { return std::ranges::equal(a.generations(), b.generations()); }

Bytes bytes_of(const KeySlot& slot) { return {slot.encoded().begin(), slot.encoded().end()}; }

/// As one who changes a slot on purpose would leave it: with the checksum right again.
Bytes with_checksum(Bytes bytes) {
  const Digest digest = sha256(std::span<const std::byte>(bytes).first(bytes.size() - kDigestBytes));
  std::ranges::copy(std::as_bytes(std::span(digest.bytes)), bytes.end() - kDigestBytes);
  return bytes;
}

ErrorCode code_of(const auto& result) {
  EXPECT_FALSE(result.ok());
  return result.ok() ? ErrorCode::kInternal : result.error().code;
}

class EveryMethod : public ::testing::TestWithParam<SlotMethod> {
 protected:
  [[nodiscard]] Credential right() const {
    return GetParam() == SlotMethod::kPassphrase ? passphrase("correct horse") : key_file(1);
  }
  [[nodiscard]] Credential wrong() const {
    return GetParam() == SlotMethod::kPassphrase ? passphrase("correct house") : key_file(2);
  }
  [[nodiscard]] KeySlot slot() const { return *KeySlot::make(request(), right(), three_generations()); }
};

TEST_P(EveryMethod, opens_again_after_it_was_stored) {
  const auto made = KeySlot::make(request(), right(), three_generations());
  ASSERT_OK(made);
  const auto read = KeySlot::parse(made->encoded(), "slot");
  ASSERT_OK(read);
  EXPECT_EQ(read->id(), kId);
  EXPECT_EQ(read->repository(), kRepository);
  EXPECT_EQ(read->method(), GetParam());
  EXPECT_EQ(read->label(), request().label);
  EXPECT_TRUE(std::ranges::equal(read->prints(), three_generations().prints()));
  EXPECT_EQ(bytes_of(*read), bytes_of(*made));
  for (const KeySlot* slot : {&*made, &*read}) {
    const auto keys = slot->open(right());
    ASSERT_OK(keys);
    EXPECT_TRUE(same(*keys, three_generations()));
  }
}

TEST_P(EveryMethod, a_wrong_credential_is_told_from_damage) {
  EXPECT_EQ(code_of(slot().open(wrong())), ErrorCode::kUnauthenticated);
  const Credential other_kind = GetParam() == SlotMethod::kPassphrase ? key_file(1) : passphrase("correct horse");
  EXPECT_EQ(code_of(slot().open(other_kind)), ErrorCode::kUnauthenticated);
}

TEST_P(EveryMethod, every_flipped_bit_is_damage) {
  const Bytes bytes = bytes_of(slot());
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit)
    ASSERT_EQ(code_of(KeySlot::parse(flipped(bytes, bit), "slot")), ErrorCode::kCorrupt) << "bit " << bit;
}

TEST_P(EveryMethod, every_bit_changed_on_purpose_is_refused) {
  const Bytes bytes = bytes_of(slot());
  std::size_t parsed_ones = 0;
  for (std::size_t bit = 0; bit < (bytes.size() - kDigestBytes) * 8; ++bit) {
    const auto slot = KeySlot::parse(with_checksum(flipped(bytes, bit)), "slot");
    if (!slot) continue;
    ++parsed_ones;
    const auto keys = slot->open(right());
    ASSERT_FALSE(keys.ok()) << "bit " << bit;
    EXPECT_TRUE(keys.error().code == ErrorCode::kCorrupt || keys.error().code == ErrorCode::kUnauthenticated);
  }
  // Label, salt, check value, prints and seal at least are of any bits, so it is the seal that refuses.
  EXPECT_GT(parsed_ones, (32 + 16 + 9 + 24 + 112) * 8U);
}

TEST_P(EveryMethod, every_shorter_and_longer_form_is_damage) {
  const Bytes bytes = bytes_of(slot());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_EQ(code_of(KeySlot::parse(cut, "slot")), ErrorCode::kCorrupt) << size;
    if (size < kDigestBytes) continue;
    ASSERT_EQ(code_of(KeySlot::parse(with_checksum(cut), "slot")), ErrorCode::kCorrupt) << size;
  }
  Bytes longer = bytes;
  longer.emplace_back();
  EXPECT_EQ(code_of(KeySlot::parse(with_checksum(longer), "slot")), ErrorCode::kCorrupt);
}

TEST_P(EveryMethod, resealed_keeps_who_it_is_and_takes_a_fresh_salt) {
  const KeySlot before = slot();
  const auto after = before.resealed(right(), three_generations());
  ASSERT_OK(after);
  EXPECT_EQ(after->id(), before.id());
  EXPECT_EQ(after->repository(), before.repository());
  EXPECT_EQ(after->label(), before.label());
  EXPECT_EQ(after->cost(), before.cost());
  constexpr std::size_t kSaltAt = 112;
  EXPECT_FALSE(std::ranges::equal(before.encoded().subspan(kSaltAt, 32), after->encoded().subspan(kSaltAt, 32)));
  EXPECT_FALSE(std::ranges::equal(before.encoded().last(144), after->encoded().last(144)));
  ASSERT_OK(after->open(right()));
}

TEST_P(EveryMethod, resealed_with_another_credential_opens_with_that_alone) {
  const auto after = slot().resealed(wrong(), three_generations());
  ASSERT_OK(after);
  EXPECT_EQ(code_of(after->open(right())), ErrorCode::kUnauthenticated);
  ASSERT_OK(after->open(wrong()));
}

INSTANTIATE_TEST_SUITE_P(KeySlot, EveryMethod, ::testing::Values(SlotMethod::kPassphrase, SlotMethod::kKeyFile),
                         [](const auto& which) { return "method_" + std::to_string(static_cast<int>(which.param)); });

TEST(KeySlot, a_key_file_can_take_the_place_of_a_passphrase_and_back) {
  const auto first = KeySlot::make(request(), passphrase("correct horse"), three_generations());
  ASSERT_OK(first);
  const auto second = first->resealed(key_file(1), three_generations());
  ASSERT_OK(second);
  EXPECT_EQ(second->method(), SlotMethod::kKeyFile);
  ASSERT_OK(second->open(key_file(1)));
  const auto third = second->resealed(passphrase("correct horse"), three_generations());
  ASSERT_OK(third);
  EXPECT_EQ(third->cost(), ScryptCost{});
  ASSERT_OK(third->open(passphrase("correct horse")));
}

TEST(KeySlot, bytes_are_those_of_the_document) {
  const auto slot = KeySlot::make(request(), passphrase("correct horse"), three_generations());
  ASSERT_OK(slot);
  const auto bytes = slot->encoded();
  ASSERT_EQ(bytes.size(), 168U + 9 + 24 + 112 + 32);
  EXPECT_EQ(to_hex(bytes.first(16)), "434143534b4559530100010001000000");
  EXPECT_TRUE(std::ranges::equal(bytes.subspan(16, 36), as_bytes(kId)));
  EXPECT_TRUE(std::ranges::equal(bytes.subspan(52, 36), as_bytes(kRepository)));
  EXPECT_EQ(to_hex(bytes.subspan(88, 8)), "7b68e5cf8b010000");
  EXPECT_EQ(to_hex(bytes.subspan(96, 16)), "02000000010000000100000003000000");
  EXPECT_EQ(to_hex(bytes.subspan(160, 8)), "05000400c9000000");
  EXPECT_TRUE(std::ranges::equal(bytes.subspan(168, 9), as_bytes("node1root")));
  Bytes print(8);
  hkdf_sha256(test_key(102).bytes(), {}, as_bytes("cacs key print"), print);
  EXPECT_EQ(to_hex(bytes.subspan(185, 8)), to_hex(print));
}

/// Made once by a program in Python that shares nothing with this code but docs/keys.md.
TEST(KeySlot, opens_the_slot_that_another_implementation_made) {
  const Bytes bytes = from_hex(
      "434143534b455953010001000100000030313930303030302d303030302d373030302d383030302d303030303030303030303031"
      "30313930303030302d303030302d373030302d383030302d3030303030303030303066667b68e5cf8b0100001000000002000000"
      "0300000002000000f8b71cffed39d740452d30cbdbdcbc8565d33186729b3e5b9fde562165439812303b0f6057e269882188380f"
      "f05d558905000400c10000006e6f646531726f6f7409820bed90e2a5d3251f3f31349286a99c04fafdf37eb01fc274459adcb55f"
      "c65f93e6b92ebc9ef79b7303634c78eff46fa42ccf8788e8a3ba1d2a41ffe5e4400f79d34e92d586ee61354c1010870e43357f03"
      "875de8852bd2337475584646b9f52ce6cada3f9d5021bddfde44789ebe2ad70accc7b3de6063d93ba036ce3210");
  const auto slot = KeySlot::parse(bytes, "golden");
  ASSERT_OK(slot);
  const auto keys = slot->open(passphrase("correct horse"));
  ASSERT_OK(keys);
  ASSERT_EQ(keys->newest(), 2U);
  EXPECT_EQ(to_hex(keys->generations()[0].bytes()), to_hex(counting(32, 0)));
  EXPECT_EQ(to_hex(keys->generations()[1].bytes()), to_hex(counting(32, 0x80)));
}

TEST(KeySlot, a_newer_form_is_unsupported_and_a_compatible_one_is_read) {
  const Bytes bytes = bytes_of(*KeySlot::make(request(), key_file(1), three_generations()));
  Bytes newer = bytes;
  newer.at(10) = std::byte{2};  // minimum reader
  EXPECT_EQ(code_of(KeySlot::parse(with_checksum(newer), "slot")), ErrorCode::kUnsupported);
  Bytes method = bytes;
  method.at(12) = std::byte{3};
  EXPECT_EQ(code_of(KeySlot::parse(with_checksum(method), "slot")), ErrorCode::kUnsupported);
  Bytes compatible = bytes;
  compatible.at(8) = std::byte{2};  // version
  ASSERT_OK(KeySlot::parse(with_checksum(compatible), "slot"));
  Bytes shorter = compatible;
  shorter.erase(shorter.begin() + 168);
  shorter.at(164) = std::byte(std::to_integer<unsigned>(shorter.at(164)) - 1U);
  EXPECT_EQ(code_of(KeySlot::parse(with_checksum(shorter), "slot")), ErrorCode::kCorrupt);
  // Its head may be longer then, which it may not be in this version.
  for (const bool later : {true, false}) {
    Bytes longer = later ? compatible : bytes;
    longer.insert(longer.begin() + 168 + 9 + 24, std::byte{0x55});
    longer.at(164) = std::byte(std::to_integer<unsigned>(longer.at(164)) + 1U);
    const auto slot = KeySlot::parse(with_checksum(longer), "slot");
    EXPECT_EQ(slot.ok(), later);
    // What was put there is authenticated all the same.
    if (!slot) continue;
    EXPECT_EQ(code_of(slot->open(key_file(1))), ErrorCode::kCorrupt);
  }
}

TEST(KeySlot, hostile_numbers_are_refused_before_they_are_used) {
  const Bytes bytes = bytes_of(*KeySlot::make(request(), passphrase("correct horse"), three_generations()));
  const auto refused = [&](std::size_t at, std::string_view hex) {
    Bytes changed = bytes;
    const Bytes value = from_hex(hex);
    std::ranges::copy(value, changed.begin() + static_cast<std::ptrdiff_t>(at));
    EXPECT_EQ(code_of(KeySlot::parse(with_checksum(changed), "slot")), ErrorCode::kCorrupt) << at << " " << hex;
  };
  refused(0, "43414353504143");             // another magic
  refused(8, "0000");                       // version 0
  refused(10, "0000");                      // minimum reader 0
  refused(13, "01");                        // reserved
  refused(16, "58");                        // "X" in a UUID
  refused(52, "58");                        //
  refused(88, "ffffffffffffffff");          // a time before the year 0
  refused(88, "00dc1fd277e60000");          // the year 10000
  refused(96, "00002000");                  // n = 2^21
  refused(96, "03000000");                  // n = 3
  refused(96, "000000000000000000000000");  // none for a passphrase
  refused(100, "21000000");                 // r = 33
  refused(104, "11000000");                 // p = 17
  refused(108, "00000000");                 // no generation
  refused(108, "02000000");                 // fewer than there are
  refused(108, "01040000");                 // 1025
  refused(108, "ffffffff");                 //
  refused(160, "ffff");                     // host
  refused(162, "0001");                     // user of 256 bytes
  refused(164, "ffffffff");                 // head
  refused(164, "c8000000");                 //
}

TEST(KeySlot, requests_out_of_bounds_are_refused) {
  const MasterKeys keys = three_generations();
  const auto refused = [&](const SlotRequest& bad, const Credential& credential) {
    return code_of(KeySlot::make(bad, credential, keys)) == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused(request(), passphrase("sevenby")));
  SlotRequest bad = request();
  bad.id = "x";
  EXPECT_TRUE(refused(bad, key_file(1)));
  bad = request();
  bad.repository = "";
  EXPECT_TRUE(refused(bad, key_file(1)));
  bad = request();
  bad.label.user = std::string(256, 'u');
  EXPECT_TRUE(refused(bad, key_file(1)));
  bad = request();
  bad.cost.n = 1U << 21U;
  EXPECT_TRUE(refused(bad, passphrase("correct horse")));
  bad = request();
  bad.label = {.host = std::string(255, 'h'), .user = "", .created = {}};
  const auto slot = KeySlot::make(bad, key_file(1), keys);
  ASSERT_OK(slot);
  const auto read = KeySlot::parse(slot->encoded(), "slot");
  ASSERT_OK(read);
  EXPECT_EQ(read->label(), bad.label);
}

TEST(KeySlot, the_largest_fits_the_bound) {
  std::vector<SecretKey> generations(MasterKeys::kMaxGenerations, test_key(1));
  SlotRequest large = request();
  large.label.host = std::string(kMaxLabelBytes, 'h');
  large.label.user = std::string(kMaxLabelBytes, 'u');
  const auto slot = KeySlot::make(large, key_file(1), *MasterKeys::from(std::move(generations)));
  ASSERT_OK(slot);
  EXPECT_LE(slot->encoded().size(), kMaxKeySlotBytes);
  const auto read = KeySlot::parse(slot->encoded(), "slot");
  ASSERT_OK(read);
  EXPECT_EQ(read->open(key_file(1))->newest(), MasterKeys::kMaxGenerations);
}

TEST(KeySlot, says_whose_it_is_without_control_characters) {
  SlotRequest odd = request();
  odd.label.user = "a\x1b[2Jb";
  const auto slot = KeySlot::make(odd, key_file(1), three_generations());
  ASSERT_OK(slot);
  EXPECT_NE(slot->describe().find("key file of a"), std::string::npos);
  EXPECT_EQ(slot->describe().find('\x1b'), std::string::npos);
  EXPECT_NE(slot->describe().find("node1, 2023-11-14T22:13:20.123Z"), std::string::npos);
}

}  // namespace
}  // namespace cacs::repository
