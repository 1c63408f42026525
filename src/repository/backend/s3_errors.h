#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http_message.h"

namespace cacs::repository {

/// What is known where a request failed, for its message.
struct S3FailureContext {
  std::string bucket;
  std::string region;
  std::chrono::sys_seconds now;  ///< what the request was dated with
};

/// A failed answer (status 300 and above), read.
struct S3Failure {
  int status = 0;
  std::string code;                      ///< S3's, "NoSuchKey"; empty where the body did not say
  std::string message;                   ///< S3's; may be empty
  std::string region;                    ///< where the bucket is, when the answer says so
  bool foreign = false;                  ///< the body is something else than S3's: a proxy, a web server
  std::chrono::sys_seconds server_time;  ///< of its Date header; the epoch when it has none
};
S3Failure read_failure(int status, const net::Headers& headers, std::string_view body);

/// The keys were temporary and are over: worth fetching them again.
bool is_expired_credential(const S3Failure& failure);

/// The failure as an Error, by the table in docs/s3.md: kNotFound for a missing object only (not for a missing bucket,
/// which is kInvalidArgument), kUnavailable for what is worth trying again, and so on.
Error s3_error(const S3Failure& failure, std::string_view doing, const S3FailureContext& context);

}  // namespace cacs::repository
