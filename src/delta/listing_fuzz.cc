// Any bytes: the parsers refuse them, or give something valid that is written back to something they read the same.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "delta/baseline.h"
#include "delta/listing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto listing = cacs::delta::parse_listing(input);
  if (listing.ok()) {
    const auto again = cacs::delta::parse_listing(cacs::delta::serialise(*listing));
    if (!again.ok() || *again != *listing) std::abort();
  }
  const auto baseline = cacs::delta::parse_baseline(input);
  if (baseline.ok() && !cacs::delta::parse_baseline(cacs::delta::serialise(*baseline)).ok()) std::abort();
  return 0;
}
