#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "repository/backend/s3_backend.h"
#include "test_server.h"

namespace cacs::testing {

/// A real S3 server (test_server.h), and how to be its client.
class S3Server {
 public:
  /// `kind`: "swift" or "moto". The first start on a machine makes the server's chroot, which takes a minute.
  static Result<std::unique_ptr<S3Server>> start(const std::string& kind);

  /// "kill", "stop" (data stays) or "start": returns when it is done.
  Status command(const std::string& command) { return server_->command(command); }

  [[nodiscard]] const std::string& kind() const { return server_->kind(); }
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  [[nodiscard]] const repository::AwsKeys& keys() const { return keys_; }
  /// Options for a bucket of this server.
  [[nodiscard]] repository::S3Options options(const std::string& bucket, const std::string& prefix = "") const;
  [[nodiscard]] std::shared_ptr<repository::CredentialSource> credentials() const;
  /// Makes a bucket, over the API.
  Status make_bucket(const std::string& bucket) const;

 private:
  explicit S3Server(std::unique_ptr<TestServer> server);

  std::unique_ptr<TestServer> server_;
  std::string endpoint_;
  std::string region_;
  repository::AwsKeys keys_;
};

}  // namespace cacs::testing
