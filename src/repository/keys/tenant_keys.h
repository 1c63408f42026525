#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "repository/keys/sealing.h"

namespace cacs::repository {

/// The keys of one tenant of one repository: what an agent holds, in memory, for what it runs. Everything is derived:
/// nothing of another tenant, and not the repository's master key, can be found from it. Immutable; any thread.
///
/// Generations: a rotation of keys adds one. What is stored is sealed under the newest, and names the one it was sealed
/// under; older ones stay for reading. Ids, chunk boundaries and names come from the first generation for ever, so that
/// deduplication outlives a rotation.
///
/// What is derived is HKDF-SHA-256 of a tenant's secret, 32 bytes, with these infos:
///
///   of its generation's secret:  "cacs object KIND LENGTH", the object's id of LENGTH bytes as salt: the object's key
///   of the first one's, without  "cacs content id": key of the content hasher
///   a salt:                      "cacs chunk boundaries": chunking_key()
///                                "cacs names": key of keyed_name(), HMAC-SHA-256 cut to 16 bytes
///
/// An unsealed repository has for the first one's secret HKDF of its salt with "cacs unsealed".
class TenantKeys {
 public:
  /// Of an unsealed repository: `salt` (the repository's id) stands in for secrets.
  static TenantKeys unsealed(std::string_view salt);
  /// `secrets`: the tenant's own secret of each generation, numbered from 1, which has to be there. With Sealing::kNone
  /// ids and names are keyed by it all the same.
  TenantKeys(Sealing sealing, std::map<std::uint32_t, SecretKey> secrets);

  [[nodiscard]] Sealing sealing() const { return sealing_; }
  /// kHmacSha256 with Sealing::kNone, otherwise kAesGmac, whose ids must not be shown together with the contents.
  [[nodiscard]] Identity identity() const;
  /// The generation that new objects are sealed under; 0 in an unsealed repository.
  [[nodiscard]] std::uint32_t newest() const;
  /// The key of one object. `kind`: "pack", "document"; `id`: the object's own random bytes, fresh whenever one is
  /// written, also in the place of an older one of the same name (a pack that was rewritten): parts of two contents
  /// with the same number under the same key would give each other away, and the key of the seal with them. kPermission
  /// when the generation is not among these: the object was sealed under keys that the holder was not given. Of an
  /// unsealed repository: zeros, for generation 0.
  [[nodiscard]] Result<SecretKey> object_key(std::uint32_t generation, std::string_view kind,
                                             std::span<const std::byte> id) const;
  [[nodiscard]] ContentHasher hasher() const;
  /// For keyed chunk boundaries.
  [[nodiscard]] SecretKey chunking_key() const;
  /// What an object named after `subject` is called in the store: 32 hexadecimal digits, which tell one who does not
  /// have the keys nothing but whether two subjects are the same.
  [[nodiscard]] std::string keyed_name(std::string_view subject) const;

 private:
  TenantKeys() = default;
  Sealing sealing_ = Sealing::kNone;
  std::map<std::uint32_t, SecretKey> secrets_;
  SecretKey root_;  ///< that of the first generation, or the salt
};

}  // namespace cacs::repository
