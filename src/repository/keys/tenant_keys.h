#pragma once

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
class TenantKeys {
 public:
  /// Of an unsealed repository: `salt` (the repository's id) stands in for secrets.
  static TenantKeys unsealed(std::string_view salt);
  /// `secrets`: the tenant's own secret of each generation, numbered from 1.
  TenantKeys(Sealing sealing, std::map<std::uint32_t, SecretKey> secrets);

  [[nodiscard]] Sealing sealing() const { return sealing_; }
  [[nodiscard]] Identity identity() const;
  /// The generation that new objects are sealed under.
  [[nodiscard]] std::uint32_t newest() const;
  /// The key of one object. `kind`: "pack", "document"; `id`: the object's own random bytes. kPermission when the
  /// generation is not among these: the object was sealed under keys that the holder was not given.
  [[nodiscard]] Result<SecretKey> object_key(std::uint32_t generation, std::string_view kind,
                                             std::span<const std::byte> id) const;
  [[nodiscard]] ContentHasher hasher() const;
  /// For keyed chunk boundaries.
  [[nodiscard]] SecretKey chunking_key() const;
  /// What an object named after `subject` is called in the store: 32 hexadecimal digits.
  [[nodiscard]] std::string keyed_name(std::string_view subject) const;

 private:
  Sealing sealing_;
  std::map<std::uint32_t, SecretKey> secrets_;
  SecretKey root_;  ///< that of the first generation, or the salt
};

}  // namespace cacs::repository
