#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "repository/keys/credential.h"
#include "repository/keys/key_slot.h"
#include "repository/keys/master_keys.h"

/// What is done with all key slots of a repository. Pure: the caller reads them before and stores what comes out.
namespace cacs::repository {

/// The slot that was stored as keys/<id> in this repository: KeySlot::parse, and kCorrupt for a slot that belongs under
/// another name or to another repository (UUIDs both).
Result<KeySlot> parse_stored_slot(std::span<const std::byte> bytes, std::string_view id, std::string_view repository);

/// What a slot holds, against keys that are known.
enum class SlotState {
  kCurrent,  ///< the same
  kStale,    ///< the same, without the newest
  kAhead,    ///< the same, and newer ones
  kForeign,  ///< others: two rotations at once, or a slot of somebody else
};
SlotState compare(const KeySlot& slot, const MasterKeys& keys);

struct Unlocked {
  MasterKeys keys;
  std::string slot;  ///< id of the slot that was opened
  bool stale =
      false;  ///< another slot holds newer keys: what was stored since then cannot be read, and nothing may be written
};
/// Opens the repository with the first slot that the credential opens, those with most generations first. kNotFound
/// when there is no slot at all, kUnauthenticated when it opens none, kCorrupt when it opens one that was changed and
/// no other. Takes one scrypt for each slot with a passphrase.
Result<Unlocked> unlock(std::span<const KeySlot> slots, const Credential& credential);

/// Whether the slot `id` may be removed: kNotFound, or kConflict when no other slot would be left that holds as new
/// keys. A removed slot is no protection from who has a copy of it: that takes a rotation.
Status check_removable(std::span<const KeySlot> slots, std::string_view id);

struct Rotation {
  MasterKeys keys;                 ///< with the new generation
  std::vector<KeySlot> resealed;   ///< to be stored in the place of those with the same ids
  std::vector<std::string> stale;  ///< ids of slots that none of the credentials opens: they stay as they are
};
/// Adds a generation to `keys` and to every slot that one of the credentials opens. kConflict when a slot is ahead of
/// `keys` or foreign: adding to these would make two keys of one number. kUnauthenticated when no slot would hold the
/// new generation.
///
/// The caller keeps rotations apart (the repository's exclusive lease), stores all resealed slots, and only then uses
/// the new keys. When it is interrupted, some slots are stale; refresh() mends that.
Result<Rotation> rotate(std::span<const KeySlot> slots, const MasterKeys& keys,
                        std::span<const Credential> credentials);

/// A stale slot with all of `keys`, by who has its credential: kUnauthenticated if it is not that, kConflict unless the
/// slot is stale or current.
Result<KeySlot> refresh(const KeySlot& slot, const Credential& credential, const MasterKeys& keys);

}  // namespace cacs::repository
