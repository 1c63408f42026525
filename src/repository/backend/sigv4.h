#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cacs::repository {

/// What a request is signed with. Never part of a message or a log.
struct AwsKeys {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  ///< of temporary keys; empty otherwise
};

/// Name and value, not encoded.
using SigV4Fields = std::vector<std::pair<std::string, std::string>>;

/// The parts of a request that its signature covers. Views live as long as the caller's data.
struct SigV4Request {
  std::string_view method;
  std::string_view path;            ///< as sent: encoded, starts with "/"
  SigV4Fields query;                ///< in any order
  SigV4Fields headers;              ///< in any order and case; "host" and "x-amz-date" are among them
  std::string_view payload_sha256;  ///< lower-case hexadecimal digits
};

enum class Slash { kEncode, kKeep };
/// Percent-encoding as AWS wants it: of everything but A-Z a-z 0-9 - . _ ~ and, where asked for, "/".
std::string uri_encode(std::string_view text, Slash slash);

/// The query as signed, which is also a valid form to send: encoded and sorted.
std::string canonical_query(const SigV4Fields& query);

/// The text whose hash is signed.
std::string canonical_request(const SigV4Request& request);

/// "20130524T000000Z": the value of x-amz-date.
std::string amz_date(std::chrono::sys_seconds time);

/// The value of the Authorization header: AWS Signature Version 4 ("Authenticating Requests (AWS Signature Version 4)"
/// in the S3 API reference). Pure: the time is an argument. libcurl's own (CURLOPT_AWS_SIGV4) is not used: that of
/// Debian 12 signs the query as it stands, neither sorted nor encoded, and takes its own clock.
std::string sigv4_authorization(const SigV4Request& request, const AwsKeys& keys, std::string_view region,
                                std::string_view service, std::chrono::sys_seconds time);

}  // namespace cacs::repository
