#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/result.h"
#include "net/http_client.h"
#include "repository/backend/s3_errors.h"
#include "repository/backend/s3_options.h"

namespace cacs::repository {

/// A request to the bucket (`key` empty) or to one of its objects.
struct S3Request {
  std::string method = "GET";
  std::string key;    ///< whole, with the store's prefix
  SigV4Fields query;  ///< not encoded
  SigV4Fields headers;
  std::string body;
  std::string payload_sha256;  ///< empty: that of the body. A wrong one probes whether the store looks.
};

/// Signs requests, sends them over connections that are kept, and reads failures. Any thread.
class S3Client {
 public:
  static Result<std::unique_ptr<S3Client>> make(S3Options options, std::shared_ptr<CredentialSource> credentials);

  /// The answer, of whatever status. The body of a successful one goes to `on_data` where given. Signed anew and sent
  /// once more when the keys have expired. The request is as before afterwards (its body is not copied on the way).
  /// kUnavailable: no answer (the request may have been done or not).
  Result<net::ClientResponse> send(S3Request& request, std::string_view doing, const net::OnData* on_data = nullptr);
  /// The same; an answer that is no success is an error.
  Result<net::ClientResponse> call(S3Request& request, std::string_view doing);
  Result<net::ClientResponse> call(S3Request&& request, std::string_view doing) { return call(request, doing); }
  /// What an answer that is no success means.
  [[nodiscard]] Error failure(const net::ClientResponse& answer, std::string_view doing) const;

  [[nodiscard]] const S3Options& options() const { return options_; }
  [[nodiscard]] std::string describe() const;
  /// "write packs/1 to s3://...": for messages.
  [[nodiscard]] std::string doing(std::string_view verb, std::string_view name, std::string_view preposition) const;

  /// Uploads that a writer of this process has under way: not stale, however old.
  void upload_begins(const std::string& id);
  void upload_ends(const std::string& id);
  [[nodiscard]] bool upload_is_ours(const std::string& id) const;

 private:
  S3Client(S3Options options, S3Place place, std::shared_ptr<CredentialSource> credentials);
  [[nodiscard]] net::Headers signed_headers(const S3Request& request, std::string_view path, SigV4Fields headers,
                                            const AwsKeys& keys) const;
  Result<net::ClientResponse> send_signed(const S3Request& request, net::ClientRequest& wire, std::string_view path,
                                          std::string_view doing, const net::OnData* on_data);

  const S3Options options_;
  const S3Place place_;
  const std::shared_ptr<CredentialSource> credentials_;
  net::HttpClient http_;
  mutable std::mutex mutex_;
  std::set<std::string> uploads_;
};

inline bool is_success(const net::ClientResponse& answer) { return answer.status >= 200 && answer.status < 300; }

}  // namespace cacs::repository
