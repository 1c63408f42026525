#include "repository/keys/tenant_keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "base/io.h"
#include "repository/keys/derivation.h"
#include "repository/keys/evp.h"
#include "repository/keys/hmac.h"

namespace cacs::repository {

TenantKeys TenantKeys::unsealed(std::string_view salt) {
  TenantKeys keys;
  std::array<std::byte, SecretKey::kBytes> root{};
  hkdf_sha256(as_bytes(salt), {}, as_bytes("cacs unsealed"), root);
  keys.root_ = SecretKey(root);
  return keys;
}

TenantKeys::TenantKeys(Sealing sealing, std::map<std::uint32_t, SecretKey> secrets)
    : sealing_(sealing), secrets_(std::move(secrets)) {
  const auto first = secrets_.find(1);
  evp::must(first != secrets_.end());
  root_ = first->second;
}

Identity TenantKeys::identity() const {
  return sealing_ == Sealing::kNone ? Identity::kHmacSha256 : Identity::kAesGmac;
}

std::uint32_t TenantKeys::newest() const { return secrets_.empty() ? 0 : secrets_.rbegin()->first; }

Result<SecretKey> TenantKeys::object_key(std::uint32_t generation, std::string_view kind,
                                         std::span<const std::byte> id) const {
  if (secrets_.empty() && generation == 0) return SecretKey();
  const auto secret = secrets_.find(generation);
  if (secret == secrets_.end()) {
    return make_error(ErrorCode::kPermission,
                      "open an object (" + std::string(kind) + "): it was sealed under generation " +
                          std::to_string(generation) + " of the repository's keys, of which generations up to " +
                          std::to_string(newest()) + " are known here",
                      "the keys were rotated meanwhile, or its key slot is stale: unlock the repository with a "
                      "passphrase or key file whose slot is current");
  }
  // HMAC pads its key, which the salt is, with zeros: the length keeps ids apart that differ in zeros at their ends.
  const std::string info = "cacs object " + std::string(kind) + " " + std::to_string(id.size());
  return derive_key(secret->second, info, id);
}

ContentHasher TenantKeys::hasher() const { return {identity(), derive_key(root_, "cacs content id")}; }

SecretKey TenantKeys::chunking_key() const { return derive_key(root_, "cacs chunk boundaries"); }

std::string TenantKeys::keyed_name(std::string_view subject) const {
  const SecretKey key = derive_key(root_, "cacs names");
  const auto digest = HmacSha256(key.bytes())(as_bytes(subject));
  ContentId name;
  std::ranges::copy(std::span(digest).first<16>(), name.bytes.begin());
  return name.to_hex();
}

}  // namespace cacs::repository
