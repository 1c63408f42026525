#include "repository/backend/sigv4.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/hash.h"
#include "base/text.h"

namespace cacs::repository {

namespace {

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

/// A header's value as signed: trimmed, runs of spaces made one.
std::string collapsed(std::string_view value) {
  std::string result;
  for (const char c : trim(value)) {
    if (c != ' ' || !result.ends_with(' ')) result += c;
  }
  return result;
}

SigV4Fields canonical_headers(const SigV4Fields& headers) {
  SigV4Fields fields;
  for (const auto& [name, value] : headers) fields.emplace_back(lower(name), collapsed(value));
  std::ranges::stable_sort(fields, {}, [](const auto& field) -> const std::string& { return field.first; });
  return fields;
}

std::string names_of(const SigV4Fields& sorted) {
  std::string names;
  for (const auto& [name, value] : sorted) {
    if (!names.empty()) names += ';';
    names += name;
  }
  return names;
}

Digest hmac(std::string_view key, std::string_view text) {
  Digest digest;
  unsigned length = 0;
  // Only memory exhaustion can fail here, and nothing sensible goes on without it.
  if (::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.bytes.data(),
             &length) == nullptr) {
    std::abort();
  }
  return digest;
}

std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

}  // namespace

std::string uri_encode(std::string_view text, Slash slash) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (is_unreserved(c) || (c == '/' && slash == Slash::kKeep)) {
      result += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    result += '%';
    result += kHex[byte >> 4U];
    result += kHex[byte & 15U];
  }
  return result;
}

std::string canonical_query(const SigV4Fields& query) {
  SigV4Fields fields;
  for (const auto& [name, value] : query) {
    fields.emplace_back(uri_encode(name, Slash::kEncode), uri_encode(value, Slash::kEncode));
  }
  std::ranges::sort(fields);
  std::string text;
  for (const auto& [name, value] : fields) {
    if (!text.empty()) text += '&';
    text += name;
    text += '=';
    text += value;
  }
  return text;
}

std::string canonical_request(const SigV4Request& request) {
  const SigV4Fields headers = canonical_headers(request.headers);
  std::string text = fmt::format("{}\n{}\n{}\n", request.method, request.path, canonical_query(request.query));
  for (const auto& [name, value] : headers) {
    text += name;
    text += ':';
    text += value;
    text += '\n';
  }
  text += '\n';
  text += names_of(headers);
  text += '\n';
  text += request.payload_sha256;
  return text;
}

std::string amz_date(std::chrono::sys_seconds time) {
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::string sigv4_authorization(const SigV4Request& request, const AwsKeys& keys, std::string_view region,
                                std::string_view service, std::chrono::sys_seconds time) {
  const std::string date_time = amz_date(time);
  const std::string date = date_time.substr(0, 8);
  const std::string scope = fmt::format("{}/{}/{}/aws4_request", date, region, service);
  const std::string to_sign =
      fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", date_time, scope, sha256(canonical_request(request)).to_hex());
  Digest key = hmac("AWS4" + keys.secret_key, date);
  for (const std::string_view part : {region, service, std::string_view("aws4_request")}) key = hmac(view(key), part);
  return fmt::format("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}", keys.access_key, scope,
                     names_of(canonical_headers(request.headers)), hmac(view(key), to_sign).to_hex());
}

}  // namespace cacs::repository
