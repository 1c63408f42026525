#include "repository/keys/derivation.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <array>
#include <bit>
#include <string>

#include "repository/keys/evp.h"

namespace cacs::repository {

namespace {

OSSL_PARAM octets(const char* name, std::span<const std::byte> bytes) {
  // OpenSSL does not write through it, and takes no null pointer even where there is nothing to read.
  static constexpr std::byte kNothing{};
  const std::byte* start = bytes.empty() ? &kNothing : bytes.data();
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::byte*>(start), bytes.size());
}

evp::KdfContext kdf_context(const char* name) {
  const evp::Kdf kdf(EVP_KDF_fetch(nullptr, name, nullptr));
  evp::must(kdf != nullptr);
  evp::KdfContext context(EVP_KDF_CTX_new(kdf.get()));
  evp::must(context != nullptr);
  return context;
}

}  // namespace

void hkdf_sha256(std::span<const std::byte> secret, std::span<const std::byte> salt, std::span<const std::byte> info,
                 std::span<std::byte> out) {
  std::string hash = "SHA256";
  const std::array<OSSL_PARAM, 5> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash.data(), hash.size()),
      octets(OSSL_KDF_PARAM_KEY, secret), octets(OSSL_KDF_PARAM_SALT, salt), octets(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end()};
  const evp::KdfContext context = kdf_context("HKDF");
  evp::must(EVP_KDF_derive(context.get(), evp::data(out), out.size(), parameters.data()) == 1);
}

Status check_cost(const ScryptCost& cost) {
  const bool possible = cost.n >= 2 && std::has_single_bit(cost.n) && cost.r >= 1 && cost.p >= 1;
  const bool bounded = cost.n <= kMaxScryptN && cost.r <= kMaxScryptR && cost.p <= kMaxScryptP &&
                       std::uint64_t{128} * cost.n * cost.r <= kMaxScryptBytes;
  if (possible && bounded) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    "scrypt with n=" + std::to_string(cost.n) + ", r=" + std::to_string(cost.r) +
                        ", p=" + std::to_string(cost.p) + " is not done",
                    "n is a power of two of at most 2^20, r at most 32, p at most 16, and 128*n*r at most 1 GiB");
}

Status scrypt(std::span<const std::byte> passphrase, std::span<const std::byte> salt, const ScryptCost& cost,
              std::span<std::byte> out) {
  CACS_TRY(check_cost(cost));
  std::uint64_t n = cost.n;
  std::uint32_t r = cost.r;
  std::uint32_t p = cost.p;
  constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20U;
  std::uint64_t memory = kMaxScryptBytes + kMebibyte;  // the blocks besides the large table: 128 * r * (p + 2) bytes
  const std::array<OSSL_PARAM, 7> parameters{octets(OSSL_KDF_PARAM_PASSWORD, passphrase),
                                             octets(OSSL_KDF_PARAM_SALT, salt),
                                             OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
                                             OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
                                             OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
                                             OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
                                             OSSL_PARAM_construct_end()};
  const evp::KdfContext context = kdf_context("SCRYPT");
  if (EVP_KDF_derive(context.get(), evp::data(out), out.size(), parameters.data()) == 1) return {};
  ERR_clear_error();
  return make_error(ErrorCode::kUnavailable,
                    "derive a key from a passphrase: there is not the memory for it (" +
                        std::to_string(std::uint64_t{128} * n * r / kMebibyte) + " MiB)",
                    "free memory, or raise the limit of this process");
}

}  // namespace cacs::repository
