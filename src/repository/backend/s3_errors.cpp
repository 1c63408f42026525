#include "repository/backend/s3_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "repository/backend/s3_answers.h"

namespace cacs::repository {

namespace {

struct KnownCode {
  std::string_view name;
  ErrorCode code;
  std::string_view hint;
};

constexpr std::string_view kCheckKeys = "check the access key and its secret (docs/s3.md, Keys)";
constexpr std::string_view kNewKeys = "fetch new temporary keys: these have expired or were revoked";
constexpr std::string_view kSentDamaged =
    "what arrived is not what was sent: check the network between here and the store";

/// S3's codes that say more than the status.
constexpr std::array kKnownCodes{
    KnownCode{"NoSuchKey", ErrorCode::kNotFound, ""},
    KnownCode{"NoSuchUpload", ErrorCode::kAborted, "somebody removed the unfinished upload: write the object again"},
    KnownCode{"AccessDenied", ErrorCode::kPermission,
              "allow s3:GetObject, PutObject, DeleteObject, AbortMultipartUpload, ListBucket and "
              "ListBucketMultipartUploads (docs/s3.md, Rights)"},
    KnownCode{"InvalidAccessKeyId", ErrorCode::kPermission, kCheckKeys},
    KnownCode{"SignatureDoesNotMatch", ErrorCode::kPermission, kCheckKeys},
    KnownCode{"ExpiredToken", ErrorCode::kPermission, kNewKeys},
    KnownCode{"InvalidToken", ErrorCode::kPermission, kNewKeys},
    KnownCode{"TokenRefreshRequired", ErrorCode::kPermission, kNewKeys},
    KnownCode{"QuotaExceeded", ErrorCode::kNoSpace, "raise the quota, or remove what is not needed"},
    KnownCode{"InsufficientStorage", ErrorCode::kNoSpace, "the store is full"},
    KnownCode{"BadDigest", ErrorCode::kCorrupt, kSentDamaged},
    KnownCode{"XAmzContentSHA256Mismatch", ErrorCode::kCorrupt, kSentDamaged},
    KnownCode{"EntityTooLarge", ErrorCode::kTooLarge, ""},
    KnownCode{"InvalidObjectState", ErrorCode::kUnsupported,
              "the object was moved to an archive: no rule of the bucket may move or expire objects of a repository"},
    KnownCode{"SlowDown", ErrorCode::kUnavailable, ""},
    KnownCode{"RequestTimeout", ErrorCode::kUnavailable, ""},
    KnownCode{"IncompleteBody", ErrorCode::kUnavailable, ""},
    KnownCode{"InternalError", ErrorCode::kUnavailable, ""},
    KnownCode{"ServiceUnavailable", ErrorCode::kUnavailable, ""},
    KnownCode{"OperationAborted", ErrorCode::kUnavailable, ""},
    // Somebody removed the name while it was being written: not taken, so worth trying again.
    KnownCode{"ConditionalRequestConflict", ErrorCode::kUnavailable, ""},
    KnownCode{"NotImplemented", ErrorCode::kUnsupported, ""},
};

ErrorCode code_of_s3_status(const S3Failure& failure) {
  switch (failure.status) {
    case 401:
    case 403:
      return ErrorCode::kPermission;
    case 404:
      // A proxy's page does not mean that the object is missing.
      return failure.foreign ? ErrorCode::kIo : ErrorCode::kNotFound;
    case 408:
    case 425:
    case 429:
      return ErrorCode::kUnavailable;
    case 409:
    case 412:
      return ErrorCode::kConflict;
    case 413:
      return ErrorCode::kTooLarge;
    case 405:
    case 501:
      return ErrorCode::kUnsupported;
    case 507:
      return ErrorCode::kNoSpace;
    default:
      return failure.status >= 500 ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument;
  }
}

Error missing_bucket(const S3FailureContext& context) {
  return make_error(ErrorCode::kInvalidArgument, fmt::format("there is no bucket '{}'", context.bucket),
                    "create it, or correct the bucket's name or the endpoint")
      .with_type("s3-no-such-bucket");
}

Error wrong_region(const S3Failure& failure, const S3FailureContext& context) {
  const std::string there = failure.region.empty() ? "another region" : "the region " + failure.region;
  const std::string hint = failure.region.empty() ? "set the region, or the endpoint, to the bucket's"
                                                  : "set the region to " + failure.region;
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("the bucket '{}' is in {}, not in {}", context.bucket, there,
                                context.region.empty() ? "us-east-1" : context.region),
                    hint)
      .with_type("s3-wrong-region");
}

Error clock_skew(const S3Failure& failure, const S3FailureContext& context) {
  std::string by = "too much";
  if (failure.server_time.time_since_epoch().count() != 0) {
    const auto ahead = context.now - failure.server_time;
    by = fmt::format("{} ({})", format_duration(std::chrono::abs(ahead)), ahead.count() > 0 ? "ahead" : "behind");
  }
  return make_error(ErrorCode::kPermission, "this machine's clock differs from the store's by " + by,
                    "set the clock (NTP): requests are refused when it is off by 15 minutes (Swift: 5)")
      .with_type("s3-clock-skew");
}

/// The answer's own words.
std::string words(const S3Failure& failure) {
  std::string text = failure.code;
  if (!failure.message.empty()) text += (text.empty() ? "" : ": ") + failure.message;
  if (failure.foreign) text += "an answer that is not S3's: is the endpoint right?";
  return text.empty() ? fmt::format("HTTP status {} {}", failure.status, net::status_phrase(failure.status))
                      : fmt::format("{} (HTTP status {})", text, failure.status);
}

}  // namespace

S3Failure read_failure(int status, const net::Headers& headers, std::string_view body) {
  S3Failure failure{.status = status, .region = printable(headers.get("x-amz-bucket-region"), 80)};
  if (const auto document = parse_error_document(body)) {
    failure.code = document->code;
    failure.message = document->message;
    if (failure.region.empty()) failure.region = document->region;
    if (failure.message.empty() && !document->endpoint.empty()) failure.message = "use " + document->endpoint;
  } else {
    failure.foreign = !trim(body).empty();
  }
  failure.server_time = parse_http_time(headers.get("Date")).value_or(std::chrono::sys_seconds{});
  return failure;
}

bool is_expired_credential(const S3Failure& failure) {
  return failure.code == "ExpiredToken" || failure.code == "TokenRefreshRequired" || failure.code == "InvalidToken";
}

Error s3_error(const S3Failure& failure, std::string_view doing, const S3FailureContext& context) {
  const bool redirect = failure.status >= 300 && failure.status < 400;
  const bool names_other_region = !failure.region.empty() && failure.region != context.region;
  if (failure.code == "NoSuchBucket") return missing_bucket(context).with_context(doing);
  if (failure.code == "RequestTimeTooSkewed") return clock_skew(failure, context).with_context(doing);
  if (redirect || (failure.status == 400 && names_other_region))
    return wrong_region(failure, context).with_context(doing);
  const auto* known = std::ranges::find_if(kKnownCodes, [&](const auto& entry) { return entry.name == failure.code; });
  if (known != kKnownCodes.end()) {
    return make_error(known->code, fmt::format("{}: {}", doing, words(failure)), std::string(known->hint));
  }
  std::string hint;
  if (failure.status == 401 || failure.status == 403) hint = kCheckKeys;
  return make_error(code_of_s3_status(failure), fmt::format("{}: {}", doing, words(failure)), std::move(hint));
}

}  // namespace cacs::repository
