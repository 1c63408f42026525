#include "repository/keys/hmac.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "repository/keys/evp.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kBlockBytes = 64;

}  // namespace

struct HmacSha256::State {
  evp::Md hash{EVP_MD_fetch(nullptr, "SHA256", nullptr)};
  evp::MdContext inner{EVP_MD_CTX_new()};
  evp::MdContext outer{EVP_MD_CTX_new()};
  evp::MdContext work{EVP_MD_CTX_new()};

  void start(EVP_MD_CTX* context, std::span<const std::byte> block) const {
    evp::must(context != nullptr && hash != nullptr);
    evp::must(EVP_DigestInit_ex2(context, hash.get(), nullptr) == 1);
    evp::must(EVP_DigestUpdate(context, block.data(), block.size()) == 1);
  }

  void run(const EVP_MD_CTX* from, std::span<const std::byte> message, std::span<std::byte, kBytes> out) {
    unsigned length = 0;
    evp::must(EVP_MD_CTX_copy_ex(work.get(), from) == 1);
    evp::must(EVP_DigestUpdate(work.get(), message.data(), message.size()) == 1);
    evp::must(EVP_DigestFinal_ex(work.get(), evp::data(out), &length) == 1 && length == out.size());
  }
};

HmacSha256::HmacSha256(std::span<const std::byte> key) : state_(std::make_unique<State>()) {
  std::array<std::byte, kBlockBytes> block{};
  if (key.size() <= block.size()) {
    std::ranges::copy(key, block.begin());
  } else {
    unsigned length = 0;
    evp::must(EVP_Digest(key.data(), key.size(), evp::data(std::span(block)), &length, state_->hash.get(), nullptr) ==
              1);
  }
  constexpr std::byte kInnerPad{0x36};
  constexpr std::byte kOuterPad{0x5c};
  for (std::byte& byte : block) byte ^= kInnerPad;
  state_->start(state_->inner.get(), block);
  for (std::byte& byte : block) byte ^= kInnerPad ^ kOuterPad;
  state_->start(state_->outer.get(), block);
  OPENSSL_cleanse(block.data(), block.size());
  evp::must(state_->work != nullptr);
}

HmacSha256::~HmacSha256() = default;
HmacSha256::HmacSha256(HmacSha256&&) noexcept = default;
HmacSha256& HmacSha256::operator=(HmacSha256&&) noexcept = default;

std::array<std::byte, HmacSha256::kBytes> HmacSha256::operator()(std::span<const std::byte> message) {
  std::array<std::byte, kBytes> digest{};
  state_->run(state_->inner.get(), message, digest);
  state_->run(state_->outer.get(), digest, digest);
  return digest;
}

}  // namespace cacs::repository
