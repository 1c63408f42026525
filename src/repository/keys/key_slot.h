#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "repository/keys/credential.h"
#include "repository/keys/derivation.h"
#include "repository/keys/master_keys.h"

namespace cacs::repository {

/// What a slot is opened with. The numbers stand in files.
enum class SlotMethod : std::uint8_t { kPassphrase = 1, kKeyFile = 2 };

/// For people, so that they know whose slot it is: told to anybody who can read the repository, and vouched for to who
/// opens the slot. At most kMaxLabelBytes each.
struct SlotLabel {
  std::string host;
  std::string user;
  WallTime created{};
  friend bool operator==(const SlotLabel&, const SlotLabel&) = default;
};
inline constexpr std::size_t kMaxLabelBytes = 255;
inline constexpr std::size_t kMaxKeySlotBytes = std::size_t{64} << 10U;

/// What a slot is made with besides the keys.
struct SlotRequest {
  std::string id;          ///< a UUID: the object is keys/<id>
  std::string repository;  ///< its UUID: parse_stored_slot() refuses a slot of another one
  SlotLabel label;
  ScryptCost cost;  ///< for a passphrase
};

/// A key slot: the repository's master keys, all generations, sealed under a key that follows from one passphrase or
/// key file. docs/keys.md has its bytes, why slots are made like this, and what becomes of them when keys are rotated.
///
/// Each slot stands for itself: nothing in it can be opened with what another slot holds, and nothing but the
/// credential opens it, not even older master keys. So whoever has got hold of a generation of keys, and of every byte
/// of the repository at any time, cannot get at the next one by that. The price is that a rotation cannot reach the
/// slot of somebody who is not there: it stays as it is, opens what it opened before, and is reported as stale
/// (slots.h). Wrapping slots' keys under the master key would spare that, and give the new keys to whoever has the old
/// ones; public keys would too, for a second kind of cryptography, which does not last as long as a memory image may
/// have to.
///
/// Immutable; any thread.
class KeySlot {
 public:
  /// Seals `keys` under the credential, with a fresh salt: also when an older form of the same slot is replaced, so
  /// that no key ever seals twice. Takes as long as ScryptCost says. kInvalidArgument for what the bounds do not allow.
  static Result<KeySlot> make(const SlotRequest& request, const Credential& credential, const MasterKeys& keys);
  /// Takes any bytes whatsoever; what is not a slot is kCorrupt, and kUnsupported if it is for a newer reader. `what`
  /// names it in errors ("keys/0192...").
  static Result<KeySlot> parse(std::span<const std::byte> bytes, std::string_view what);

  /// The keys. kUnauthenticated when the credential is not that of the slot; kCorrupt when it is and the slot was
  /// changed.
  [[nodiscard]] Result<MasterKeys> open(const Credential& credential) const;
  /// The same slot for other keys or another credential: same id and label, fresh salt.
  [[nodiscard]] Result<KeySlot> resealed(const Credential& credential, const MasterKeys& keys) const;

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const std::string& repository() const { return repository_; }
  [[nodiscard]] const SlotLabel& label() const { return label_; }
  [[nodiscard]] SlotMethod method() const { return method_; }
  [[nodiscard]] const ScryptCost& cost() const { return cost_; }
  /// Of each generation that it holds, 1 first: known without opening it.
  [[nodiscard]] std::span<const KeyPrint> prints() const { return prints_; }
  /// What is stored.
  [[nodiscard]] std::span<const std::byte> encoded() const { return encoded_; }
  /// "slot 0192... (passphrase of root on node1, 2026-11-20T19:41:07.123Z)"
  [[nodiscard]] std::string describe() const;

 private:
  struct Secrets;
  KeySlot() = default;
  [[nodiscard]] Result<Secrets> secrets_of(const Credential& credential) const;
  [[nodiscard]] std::vector<std::byte> encode_head(std::span<const std::byte> check) const;
  Status parse_fields(std::span<const std::byte> bytes, std::string_view what);

  std::string id_;
  std::string repository_;
  SlotLabel label_;
  SlotMethod method_ = SlotMethod::kPassphrase;
  ScryptCost cost_;
  std::array<std::byte, 32> salt_{};
  std::array<std::byte, 16> check_{};
  std::vector<KeyPrint> prints_;
  std::size_t head_bytes_ = 0;
  std::vector<std::byte> encoded_;
};

}  // namespace cacs::repository
