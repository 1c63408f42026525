// Any bytes from a server: the parsers refuse them, or give something within their bounds. What xml_escape made is read
// back as it was.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "repository/backend/s3_answers.h"
#include "repository/backend/s3_xml.h"

namespace {

std::size_t depth_of(const cacs::repository::XmlElement& element) {
  std::size_t deepest = 0;
  for (const auto& child : element.children) deepest = std::max(deepest, depth_of(child));
  return deepest + 1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cacs::repository;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const XmlLimits limits{.bytes = 1U << 16U, .elements = 100, .depth = 5};
  const auto document = parse_xml(input, limits);
  if (document.ok() && (depth_of(*document) > limits.depth || size > limits.bytes)) std::abort();
  const auto page = parse_list_page(input);
  if (page.ok() && page->next.size() > size) std::abort();
  const auto uploads = parse_upload_page(input);
  if (uploads.ok()) {
    for (const auto& upload : uploads->uploads) {
      if (upload.id.empty()) std::abort();
    }
  }
  if (const auto id = parse_upload_id(input); id.ok() && id->empty()) std::abort();
  static_cast<void>(parse_error_document(input));
  static_cast<void>(parse_iso_time(input));
  static_cast<void>(parse_http_time(input));
  // Every text of XML characters goes through a document unchanged.
  std::string text;
  for (const char c : input) text += c >= ' ' && c <= '~' ? c : 'x';
  const auto again = parse_xml("<t>" + xml_escape(text) + "</t>");
  if (!again.ok() || again->text != text) std::abort();
  return 0;
}
