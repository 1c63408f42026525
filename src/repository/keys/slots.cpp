#include "repository/keys/slots.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"

namespace cacs::repository {

namespace {

/// The keys in the slot and which of the credentials it was; neither when none opens it. A credential that opens a slot
/// which turns out to be damaged is an error.
struct Opened {
  MasterKeys keys;
  const Credential* credential;
};
Result<std::optional<Opened>> open_with_any(const KeySlot& slot, std::span<const Credential> credentials) {
  for (const Credential& credential : credentials) {
    auto keys = slot.open(credential);
    if (keys) return std::optional(Opened{.keys = std::move(keys).value(), .credential = &credential});
    if (keys.error().code != ErrorCode::kUnauthenticated) return keys.error();
  }
  return std::optional<Opened>();
}

std::size_t most_generations(std::span<const KeySlot> slots) {
  std::size_t most = 0;
  for (const KeySlot& slot : slots) most = std::max(most, slot.prints().size());
  return most;
}

Status check_nobody_is_ahead(std::span<const KeySlot> slots, const MasterKeys& keys) {
  for (const KeySlot& slot : slots) {
    const SlotState state = compare(slot, keys);
    if (state == SlotState::kAhead) {
      return make_error(ErrorCode::kConflict,
                        "rotate the repository's keys: " + slot.describe() + " already holds generation " +
                            std::to_string(slot.prints().size()) + ", and the keys at hand end with " +
                            std::to_string(keys.newest()),
                        "unlock with the credential of that slot, then refresh the others");
    }
    if (state == SlotState::kForeign) {
      return make_error(ErrorCode::kConflict,
                        "rotate the repository's keys: " + slot.describe() + " holds other keys than those at hand",
                        "find out where that slot comes from: remove it, or restore the slots from a copy");
    }
  }
  return {};
}

}  // namespace

Result<KeySlot> parse_stored_slot(std::span<const std::byte> bytes, std::string_view id, std::string_view repository) {
  const std::string name = "key slot keys/" + printable(id);
  CACS_ASSIGN(KeySlot slot, KeySlot::parse(bytes, name));
  if (slot.id() == id && slot.repository() == repository) return slot;
  const bool foreign = slot.repository() != repository;
  return make_error(ErrorCode::kCorrupt,
                    name + " is not what was stored there: it is slot " + slot.id() +
                        (foreign ? " of repository " + slot.repository() : ""),
                    "somebody copied or renamed it: remove it, and restore keys/ from a copy");
}

SlotState compare(const KeySlot& slot, const MasterKeys& keys) {
  const std::vector<KeyPrint> known = keys.prints();
  const std::span<const KeyPrint> held = slot.prints();
  const std::size_t common = std::min(known.size(), held.size());
  if (!std::ranges::equal(held.first(common), std::span(known).first(common))) return SlotState::kForeign;
  if (held.size() < known.size()) return SlotState::kStale;
  return held.size() > known.size() ? SlotState::kAhead : SlotState::kCurrent;
}

Result<Unlocked> unlock(std::span<const KeySlot> slots, const Credential& credential) {
  if (slots.empty()) {
    return make_error(ErrorCode::kNotFound, "unlock the repository: it has no key slot",
                      "restore keys/ from a copy: without a slot nothing sealed can be read");
  }
  std::vector<const KeySlot*> order;
  for (const KeySlot& slot : slots) order.push_back(&slot);
  std::ranges::stable_sort(order, std::ranges::greater(), [](const KeySlot* slot) { return slot->prints().size(); });
  std::optional<Error> damaged;
  for (const KeySlot* slot : order) {
    auto keys = slot->open(credential);
    if (keys) {
      const bool stale =
          std::ranges::any_of(slots, [&](const KeySlot& other) { return compare(other, *keys) == SlotState::kAhead; });
      return Unlocked{.keys = std::move(keys).value(), .slot = slot->id(), .stale = stale};
    }
    if (keys.error().code != ErrorCode::kUnauthenticated && !damaged) damaged = keys.error();
  }
  if (damaged) return damaged->with_context("unlock the repository");
  const bool typed = std::holds_alternative<Passphrase>(credential);
  return make_error(ErrorCode::kUnauthenticated,
                    "unlock the repository: none of its " + std::to_string(slots.size()) +
                        " key slots opens with this " + (typed ? "passphrase" : "key file"),
                    "list the slots to see whose they are; a passphrase that all have forgotten cannot be recovered");
}

Status check_removable(std::span<const KeySlot> slots, std::string_view id) {
  const auto slot = std::ranges::find(slots, id, &KeySlot::id);
  if (slot == slots.end()) {
    return make_error(ErrorCode::kNotFound, "remove key slot " + printable(id) + ": there is none of this id",
                      "list the slots");
  }
  const bool replaced = std::ranges::any_of(slots, [&](const KeySlot& other) {
    return other.id() != id && other.prints().size() == most_generations(slots);
  });
  if (replaced) return {};
  return make_error(ErrorCode::kConflict,
                    "remove " + slot->describe() +
                        ": no other slot holds the newest keys, so that nobody could open the "
                        "repository any more",
                    "add or refresh another slot first");
}

Result<Rotation> rotate(std::span<const KeySlot> slots, const MasterKeys& keys,
                        std::span<const Credential> credentials) {
  CACS_TRY(check_nobody_is_ahead(slots, keys));
  CACS_ASSIGN(MasterKeys rotated, keys.rotated());
  Rotation rotation{.keys = std::move(rotated), .resealed = {}, .stale = {}};
  for (const KeySlot& slot : slots) {
    CACS_ASSIGN(const std::optional<Opened> opened, open_with_any(slot, credentials));
    if (!opened) {
      rotation.stale.push_back(slot.id());
      continue;
    }
    CACS_ASSIGN(KeySlot resealed, slot.resealed(*opened->credential, rotation.keys));
    rotation.resealed.push_back(std::move(resealed));
  }
  if (!rotation.resealed.empty()) return rotation;
  return make_error(
      ErrorCode::kUnauthenticated,
      "rotate the repository's keys: none of its slots opens with the passphrases and key files given, so "
      "that nobody could open what is stored from now on",
      "give the passphrase or key file of a slot");
}

Result<KeySlot> refresh(const KeySlot& slot, const Credential& credential, const MasterKeys& keys) {
  const SlotState state = compare(slot, keys);
  if (state == SlotState::kAhead || state == SlotState::kForeign) {
    return make_error(
        ErrorCode::kConflict,
        "refresh " + slot.describe() + ": it holds " +
            (state == SlotState::kAhead ? "newer keys than those at hand" : "other keys than those at hand"),
        "unlock with the slot that holds the newest keys");
  }
  CACS_TRY(slot.open(credential));
  return slot.resealed(credential, keys);
}

}  // namespace cacs::repository
