#pragma once

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>

/// OpenSSL's objects as values that free themselves. For the sources of this folder.
namespace cacs::repository::evp {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using Cipher = std::unique_ptr<EVP_CIPHER, Free<EVP_CIPHER_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Free<EVP_CIPHER_CTX_free>>;
using Md = std::unique_ptr<EVP_MD, Free<EVP_MD_free>>;
using MdContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using Kdf = std::unique_ptr<EVP_KDF, Free<EVP_KDF_free>>;
using KdfContext = std::unique_ptr<EVP_KDF_CTX, Free<EVP_KDF_CTX_free>>;

/// For calls that fail only when memory is exhausted or the call itself is wrong: nothing sensible goes on without
/// them, and to go on would mean to store what nobody sealed.
inline void must(bool succeeded) {
  if (!succeeded) std::abort();
}

template <std::size_t kSize>
const unsigned char* data(std::span<const std::byte, kSize> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
template <std::size_t kSize>
unsigned char* data(std::span<std::byte, kSize> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

/// OpenSSL counts in int: calls `take` for pieces that fit. Whether all of them succeeded.
template <typename Take>
bool in_pieces(std::span<const std::byte> bytes, Take take) {
  constexpr std::size_t kPiece = std::size_t{1} << 30U;
  while (bytes.size() > kPiece) {
    if (!take(bytes.first(kPiece))) return false;
    bytes = bytes.subspan(kPiece);
  }
  return bytes.empty() || take(bytes);
}

}  // namespace cacs::repository::evp
