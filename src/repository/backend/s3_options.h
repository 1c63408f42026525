#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "repository/backend/location.h"
#include "repository/backend/s3_credentials.h"

namespace cacs::repository {

/// How a bucket stands in a URL.
enum class S3Addressing {
  kAuto,         ///< as a virtual host for AWS's own endpoints, in the path for all others
  kPath,         ///< https://endpoint/bucket/key
  kVirtualHost,  ///< https://bucket.endpoint/key
};

/// How the store checks that it got what was sent.
enum class S3Integrity {
  kPayloadHash,  ///< it refuses a request whose body has not the signed SHA-256
  kEtag,         ///< it does not, but answers the MD5 of what it stored, which is compared
  kNone,         ///< neither: what is damaged on the way is found when it is read
};

/// What a probe found out about a store (s3_probe.h).
struct S3Abilities {
  bool conditional_put = false;       ///< If-None-Match: * is obeyed by PUT, also of two at once
  bool conditional_complete = false;  ///< and when a multipart upload is completed
  bool current_listing = false;
  S3Integrity integrity = S3Integrity::kNone;
};

struct S3Options {
  std::string bucket;
  std::string prefix;    ///< of all keys: "" or a name that ends in "/"
  std::string endpoint;  ///< "https://host[:port]"; empty: AWS's own for the region
  std::string region;    ///< empty: "us-east-1"
  S3Addressing addressing = S3Addressing::kAuto;
  std::string ca_file;  ///< authorities to trust instead of the system's (PEM). Certificates are always verified.
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds stall_timeout{60'000};  ///< a request in which no byte passes for so long is given up
  std::size_t connections = 16;                     ///< kept for reuse
  /// Objects of more are uploaded in parts of this size (at least 5 MiB, AWS's bound), each held in memory; parts
  /// double after every 1000, so that the 10,000 that are allowed reach 5 TiB.
  std::size_t part_bytes = std::size_t{16} << 20U;
  std::optional<S3Abilities> abilities;  ///< of an earlier probe of the same store; unset: probed when opened
  AwsClock clock = system_aws_clock();   ///< what requests are dated with
};

/// Options for a location of kind kS3. Its style is obeyed where an endpoint is named; for AWS itself it is kAuto, so
/// that buckets with dots in their names work.
S3Options s3_options(const Location& location);

/// Fills what is empty from AWS_REGION (or AWS_DEFAULT_REGION), AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) and
/// AWS_CA_BUNDLE, then from the profile (region, endpoint_url, ca_bundle, s3.addressing_style).
Status complete_s3_options(S3Options& options, const AwsEnvironment& environment);

/// Where requests go, derived from options that were checked: kInvalidArgument says which of them is wrong.
struct S3Place {
  std::string base_url;  ///< scheme, host and port, as connected to
  std::string host;      ///< as in the Host header: without a scheme's own port
  std::string path;      ///< before the key: "/" or "/bucket/"
};
Result<S3Place> locate(const S3Options& options);

}  // namespace cacs::repository
