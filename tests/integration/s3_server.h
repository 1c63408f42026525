#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/process.h"
#include "repository/backend/s3_backend.h"

namespace cacs::testing {

/// A real S3 server of tests/servers, with its own state, on ports of its own. It ends with this object, and also when
/// this process is killed: it reads its commands from a pipe of ours.
class S3Server {
 public:
  /// `kind`: "swift" or "moto". The first start on a machine makes the server's chroot, which takes a minute.
  static Result<std::unique_ptr<S3Server>> start(const std::string& kind);
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;
  ~S3Server();

  /// "kill", "stop" (data stays) or "start": returns when it is done.
  Status command(const std::string& command);

  [[nodiscard]] const std::string& kind() const { return kind_; }
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  [[nodiscard]] const repository::AwsKeys& keys() const { return keys_; }
  /// Options for a bucket of this server.
  [[nodiscard]] repository::S3Options options(const std::string& bucket, const std::string& prefix = "") const;
  [[nodiscard]] std::shared_ptr<repository::CredentialSource> credentials() const;
  /// Makes a bucket, over the API.
  Status make_bucket(const std::string& bucket) const;

 private:
  S3Server(std::string kind, Child child, UniqueFd commands, UniqueFd answers);
  Result<std::string> read_line();

  std::string kind_;
  Child child_;
  UniqueFd commands_;
  UniqueFd answers_;
  std::string endpoint_;
  std::string region_;
  repository::AwsKeys keys_;
};

}  // namespace cacs::testing
