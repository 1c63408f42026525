#include "repository/backend/s3_client.h"

#include <fmt/format.h>

#include "base/hash.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kMaxAnswer = std::size_t{8} << 20U;

net::ClientOptions http_options(const S3Options& options, const S3Place& place) {
  return {.base_url = place.base_url,
          .connect_timeout = options.connect_timeout,
          .timeout = std::chrono::milliseconds(0),  // large bodies take their time: a stall ends a request
          .stall_timeout = options.stall_timeout,
          .ca_file = options.ca_file,
          .max_response_bytes = kMaxAnswer,
          .kept_connections = options.connections};
}

std::string region_of(const S3Options& options) { return options.region.empty() ? "us-east-1" : options.region; }

/// Whatever keeps an answer from coming is worth another try, unless another try cannot change it.
Error transport_error(const Error& error, std::string_view doing) {
  Error result = error.with_context(doing);
  if (error.code == ErrorCode::kTimeout || error.code == ErrorCode::kIo) result.code = ErrorCode::kUnavailable;
  if (error.code == ErrorCode::kPermission)
    result.hint = "set the store's CA file (or AWS_CA_BUNDLE) to the authority's";
  return result;
}

}  // namespace

S3Client::S3Client(S3Options options, S3Place place, std::shared_ptr<CredentialSource> credentials)
    : options_(std::move(options)),
      place_(std::move(place)),
      credentials_(std::move(credentials)),
      http_(http_options(options_, place_)) {}

Result<std::unique_ptr<S3Client>> S3Client::make(S3Options options, std::shared_ptr<CredentialSource> credentials) {
  CACS_ASSIGN(S3Place place, locate(options));
  return std::unique_ptr<S3Client>(new S3Client(std::move(options), std::move(place), std::move(credentials)));
}

std::string S3Client::describe() const {
  return fmt::format("s3://{}/{} at {}", options_.bucket, options_.prefix, place_.base_url);
}

std::string S3Client::doing(std::string_view verb, std::string_view name, std::string_view preposition) const {
  return fmt::format("{} {} {} {}", verb, name, preposition, describe());
}

net::Headers S3Client::signed_headers(const S3Request& request, std::string_view path, SigV4Fields headers,
                                      const AwsKeys& keys) const {
  const auto now = options_.clock();
  headers.emplace_back("Host", place_.host);
  headers.emplace_back("x-amz-date", amz_date(now));
  if (!keys.session_token.empty()) headers.emplace_back("x-amz-security-token", keys.session_token);
  const std::string payload = headers.front().second;
  const SigV4Request to_sign{
      .method = request.method, .path = path, .query = request.query, .headers = headers, .payload_sha256 = payload};
  net::Headers result;
  result.add("Authorization", sigv4_authorization(to_sign, keys, region_of(options_), "s3", now));
  for (auto& [name, value] : headers) result.add(std::move(name), std::move(value));
  return result;
}

Result<net::ClientResponse> S3Client::send_signed(const S3Request& request, net::ClientRequest& wire,
                                                  std::string_view path, std::string_view doing,
                                                  const net::OnData* on_data) {
  SigV4Fields headers;
  headers.emplace_back("x-amz-content-sha256",
                       request.payload_sha256.empty() ? sha256(wire.body).to_hex() : request.payload_sha256);
  if (!wire.body.empty()) headers.emplace_back("Content-Type", "application/octet-stream");
  headers.insert(headers.end(), request.headers.begin(), request.headers.end());
  for (bool again = false;; again = true) {
    auto keys = credentials_->get();
    if (!keys.ok()) return keys.error().with_context(doing);
    wire.headers = signed_headers(request, path, headers, *keys);
    auto answer = on_data == nullptr ? http_.send(wire) : http_.stream(wire, *on_data);
    if (!answer.ok()) return transport_error(answer.error(), doing);
    if (again || answer->status < 400) return answer;
    if (!is_expired_credential(read_failure(answer->status, answer->headers, answer->body))) return answer;
    credentials_->invalidate();
  }
}

Result<net::ClientResponse> S3Client::send(S3Request& request, std::string_view doing, const net::OnData* on_data) {
  const std::string path = place_.path + uri_encode(request.key, Slash::kKeep);
  const std::string query = canonical_query(request.query);
  net::ClientRequest wire{.method = request.method, .target = query.empty() ? path : path + "?" + query};
  wire.body = std::move(request.body);
  auto answer = send_signed(request, wire, path, doing, on_data);
  request.body = std::move(wire.body);
  return answer;
}

Result<net::ClientResponse> S3Client::call(S3Request& request, std::string_view doing) {
  CACS_ASSIGN(auto answer, send(request, doing));
  if (!is_success(answer)) return failure(answer, doing);
  return answer;
}

Error S3Client::failure(const net::ClientResponse& answer, std::string_view doing) const {
  const S3FailureContext context{options_.bucket, region_of(options_), options_.clock()};
  return s3_error(read_failure(answer.status, answer.headers, answer.body), doing, context);
}

void S3Client::upload_begins(const std::string& id) {
  const std::lock_guard lock(mutex_);
  uploads_.insert(id);
}

void S3Client::upload_ends(const std::string& id) {
  const std::lock_guard lock(mutex_);
  uploads_.erase(id);
}

bool S3Client::upload_is_ours(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return uploads_.contains(id);
}

}  // namespace cacs::repository
