#include "repository/keys/credential.h"

#include <openssl/crypto.h>

#include <string>

#include "base/io.h"

namespace cacs::repository {

SecretBytes::~SecretBytes() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

Passphrase::Passphrase(std::string_view text) : text_(as_bytes(text)) {}

Result<Passphrase> Passphrase::from(std::string_view text) {
  if (text.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "the passphrase is empty", "type one, or name another source of it");
  }
  if (text.size() > kMaxBytes) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the passphrase is longer than " + std::to_string(kMaxBytes) + " bytes",
                      "for a long random secret use a key file");
  }
  if (text.find('\0') != std::string_view::npos) {
    return make_error(ErrorCode::kInvalidArgument, "the passphrase holds a NUL byte",
                      "it has to be text; for random bytes use a key file");
  }
  return Passphrase(text);
}

}  // namespace cacs::repository
