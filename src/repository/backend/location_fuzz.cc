// Any text is a location or an error; a location that was accepted comes out the same when written and read again, and
// what it names is within its bounds.

#include <cstdint>
#include <cstdlib>

#include "repository/backend/location.h"
#include "repository/backend/object_name.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto location = parse_location(text);
  if (!location) {
    if (location.error().message.empty() || location.error().hint.empty()) std::abort();
    return 0;
  }
  if (location->kind == Location::Kind::kS3) {
    if (location->bucket.size() < 3 || !location->path.empty()) std::abort();
    if (!location->prefix.empty() && !check_object_name(location->prefix)) std::abort();
    if (location->endpoint.find('@') != std::string::npos) std::abort();
  } else if (location->path.empty() || location->path.find('\0') != std::string::npos) {
    std::abort();
  }
  const std::string written = format_location(*location);
  if (written.size() > kMaxLocation) return 0;  // percent signs made it too long
  const auto again = parse_location(written);
  if (!again || !(*again == *location)) std::abort();
  return 0;
}
