#include "repository/backend/s3_objects.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/text.h"
#include "repository/backend/s3_xml.h"

namespace cacs::repository {

namespace {

/// Lower-case hexadecimal MD5, as in ETags. Only ever compared with what a store says: it protects against nobody.
std::string md5_hex(std::string_view data) {
  std::array<unsigned char, 16> digest{};
  unsigned length = 0;
  if (EVP_Digest(data.data(), data.size(), digest.data(), &length, EVP_md5(), nullptr) != 1) return {};  // FIPS mode
  std::string text;
  for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

std::string_view unquoted(std::string_view etag) {
  etag = trim(etag);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return etag;
}

/// Whether the ETag is an MD5 (it is not for objects that the store encrypts) and another one than that of `body`.
bool etag_contradicts(std::string_view etag, std::string_view body) {
  etag = unquoted(etag);
  const bool is_md5 = etag.size() == 32 && etag.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!is_md5) return false;
  const std::string ours = md5_hex(body);
  return !ours.empty() && ours != etag;
}

Error damaged_on_the_way(std::string_view doing) {
  return make_error(ErrorCode::kCorrupt, fmt::format("{}: the store's ETag is not the MD5 of what was sent", doing),
                    "check the network between here and the store");
}

SigV4Fields condition_headers(S3Condition condition) {
  if (condition == S3Condition::kAbsent) return {{"If-None-Match", "*"}};
  return {};
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "bytes 5-9/100"
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = parse_number(text.substr(0, dash));
  const auto last = parse_number(text.substr(dash + 1, slash - dash - 1));
  const auto total = parse_number(text.substr(slash + 1));
  if (!first || !last || !total || *first > *last || *last >= *total) return std::nullopt;
  return ContentRange{*first, *last, *total};
}

/// Whether the answer to a ranged GET brought what was asked for.
Status check_range(const net::ClientResponse& answer, std::uint64_t offset, std::size_t wanted, std::size_t got,
                   std::string_view doing) {
  const auto bad = [&](std::string_view why) {
    return make_error(ErrorCode::kIo, fmt::format("{}: {}", doing, why), "the store does not obey Range requests");
  };
  if (answer.status == 200) {
    // The whole object: as good as the range when that begins at its start and the body ended before the range did.
    if (offset == 0) return {};
    return bad("a part was asked for, the whole was sent");
  }
  const auto range = parse_content_range(answer.headers.get("Content-Range"));
  if (!range || range->first != offset) return bad("the answer does not say which bytes it has");
  const std::uint64_t expected = std::min<std::uint64_t>(wanted, range->total - offset);
  if (range->last - range->first + 1 != expected) return bad("the answer has other bytes than those asked for");
  if (got != expected) {
    return make_error(ErrorCode::kUnavailable, fmt::format("{}: {} bytes came instead of {}", doing, got, expected));
  }
  return {};
}

}  // namespace

Status s3_put(S3Client& client, const std::string& key, std::string& body, S3Condition condition, S3Integrity integrity,
              std::string_view doing) {
  S3Request request{.method = "PUT", .key = key, .headers = condition_headers(condition), .body = std::move(body)};
  auto answer = client.call(request, doing);
  body = std::move(request.body);
  if (!answer.ok()) return answer.error();
  if (integrity != S3Integrity::kEtag || !etag_contradicts(answer->headers.get("ETag"), body)) return {};
  const auto removed = s3_remove(client, key, doing);  // visible whole or not at all
  const Error error = damaged_on_the_way(doing);
  return removed.ok() ? error : error.with_context("a damaged object was left: " + removed.error().message);
}

Result<std::size_t> s3_read(S3Client& client, const std::string& key, std::uint64_t offset, std::span<std::byte> out,
                            std::string_view doing) {
  constexpr std::uint64_t kLargest = std::uint64_t{1} << 60U;
  if (offset >= kLargest) {
    CACS_TRY(s3_head(client, key, doing));
    return std::size_t{0};
  }
  S3Request request{.key = key, .headers = {{"Range", fmt::format("bytes={}-{}", offset, offset + out.size() - 1)}}};
  std::size_t got = 0;
  const net::OnData fill = [&](std::string_view data) {
    const std::size_t count = std::min(data.size(), out.size() - got);
    std::memcpy(out.data() + got, data.data(), count);
    got += count;
    return count == data.size();
  };
  CACS_ASSIGN(const auto answer, client.send(request, doing, &fill));
  if (answer.status == 416) return std::size_t{0};
  if (!is_success(answer)) return client.failure(answer, doing);
  CACS_TRY(check_range(answer, offset, out.size(), got, doing));
  return got;
}

Result<S3Head> s3_head(S3Client& client, const std::string& key, std::string_view doing) {
  S3Request request{.method = "HEAD", .key = key};
  CACS_ASSIGN(const auto answer, client.send(request, doing));
  if (!is_success(answer)) {
    // The answer to HEAD has no body: a missing object cannot be told from a missing bucket.
    S3Request reason{.key = key, .headers = {{"Range", "bytes=0-0"}}};
    CACS_ASSIGN(const auto told, client.send(reason, doing));
    if (told.status < 300 || told.status == 416) {
      return make_error(ErrorCode::kUnavailable, fmt::format("{}: it has just appeared", doing));
    }
    return client.failure(told, doing);
  }
  const auto size = parse_number(answer.headers.get("Content-Length"));
  if (!size) return make_error(ErrorCode::kIo, fmt::format("{}: the answer has no Content-Length", doing));
  return S3Head{*size, parse_http_time(answer.headers.get("Last-Modified"))};
}

Status s3_remove(S3Client& client, const std::string& key, std::string_view doing) {
  CACS_TRY(client.call({.method = "DELETE", .key = key}, doing));
  return {};
}

Result<S3ListPage> s3_list(S3Client& client, const std::string& prefix, const std::string& token,
                           std::string_view doing, std::size_t max_keys) {
  S3Request request{
      .query = {
          {"list-type", "2"}, {"prefix", prefix}, {"encoding-type", "url"}, {"max-keys", std::to_string(max_keys)}}};
  if (!token.empty()) request.query.emplace_back("continuation-token", token);
  CACS_ASSIGN(const auto answer, client.call(request, doing));
  auto page = parse_list_page(answer.body);
  if (!page.ok()) return page.error().with_context(doing);
  if (!token.empty() && page->next == token) {
    return make_error(ErrorCode::kIo, fmt::format("{}: the listing goes round in a circle", doing));
  }
  return page;
}

Result<std::string> s3_begin_upload(S3Client& client, const std::string& key, std::string_view doing) {
  CACS_ASSIGN(const auto answer, client.call({.method = "POST", .key = key, .query = {{"uploads", ""}}}, doing));
  auto id = parse_upload_id(answer.body);
  if (!id.ok()) return id.error().with_context(doing);
  client.upload_begins(*id);
  return id;
}

Result<std::string> s3_upload_part(S3Client& client, const std::string& key, const std::string& id, std::size_t number,
                                   std::string& body, S3Integrity integrity, std::string_view doing) {
  S3Request request{.method = "PUT",
                    .key = key,
                    .query = {{"partNumber", std::to_string(number)}, {"uploadId", id}},
                    .body = std::move(body)};
  auto answer = client.call(request, doing);
  body = std::move(request.body);
  if (!answer.ok()) return answer.error();
  const std::string etag(trim(answer->headers.get("ETag")));
  if (etag.empty() || etag.size() > 1024) {
    return make_error(ErrorCode::kIo, fmt::format("{}: the answer has no ETag", doing));
  }
  if (integrity == S3Integrity::kEtag && etag_contradicts(etag, body)) return damaged_on_the_way(doing);
  return etag;
}

Status s3_complete_upload(S3Client& client, const std::string& key, const std::string& id,
                          const std::vector<std::string>& etags, S3Condition condition, std::string_view doing) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t i = 0; i < etags.size(); ++i) {
    body += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, xml_escape(etags[i]));
  }
  body += "</CompleteMultipartUpload>";
  CACS_ASSIGN(auto answer, client.call({.method = "POST",
                                        .key = key,
                                        .query = {{"uploadId", id}},
                                        .headers = condition_headers(condition),
                                        .body = std::move(body)},
                                       doing));
  // The status is sent before the work is done, so that a failure comes with 200 too.
  const auto document = parse_xml(answer.body);
  if (document.ok() && document->name == "CompleteMultipartUploadResult") return {};
  if (document.ok() && document->name == "Error") {
    answer.status = 500;
    return client.failure(answer, doing);
  }
  return make_error(ErrorCode::kUnavailable, fmt::format("{}: the answer says neither success nor failure", doing));
}

Status s3_abort_upload(S3Client& client, const std::string& key, const std::string& id, std::string_view doing) {
  S3Request request{.method = "DELETE", .key = key, .query = {{"uploadId", id}}};
  CACS_ASSIGN(const auto answer, client.send(request, doing));
  if (is_success(answer)) return {};
  const S3Failure failure = read_failure(answer.status, answer.headers, answer.body);
  if (failure.status == 404 && failure.code != "NoSuchBucket" && !failure.foreign) return {};
  return client.failure(answer, doing);
}

Result<S3UploadsNow> s3_list_uploads(S3Client& client, const std::string& prefix, const std::string& key_marker,
                                     const std::string& id_marker, std::string_view doing) {
  S3Request request{.query = {{"uploads", ""}, {"prefix", prefix}, {"encoding-type", "url"}}};
  if (!key_marker.empty()) request.query.emplace_back("key-marker", key_marker);
  if (!id_marker.empty()) request.query.emplace_back("upload-id-marker", id_marker);
  CACS_ASSIGN(const auto answer, client.call(request, doing));
  auto page = parse_upload_page(answer.body);
  if (!page.ok()) return page.error().with_context(doing);
  if (!key_marker.empty() && page->next_key == key_marker && page->next_id == id_marker) {
    return make_error(ErrorCode::kIo, fmt::format("{}: the listing goes round in a circle", doing));
  }
  return S3UploadsNow{std::move(page).value(), parse_http_time(answer.headers.get("Date"))};
}

}  // namespace cacs::repository
