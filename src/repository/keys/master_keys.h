#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "repository/keys/sealing.h"
#include "repository/keys/tenant_keys.h"

namespace cacs::repository {

/// Tells the key of a generation from others without telling the key: 8 bytes of HKDF with info "cacs key print".
using KeyPrint = std::array<std::byte, 8>;

/// The master keys of a repository: from these every other key follows. They lie in the repository in key slots only
/// (key_slot.h), and in the memory of whoever unlocked it; agents get TenantKeys instead. Immutable; any thread.
class MasterKeys {
 public:
  /// A rotation a day would take three years to get there.
  static constexpr std::size_t kMaxGenerations = 1024;

  /// Those of a new repository: one generation.
  static MasterKeys random();
  /// Generation 1 first. kInvalidArgument for none, or more than kMaxGenerations.
  static Result<MasterKeys> from(std::vector<SecretKey> generations);

  /// Generations are numbered from 1.
  [[nodiscard]] std::uint32_t newest() const { return static_cast<std::uint32_t>(generations_.size()); }
  [[nodiscard]] std::span<const SecretKey> generations() const { return generations_; }
  [[nodiscard]] std::vector<KeyPrint> prints() const;
  /// These and one generation more; kTooLarge after kMaxGenerations.
  [[nodiscard]] Result<MasterKeys> rotated() const;

  /// The tenant's secret of each generation, as TenantKeys takes them: derive_key(generation, "cacs tenant " + tenant).
  [[nodiscard]] std::map<std::uint32_t, SecretKey> tenant_secrets(std::string_view tenant) const;
  [[nodiscard]] TenantKeys tenant(Sealing sealing, std::string_view tenant) const;
  /// For what belongs to no tenant: derive_key(generation, "cacs repository " + purpose). kPermission for a generation
  /// that is not among these.
  [[nodiscard]] Result<SecretKey> repository_key(std::uint32_t generation, std::string_view purpose) const;

 private:
  explicit MasterKeys(std::vector<SecretKey> generations);
  std::vector<SecretKey> generations_;
};

}  // namespace cacs::repository
