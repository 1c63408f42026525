#include "repository/backend/s3_answers.h"

#include <charconv>
#include <ctime>

#include "base/text.h"
#include "repository/backend/s3_xml.h"

namespace cacs::repository {

namespace {

/// A token, id or key longer than this was not made by a store.
constexpr std::size_t kMaxToken = 8192;

Error bad_answer(std::string_view what, std::string_view why) {
  std::string message = "the answer to ";
  message += what;
  message += " was not understood: ";
  message += why;
  return make_error(ErrorCode::kInvalidArgument, std::move(message), "is the endpoint an S3 service?");
}

Result<XmlElement> parse_answer(std::string_view body, std::string_view what, std::string_view root) {
  auto document = parse_xml(body);
  if (!document.ok()) return bad_answer(what, document.error().message);
  if (document->name != root) return bad_answer(what, "its root is <" + printable(document->name, 50) + ">");
  return document;
}

Result<std::string> url_decode(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) {
      return make_error(ErrorCode::kInvalidArgument, "a name has a wrong percent-encoding");
    }
    result += static_cast<char>(value);
    i += 2;
  }
  return result;
}

/// A name of the answer, decoded if `document` says so.
Result<std::string> name_in(const XmlElement& document, std::string_view text) {
  if (text.size() > kMaxToken) return make_error(ErrorCode::kInvalidArgument, "a name is too long");
  if (document.text_of("EncodingType") == "url") return url_decode(text);
  return std::string(text);
}

Result<std::string> bounded(std::string_view text) {
  if (text.size() > kMaxToken) return make_error(ErrorCode::kInvalidArgument, "a token is too long");
  return std::string(text);
}

std::optional<std::chrono::sys_seconds> parse_time(std::string_view text, const char* format) {
  if (text.size() > 64) return std::nullopt;
  tm parts{};
  const std::string terminated(text);
  if (::strptime(terminated.c_str(), format, &parts) == nullptr) return std::nullopt;
  // Other years are no answer of a store, and would not fit in every clock's duration.
  if (parts.tm_year < 70 || parts.tm_year > 200) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

Result<S3ListPage> parse_list_page(std::string_view body) {
  constexpr std::string_view kWhat = "a listing";
  CACS_ASSIGN(const XmlElement document, parse_answer(body, kWhat, "ListBucketResult"));
  S3ListPage page;
  for (const auto& element : document.children) {
    if (element.name != "Contents") continue;
    S3ListEntry entry;
    auto key = name_in(document, element.text_of("Key"));
    if (!key.ok()) return bad_answer(kWhat, key.error().message);
    entry.key = std::move(key).value();
    const std::string_view size = trim(element.text_of("Size"));
    const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), entry.size);
    if (error != std::errc() || end != size.data() + size.size()) return bad_answer(kWhat, "a size is no number");
    page.entries.push_back(std::move(entry));
  }
  if (trim(document.text_of("IsTruncated")) != "true") return page;
  auto next = bounded(document.text_of("NextContinuationToken"));
  if (!next.ok()) return bad_answer(kWhat, next.error().message);
  page.next = std::move(next).value();
  if (page.next.empty()) return bad_answer(kWhat, "it goes on, but does not say where");
  return page;
}

Result<S3UploadPage> parse_upload_page(std::string_view body) {
  constexpr std::string_view kWhat = "a listing of uploads";
  CACS_ASSIGN(const XmlElement document, parse_answer(body, kWhat, "ListMultipartUploadsResult"));
  S3UploadPage page;
  for (const auto& element : document.children) {
    if (element.name != "Upload") continue;
    auto key = name_in(document, element.text_of("Key"));
    auto id = bounded(trim(element.text_of("UploadId")));
    if (!key.ok() || !id.ok()) return bad_answer(kWhat, (key.ok() ? id.error() : key.error()).message);
    if (id->empty()) return bad_answer(kWhat, "an upload has no id");
    page.uploads.push_back(
        {std::move(key).value(), std::move(id).value(), parse_iso_time(trim(element.text_of("Initiated")))});
  }
  if (trim(document.text_of("IsTruncated")) != "true") return page;
  auto next_key = name_in(document, document.text_of("NextKeyMarker"));
  auto next_id = bounded(document.text_of("NextUploadIdMarker"));
  if (!next_key.ok() || !next_id.ok()) return bad_answer(kWhat, "its markers are too long");
  page.next_key = std::move(next_key).value();
  page.next_id = std::move(next_id).value();
  if (page.next_key.empty()) return bad_answer(kWhat, "it goes on, but does not say where");
  return page;
}

Result<std::string> parse_upload_id(std::string_view body) {
  constexpr std::string_view kWhat = "the start of an upload";
  CACS_ASSIGN(const XmlElement document, parse_answer(body, kWhat, "InitiateMultipartUploadResult"));
  auto id = bounded(trim(document.text_of("UploadId")));
  if (!id.ok() || id->empty()) return bad_answer(kWhat, "it has no id, or one that is too long");
  return id;
}

std::optional<S3ErrorDocument> parse_error_document(std::string_view body) {
  const auto document = parse_xml(body);
  if (!document.ok() || document->name != "Error") return std::nullopt;
  S3ErrorDocument error;
  error.code = printable(trim(document->text_of("Code")), 80);
  error.message = printable(trim(document->text_of("Message")));
  error.region = printable(trim(document->text_of("Region")), 80);
  error.endpoint = printable(trim(document->text_of("Endpoint")));
  return error;
}

std::optional<std::chrono::sys_seconds> parse_iso_time(std::string_view text) {
  // Servers write Z, or nothing; all of them mean UTC.
  return parse_time(text, "%Y-%m-%dT%H:%M:%S");
}

std::optional<std::chrono::sys_seconds> parse_http_time(std::string_view text) {
  return parse_time(text, "%a, %d %b %Y %H:%M:%S GMT");
}

}  // namespace cacs::repository
