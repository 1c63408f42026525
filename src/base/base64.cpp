#include "base/base64.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>

namespace cacs {

namespace {

std::array<signed char, 256> base64_values() {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<signed char, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values.at(static_cast<unsigned char>(kAlphabet[i])) = static_cast<signed char>(i);
  }
  return values;
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

Result<std::string> base64_decode(std::string_view text) {
  static const auto kValues = base64_values();
  const Error bad = make_error(ErrorCode::kInvalidArgument, "this is not base64 (RFC 4648, with padding)");
  if (text.size() % 4 != 0) return bad;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool padded = i + padding >= text.size();
    const int value = padded ? 0 : kValues.at(static_cast<unsigned char>(text[i]));
    if (value < 0) return bad;
    bits = (bits << 6U) | static_cast<std::uint32_t>(value);
    if (i % 4 != 3) continue;
    out += static_cast<char>((bits >> 16U) & 0xffU);
    out += static_cast<char>((bits >> 8U) & 0xffU);
    out += static_cast<char>(bits & 0xffU);
    bits = 0;
  }
  for (std::size_t i = 0; i < padding; ++i) out.pop_back();
  return out;
}

}  // namespace cacs
