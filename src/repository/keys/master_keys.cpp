#include "repository/keys/master_keys.h"

#include <string>
#include <utility>

#include "base/io.h"
#include "repository/keys/derivation.h"

namespace cacs::repository {

MasterKeys::MasterKeys(std::vector<SecretKey> generations) : generations_(std::move(generations)) {}

MasterKeys MasterKeys::random() { return MasterKeys({SecretKey::random()}); }

Result<MasterKeys> MasterKeys::from(std::vector<SecretKey> generations) {
  if (generations.empty() || generations.size() > kMaxGenerations) {
    return make_error(ErrorCode::kInvalidArgument, "a repository has 1 to " + std::to_string(kMaxGenerations) +
                                                       " generations of keys, not " +
                                                       std::to_string(generations.size()));
  }
  return MasterKeys(std::move(generations));
}

std::vector<KeyPrint> MasterKeys::prints() const {
  std::vector<KeyPrint> prints(generations_.size());
  for (std::size_t i = 0; i < prints.size(); ++i)
    hkdf_sha256(generations_[i].bytes(), {}, as_bytes("cacs key print"), prints[i]);
  return prints;
}

Result<MasterKeys> MasterKeys::rotated() const {
  if (generations_.size() >= kMaxGenerations) {
    return make_error(ErrorCode::kTooLarge,
                      "rotate the repository's keys: there are " + std::to_string(kMaxGenerations) +
                          " generations, and no more are possible",
                      "copy what is to be kept to a new repository");
  }
  std::vector<SecretKey> generations = generations_;
  generations.push_back(SecretKey::random());
  return MasterKeys(std::move(generations));
}

std::map<std::uint32_t, SecretKey> MasterKeys::tenant_secrets(std::string_view tenant) const {
  const std::string info = "cacs tenant " + std::string(tenant);
  std::map<std::uint32_t, SecretKey> secrets;
  for (std::uint32_t i = 0; i < generations_.size(); ++i) secrets.emplace(i + 1, derive_key(generations_[i], info));
  return secrets;
}

TenantKeys MasterKeys::tenant(Sealing sealing, std::string_view tenant) const {
  return {sealing, tenant_secrets(tenant)};
}

Result<SecretKey> MasterKeys::repository_key(std::uint32_t generation, std::string_view purpose) const {
  if (generation < 1 || generation > newest()) {
    return make_error(ErrorCode::kPermission,
                      "generation " + std::to_string(generation) +
                          " of the repository's keys is not known here, only 1 to " + std::to_string(newest()),
                      "unlock the repository with a passphrase or key file whose slot is current");
  }
  return derive_key(generations_[generation - 1], "cacs repository " + std::string(purpose));
}

}  // namespace cacs::repository
