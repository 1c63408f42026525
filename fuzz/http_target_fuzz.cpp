// Request targets from hostile bytes: never a crash, and what is taken holds what the header promises.

#include <cstdint>
#include <cstdlib>

#include "net/http_target.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cacs::net;
  const std::string text(data, data + size);
  const auto target = parse_target(text);
  if (!target.ok()) {
    require(!target.error().message.empty());
    return 0;
  }
  std::string again = "/";
  for (std::size_t i = 0; i < target->segments.size(); ++i) {
    const std::string& segment = target->segments[i];
    require(is_utf8(segment) && segment != "." && segment != "..");
    again += (i == 0 ? "" : "/") + percent_encode(segment);
  }
  for (std::size_t i = 0; i < target->query.size(); ++i) {
    const auto& [name, value] = target->query[i];
    again += (i == 0 ? "?" : "&") + percent_encode(name) + "=" + percent_encode(value);
  }
  // An empty segment at the end goes as a trailing slash does; everything else comes back the same.
  const auto reparsed = parse_target(again);
  require(reparsed.ok());
  require(reparsed->query == target->query);
  require(reparsed->segments == target->segments || (!target->segments.empty() && target->segments.back().empty()));
  return 0;
}
