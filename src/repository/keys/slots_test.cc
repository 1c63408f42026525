#include "repository/keys/slots.h"

#include <algorithm>

#include "base/hash.h"
#include "repository/keys/test_support.h"

namespace cacs::repository {
namespace {

constexpr ScryptCost kCheap{.n = 2, .r = 1, .p = 1};

std::string uuid(unsigned number) { return "01900000-0000-7000-8000-00000000000" + std::to_string(number); }
Credential passphrase(std::string_view text) { return *Passphrase::from(text); }

MasterKeys keys_of(std::initializer_list<std::uint64_t> seeds) {
  std::vector<SecretKey> generations;
  for (const std::uint64_t seed : seeds) generations.push_back(test_key(seed));
  return *MasterKeys::from(std::move(generations));
}

bool same(const MasterKeys& a, const MasterKeys& b) { return std::ranges::equal(a.generations(), b.generations()); }

KeySlot slot(unsigned number, const Credential& credential, const MasterKeys& keys) {
  return *KeySlot::make({.id = uuid(number),
                         .repository = uuid(0),
                         .label = {.host = "node" + std::to_string(number), .user = "root", .created = {}},
                         .cost = kCheap},
                        credential, keys);
}

template <typename T>
void expect_refused(const Result<T>& result, ErrorCode code) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, code) << result.error().to_string();
}

const Credential kAlice = passphrase("alice's words");
const Credential kBob = passphrase("bob's words");
const Credential kServer = test_key(7);

/// The slot's place in the repository taken by its new form.
std::vector<KeySlot> stored(std::vector<KeySlot> slots, const Rotation& rotation) {
  for (KeySlot& old : slots) {
    for (const KeySlot& fresh : rotation.resealed) {
      if (fresh.id() == old.id()) old = fresh;
    }
  }
  return slots;
}

TEST(Slots, a_slot_belongs_to_one_name_in_one_repository) {
  const KeySlot made = slot(1, kServer, keys_of({1}));
  const auto read = parse_stored_slot(made.encoded(), uuid(1), uuid(0));
  ASSERT_OK(read);
  EXPECT_EQ(read->id(), uuid(1));
  expect_refused(parse_stored_slot(made.encoded(), uuid(2), uuid(0)), ErrorCode::kCorrupt);
  expect_refused(parse_stored_slot(made.encoded(), uuid(1), uuid(3)), ErrorCode::kCorrupt);
  expect_refused(parse_stored_slot({}, uuid(1), uuid(0)), ErrorCode::kCorrupt);
}

TEST(Slots, compare_tells_what_a_slot_holds) {
  const KeySlot held = slot(1, kServer, keys_of({1, 2}));
  EXPECT_EQ(compare(held, keys_of({1, 2})), SlotState::kCurrent);
  EXPECT_EQ(compare(held, keys_of({1, 2, 3})), SlotState::kStale);
  EXPECT_EQ(compare(held, keys_of({1})), SlotState::kAhead);
  EXPECT_EQ(compare(held, keys_of({1, 3})), SlotState::kForeign);
  EXPECT_EQ(compare(held, keys_of({2})), SlotState::kForeign);
  EXPECT_EQ(compare(held, keys_of({1, 3, 2})), SlotState::kForeign);
}

TEST(Slots, unlock_finds_the_slot_of_the_credential) {
  const MasterKeys keys = keys_of({1});
  const std::vector<KeySlot> slots{slot(1, kAlice, keys), slot(2, kBob, keys), slot(3, kServer, keys)};
  unsigned number = 0;
  for (const Credential& credential : {kAlice, kBob, kServer}) {
    const auto unlocked = unlock(slots, credential);
    ASSERT_OK(unlocked);
    EXPECT_EQ(unlocked->slot, uuid(++number));
    EXPECT_TRUE(same(unlocked->keys, keys));
    EXPECT_FALSE(unlocked->stale);
  }
  expect_refused(unlock(slots, passphrase("nobody's words")), ErrorCode::kUnauthenticated);
  expect_refused(unlock(slots, test_key(8)), ErrorCode::kUnauthenticated);
  expect_refused(unlock({}, kAlice), ErrorCode::kNotFound);
}

TEST(Slots, unlock_prefers_the_slot_with_most_generations_and_says_when_it_has_not_the_newest) {
  const std::vector<KeySlot> slots{slot(1, kAlice, keys_of({1})), slot(2, kAlice, keys_of({1, 2})),
                                   slot(3, kBob, keys_of({1}))};
  const auto alice = unlock(slots, kAlice);
  ASSERT_OK(alice);
  EXPECT_EQ(alice->slot, uuid(2));
  EXPECT_FALSE(alice->stale);
  const auto bob = unlock(slots, kBob);
  ASSERT_OK(bob);
  EXPECT_TRUE(bob->stale);
  EXPECT_EQ(bob->keys.newest(), 1U);
}

TEST(Slots, unlock_passes_over_a_damaged_slot_when_another_opens) {
  const MasterKeys keys = keys_of({1});
  const KeySlot sound = slot(1, kAlice, keys);
  // The seal's last byte, and the checksum made right again, which parse() cannot see through.
  Bytes bytes(sound.encoded().begin(), sound.encoded().end());
  bytes.at(bytes.size() - 33) ^= std::byte{1};
  const Digest digest = sha256(std::span<const std::byte>(bytes).first(bytes.size() - 32));
  std::ranges::copy(std::as_bytes(std::span(digest.bytes)), bytes.end() - 32);
  const auto damaged = KeySlot::parse(bytes, "slot");
  ASSERT_OK(damaged);
  expect_refused(unlock(std::vector<KeySlot>{*damaged}, kAlice), ErrorCode::kCorrupt);
  expect_refused(unlock(std::vector<KeySlot>{*damaged}, kBob), ErrorCode::kUnauthenticated);
  const auto unlocked = unlock(std::vector<KeySlot>{*damaged, slot(2, kAlice, keys)}, kAlice);
  ASSERT_OK(unlocked);
  EXPECT_EQ(unlocked->slot, uuid(2));
}

TEST(Slots, the_last_slot_with_the_newest_keys_is_never_removed) {
  const std::vector<KeySlot> one{slot(1, kAlice, keys_of({1}))};
  expect_refused(check_removable(one, uuid(1)), ErrorCode::kConflict);
  expect_refused(check_removable(one, uuid(2)), ErrorCode::kNotFound);
  expect_refused(check_removable({}, uuid(1)), ErrorCode::kNotFound);
  const std::vector<KeySlot> two{slot(1, kAlice, keys_of({1})), slot(2, kBob, keys_of({1}))};
  EXPECT_TRUE(check_removable(two, uuid(1)).ok());
  EXPECT_TRUE(check_removable(two, uuid(2)).ok());
  const std::vector<KeySlot> stale{slot(1, kAlice, keys_of({1, 2})), slot(2, kBob, keys_of({1}))};
  expect_refused(check_removable(stale, uuid(1)), ErrorCode::kConflict);
  EXPECT_TRUE(check_removable(stale, uuid(2)).ok());
}

TEST(Slots, a_rotation_reaches_the_slots_whose_credentials_are_there) {
  const MasterKeys keys = keys_of({1});
  const std::vector<KeySlot> slots{slot(1, kAlice, keys), slot(2, kBob, keys), slot(3, kServer, keys)};
  const std::vector<Credential> present{kServer, kAlice};
  const auto rotation = rotate(slots, keys, present);
  ASSERT_OK(rotation);
  EXPECT_EQ(rotation->keys.newest(), 2U);
  EXPECT_TRUE(rotation->keys.generations()[0] == test_key(1));
  EXPECT_EQ(rotation->stale, std::vector<std::string>{uuid(2)});
  ASSERT_EQ(rotation->resealed.size(), 2U);

  const std::vector<KeySlot> after = stored(slots, *rotation);
  for (const Credential& credential : present) {
    const auto unlocked = unlock(after, credential);
    ASSERT_OK(unlocked);
    EXPECT_TRUE(same(unlocked->keys, rotation->keys));
    EXPECT_FALSE(unlocked->stale);
  }
  const auto bob = unlock(after, kBob);
  ASSERT_OK(bob);
  EXPECT_TRUE(bob->stale);
  EXPECT_TRUE(same(bob->keys, keys)) << "what was stored before can still be read";
}

TEST(Slots, nothing_of_the_new_keys_follows_from_the_old_ones) {
  const MasterKeys keys = keys_of({1});
  const std::vector<KeySlot> slots{slot(1, kAlice, keys)};
  const auto once = rotate(slots, keys, std::vector{kAlice});
  const auto twice = rotate(slots, keys, std::vector{kAlice});
  ASSERT_OK(once);
  ASSERT_OK(twice);
  EXPECT_FALSE(once->keys.generations()[1] == twice->keys.generations()[1]);
  // The old master key is no key file, nor is anything that is derived from it.
  expect_refused(once->resealed[0].open(Credential(test_key(1))), ErrorCode::kUnauthenticated);
}

TEST(Slots, a_rotation_interrupted_half_way_is_not_begun_anew_but_mended) {
  const MasterKeys keys = keys_of({1});
  const std::vector<KeySlot> slots{slot(1, kAlice, keys), slot(2, kServer, keys)};
  const std::vector<Credential> present{kAlice, kServer};
  const auto rotation = rotate(slots, keys, present);
  ASSERT_OK(rotation);
  const std::vector<KeySlot> half{rotation->resealed[0], slots[1]};

  const auto server = unlock(half, kServer);
  ASSERT_OK(server);
  EXPECT_TRUE(server->stale);
  expect_refused(rotate(half, server->keys, present), ErrorCode::kConflict);
  expect_refused(refresh(half[0], kAlice, server->keys), ErrorCode::kConflict);

  const auto alice = unlock(half, kAlice);
  ASSERT_OK(alice);
  expect_refused(refresh(half[1], kBob, alice->keys), ErrorCode::kUnauthenticated);
  const auto mended = refresh(half[1], kServer, alice->keys);
  ASSERT_OK(mended);
  EXPECT_EQ(mended->id(), uuid(2));
  EXPECT_TRUE(same(*mended->open(kServer), rotation->keys));
}

TEST(Slots, two_rotations_at_once_are_noticed) {
  const MasterKeys keys = keys_of({1});
  const std::vector<KeySlot> slots{slot(1, kAlice, keys), slot(2, kServer, keys)};
  const auto one = rotate(slots, keys, std::vector{kAlice});
  const auto other = rotate(slots, keys, std::vector{kServer});
  ASSERT_OK(one);
  ASSERT_OK(other);
  const std::vector<KeySlot> both{one->resealed[0], other->resealed[0]};
  expect_refused(rotate(both, one->keys, std::vector{kAlice}), ErrorCode::kConflict);
  expect_refused(refresh(both[1], kServer, one->keys), ErrorCode::kConflict);
}

TEST(Slots, a_rotation_that_nobody_could_open_is_refused) {
  const MasterKeys keys = keys_of({1});
  const std::vector<KeySlot> slots{slot(1, kAlice, keys)};
  expect_refused(rotate(slots, keys, {}), ErrorCode::kUnauthenticated);
  expect_refused(rotate(slots, keys, std::vector{kBob}), ErrorCode::kUnauthenticated);
  expect_refused(rotate({}, keys, std::vector{kAlice}), ErrorCode::kUnauthenticated);
}

TEST(MasterKeys, bounds_and_generations) {
  expect_refused(MasterKeys::from({}), ErrorCode::kInvalidArgument);
  std::vector<SecretKey> many(MasterKeys::kMaxGenerations);
  const auto full = MasterKeys::from(many);
  ASSERT_OK(full);
  expect_refused(full->rotated(), ErrorCode::kTooLarge);
  many.emplace_back();
  expect_refused(MasterKeys::from(many), ErrorCode::kInvalidArgument);
  EXPECT_FALSE(same(MasterKeys::random(), MasterKeys::random()));
  EXPECT_EQ(MasterKeys::random().newest(), 1U);
}

TEST(MasterKeys, tenants_get_what_the_header_says) {
  const MasterKeys keys = keys_of({1, 2});
  const auto secrets = keys.tenant_secrets("physics");
  ASSERT_EQ(secrets.size(), 2U);
  EXPECT_TRUE(secrets.at(1) == derive_key(test_key(1), "cacs tenant physics"));
  EXPECT_TRUE(secrets.at(2) == derive_key(test_key(2), "cacs tenant physics"));
  const TenantKeys tenant = keys.tenant(Sealing::kAes256Gcm, "physics");
  EXPECT_EQ(tenant.newest(), 2U);
  EXPECT_EQ(tenant.keyed_name("x"), TenantKeys(Sealing::kAes256Gcm, secrets).keyed_name("x"));
  EXPECT_NE(tenant.keyed_name("x"), keys.tenant(Sealing::kAes256Gcm, "biology").keyed_name("x"));
  EXPECT_TRUE(*keys.repository_key(2, "descriptor") == derive_key(test_key(2), "cacs repository descriptor"));
  expect_refused(keys.repository_key(0, "descriptor"), ErrorCode::kPermission);
  expect_refused(keys.repository_key(3, "descriptor"), ErrorCode::kPermission);
}

}  // namespace
}  // namespace cacs::repository
