#include "net/certificates.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "base/io.h"

namespace cacs::net {
namespace {

/// Clocks of machines differ; a certificate that is not valid yet would be refused.
constexpr long kBackdate = 24L * 3600;
/// Jobs run for weeks and nobody is there to renew: the life of a certificate is that of the state it belongs to.
constexpr long kLife = 20L * 365 * 24 * 3600;
constexpr std::size_t kMaxName = 63;

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;

Error failed(const std::string& doing) {
  std::array<char, 200> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return make_error(ErrorCode::kInternal, fmt::format("{}: {}", doing, text.data()));
}

/// A DNS label: what may stand in a certificate and be asked for in one.
Status check_name(const std::string& name) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (!name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, fits)) return {};
  return make_error(ErrorCode::kInvalidArgument, "'" + name + "' cannot be the name in a certificate",
                    "use small letters, digits and '-', at most 63 of them");
}

Result<std::string> to_text(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  if (size <= 0) return failed("write PEM");
  return std::string(data, static_cast<std::size_t>(size));
}

Result<Key> read_key(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key) return failed("read a private key");
  return key;
}

Result<X509Ptr> read_certificate(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) return failed("read a certificate");
  return certificate;
}

Status add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) return failed("add " + value);
  return {};
}

/// What is the same in all of them. Nothing is left to a serial file: 127 random bits are unique.
Result<X509Ptr> begin_certificate(EVP_PKEY* key, const std::string& name) {
  X509Ptr certificate(X509_new());
  std::array<unsigned char, 16> serial{};
  if (!certificate || RAND_bytes(serial.data(), serial.size()) != 1) return failed("begin a certificate");
  serial[0] &= 0x7fU;
  const std::unique_ptr<BIGNUM, Freed<BN_free>> number(BN_bin2bn(serial.data(), serial.size(), nullptr));
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  const auto* const text = reinterpret_cast<const unsigned char*>(name.c_str());
  const bool done = X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                    BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
                    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kBackdate) != nullptr &&
                    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kLife) != nullptr &&
                    X509_set_pubkey(certificate.get(), key) == 1 &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1;
  if (!done) return failed("begin a certificate");
  return certificate;
}

Result<Certificate> sign(X509* certificate, EVP_PKEY* own_key, EVP_PKEY* signer) {
  if (X509_sign(certificate, signer, EVP_sha256()) == 0) return failed("sign a certificate");
  const Bio text(BIO_new(BIO_s_mem()));
  const Bio secret(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(text.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(secret.get(), own_key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return failed("write a certificate");
  }
  Certificate made;
  CACS_ASSIGN(made.certificate, to_text(text));
  CACS_ASSIGN(made.key, to_text(secret));
  return made;
}

Result<Key> make_key() {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return failed("make a key");
  return key;
}

}  // namespace

Result<Certificate> make_authority(const std::string& name) {
  CACS_ASSIGN(const Key key, make_key());
  CACS_ASSIGN(const X509Ptr made, begin_certificate(key.get(), name));
  X509_set_issuer_name(made.get(), X509_get_subject_name(made.get()));
  CACS_TRY(add_extension(made.get(), made.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  CACS_TRY(add_extension(made.get(), made.get(), NID_key_usage, "critical,keyCertSign"));
  CACS_TRY(add_extension(made.get(), made.get(), NID_subject_key_identifier, "hash"));
  return sign(made.get(), key.get(), key.get());
}

Result<Certificate> issue_certificate(const Certificate& authority, const std::string& name) {
  CACS_TRY(check_name(name));
  CACS_ASSIGN(const X509Ptr issuer, read_certificate(authority.certificate));
  CACS_ASSIGN(const Key signer, read_key(authority.key));
  CACS_ASSIGN(const Key key, make_key());
  CACS_ASSIGN(const X509Ptr made, begin_certificate(key.get(), name));
  X509_set_issuer_name(made.get(), X509_get_subject_name(issuer.get()));
  CACS_TRY(add_extension(made.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  CACS_TRY(add_extension(made.get(), issuer.get(), NID_key_usage, "critical,digitalSignature"));
  CACS_TRY(add_extension(made.get(), issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  CACS_TRY(add_extension(made.get(), issuer.get(), NID_subject_alt_name, "DNS:" + name));
  CACS_TRY(add_extension(made.get(), issuer.get(), NID_subject_key_identifier, "hash"));
  CACS_TRY(add_extension(made.get(), issuer.get(), NID_authority_key_identifier, "keyid"));
  return sign(made.get(), key.get(), signer.get());
}

TlsFiles tls_files(const std::filesystem::path& directory) {
  return {.authority = directory / "authority.pem",
          .certificate = directory / "certificate.pem",
          .key = directory / "certificate.key"};
}

Status write_tls_files(const std::filesystem::path& directory, const Certificate& authority, const std::string& name) {
  CACS_ASSIGN(const Certificate made, issue_certificate(authority, name));
  CACS_TRY(make_directories(directory, 0700));
  const TlsFiles files = tls_files(directory);
  CACS_TRY(write_file_durably(files.key, made.key));
  CACS_TRY(write_file_durably(files.certificate, made.certificate));
  // Last: whose authority is there has a key and a certificate that go together.
  return write_file_durably(files.authority, authority.certificate);
}

Result<Certificate> open_authority(const std::filesystem::path& directory, const std::string& name) {
  const auto certificate_path = directory / "authority.pem";
  const auto key_path = directory / "authority.key";
  auto certificate = read_text_file(certificate_path);
  // The certificate is written last: where it is, both are.
  if (certificate.ok()) {
    CACS_ASSIGN(std::string key, read_text_file(key_path));
    return Certificate{.certificate = *std::move(certificate), .key = std::move(key)};
  }
  if (certificate.error().code != ErrorCode::kNotFound) return certificate.error();
  CACS_ASSIGN(Certificate made, make_authority(name));
  CACS_TRY(make_directories(directory, 0700));
  CACS_TRY(write_file_durably(key_path, made.key));
  CACS_TRY(write_file_durably(certificate_path, made.certificate));
  return made;
}

}  // namespace cacs::net
