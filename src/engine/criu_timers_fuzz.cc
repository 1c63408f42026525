// Any bytes: refused as no image of open files, or mended to one that is as long as its entries say.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/criu_timers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view image(reinterpret_cast<const char*>(data), size);
  const auto mended = cacs::engine::mend_timers(image);
  if (mended && !cacs::engine::mend_timers(*mended)) std::abort();
  return 0;
}
