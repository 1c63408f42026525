#include "repository/backend/s3_metadata.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "net/http_client.h"
#include "repository/backend/s3_answers.h"

namespace cacs::repository {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxAnswer = std::size_t{64} << 10U;

/// Scheme, host and port of a URL, and what follows.
struct Place {
  std::string base;
  std::string target;
  std::string host;  ///< without port
};

Result<Place> parse_place(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const bool known = url.starts_with("http://") || url.starts_with("https://");
  if (!known || url.find_first_of(" \r\n") != std::string::npos) {
    return make_error(ErrorCode::kInvalidArgument, "'" + printable(url) + "' is no http:// or https:// URL");
  }
  const std::size_t path = std::min(url.find('/', scheme + 3), url.size());
  if (url.substr(0, path).find('@') != std::string::npos) {
    return make_error(ErrorCode::kInvalidArgument, "a URL of a metadata service must not hold a user's name");
  }
  Place place{url.substr(0, path), path == url.size() ? "/" : url.substr(path),
              url.substr(scheme + 3, path - scheme - 3)};
  const std::size_t port = place.host.rfind(':');
  if (port != std::string::npos && place.host.find(']', port) == std::string::npos) place.host.resize(port);
  return place;
}

net::HttpClient local_client(const std::string& base) {
  // Both services are on this machine or its link: what does not answer at once is not there.
  return net::HttpClient({.base_url = base,
                          .connect_timeout = milliseconds(1000),
                          .timeout = milliseconds(5000),
                          .proxy = net::ProxyUse::kNone,
                          .max_response_bytes = kMaxAnswer});
}

/// A service that answers with such a status may answer otherwise in a moment.
ErrorCode code_of(int status) {
  return status == 429 || status >= 500 ? ErrorCode::kUnavailable : ErrorCode::kPermission;
}

/// {"AccessKeyId": ..., "SecretAccessKey": ..., "Token": ..., "Expiration": ...}
Result<AwsCredentials> parse_credentials(const std::string& body, const std::string& doing) {
  const auto bad = [&](std::string_view why) {
    return make_error(ErrorCode::kPermission, fmt::format("{}: {}", doing, why));
  };
  const auto document = parse_json_object(body, "credentials", kMaxAnswer);
  if (!document.ok()) return bad("the answer is not a JSON object");  // the parser's message might show a key
  AwsCredentials credentials;
  credentials.keys.access_key = json_string_or(*document, "AccessKeyId", "");
  credentials.keys.secret_key = json_string_or(*document, "SecretAccessKey", "");
  credentials.keys.session_token = json_string_or(*document, "Token", "");
  if (credentials.keys.access_key.empty() || credentials.keys.secret_key.empty()) {
    return bad(fmt::format("the answer has no keys (its code is '{}')",
                           printable(json_string_or(*document, "Code", "none"), 80)));
  }
  const std::string expiration = json_string_or(*document, "Expiration", "");
  credentials.expires = parse_iso_time(expiration);
  if (!credentials.expires && !expiration.empty()) return bad("the time of expiry was not understood");
  return credentials;
}

bool is_loopback(const std::string& host) {
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24U) == 127;
}

/// The container's token may only go to where it cannot be read on the way.
Status check_container_place(const Place& place) {
  const bool local = place.host == "localhost" || place.host == "[::1]" || is_loopback(place.host) ||
                     place.host == "169.254.170.2" || place.host == "169.254.170.23" || place.host == "[fd00:ec2::23]";
  if (local || place.base.starts_with("https://")) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI names neither https, nor this machine, nor ECS or EKS",
                    "keys would go over the network in the clear: correct the variable");
}

Result<net::Headers> container_headers(const AwsEnvironment& environment) {
  net::Headers headers;
  auto token = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const auto file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    CACS_ASSIGN(const std::string text, read_text_file(*file, kMaxAnswer).context("read the container's token"));
    token = std::string(trim(text));
  }
  if (token) headers.add("Authorization", *token);
  return headers;
}

/// A GET at the metadata service; unset for 404.
Result<std::optional<std::string>> get_metadata(net::HttpClient& client, const std::string& target,
                                                const std::string& token) {
  net::ClientRequest request{.target = target};
  request.headers.add("X-aws-ec2-metadata-token", token);
  CACS_ASSIGN(auto answer, client.send(request));
  if (answer.status == 404) return std::optional<std::string>();
  if (answer.status != 200) {
    return make_error(code_of(answer.status), fmt::format("GET {}: HTTP status {}", target, answer.status));
  }
  return std::optional(std::move(answer.body));
}

}  // namespace

Result<std::optional<AwsCredentials>> fetch_container_credentials(const AwsEnvironment& environment) {
  const auto relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const auto full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (!relative && !full) return std::optional<AwsCredentials>();
  CACS_ASSIGN(const Place place, parse_place(relative ? "http://169.254.170.2" + *relative : *full));
  CACS_TRY(check_container_place(place));
  CACS_ASSIGN(auto headers, container_headers(environment));
  auto client = local_client(place.base);
  const std::string doing = "fetch the container's keys from " + printable(place.base);
  auto answer = client.send({.target = place.target, .headers = std::move(headers)});
  if (!answer.ok()) return make_error(ErrorCode::kUnavailable, doing + ": " + answer.error().message);
  if (answer->status != 200)
    return make_error(code_of(answer->status), fmt::format("{}: HTTP status {}", doing, answer->status));
  CACS_ASSIGN(auto credentials, parse_credentials(answer->body, doing));
  return std::optional(std::move(credentials));
}

Result<std::optional<AwsCredentials>> fetch_instance_credentials(const AwsEnvironment& environment) {
  if (environment("AWS_EC2_METADATA_DISABLED").value_or("") == "true") return std::optional<AwsCredentials>();
  const auto named = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  CACS_ASSIGN(const Place place, parse_place(named.value_or("http://169.254.169.254")));
  auto client = local_client(place.base);
  const std::string doing = "fetch the instance's keys from " + printable(place.base);
  net::ClientRequest token_request{.method = "PUT", .target = "/latest/api/token"};
  token_request.headers.add("X-aws-ec2-metadata-token-ttl-seconds", "300");
  const auto token = client.send(token_request);
  if (!token.ok()) {
    // No such address: no EC2. Where the place was named, somebody relies on it.
    if (!named) return std::optional<AwsCredentials>();
    return make_error(ErrorCode::kUnavailable, doing + ": " + token.error().message);
  }
  if (token->status != 200) {
    return make_error(code_of(token->status),
                      fmt::format("{}: a token was refused: HTTP status {}", doing, token->status),
                      "the metadata service must allow version 2 (IMDSv2) and, in containers, a hop limit of 2");
  }
  const std::string folder = "/latest/meta-data/iam/security-credentials/";
  auto roles = get_metadata(client, folder, token->body);
  if (!roles.ok()) return roles.error().with_context(doing);
  const std::string role = *roles ? std::string(trim((*roles)->substr(0, (*roles)->find('\n')))) : "";
  if (role.empty()) return std::optional<AwsCredentials>();
  auto keys = get_metadata(client, folder + uri_encode(role, Slash::kEncode), token->body);
  if (!keys.ok()) return keys.error().with_context(doing);
  if (!*keys) return make_error(ErrorCode::kPermission, doing + ": the role has no keys");
  CACS_ASSIGN(auto credentials, parse_credentials(**keys, doing));
  return std::optional(std::move(credentials));
}

}  // namespace cacs::repository
