// Any bytes expand to what they should or are refused; what was compressed comes back. The first two bytes say how.

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "repository/codec/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
  static SegmentCodec codec;
  if (size < 4) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(4);
  const std::size_t length = (std::size_t{data[1]} | std::size_t{data[2]} << 8U) * (1 + std::size_t{data[3]} / 16);
  std::vector<std::byte> out(length);
  static_cast<void>(codec.expand(bytes, static_cast<Codec>(data[0] % 5), out));

  const Compression how{static_cast<Codec>(data[0] % 3), data[1] % 8 - 1};
  std::vector<std::byte> stored;
  const Codec used = codec.compress(bytes, how, stored);
  if (stored.size() > bytes.size()) std::abort();
  out.assign(bytes.size(), std::byte{0});
  if (!codec.expand(stored, used, out).ok()) std::abort();
  if (!bytes.empty() && std::memcmp(out.data(), bytes.data(), out.size()) != 0) std::abort();
  return 0;
}
