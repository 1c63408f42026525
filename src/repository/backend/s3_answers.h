#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cacs::repository {

// What S3's answers say, from their XML. Every function takes bytes of a server and returns kInvalidArgument for what
// is no such answer. Keys are decoded where the answer says that they are encoded.

struct S3ListEntry {
  std::string key;
  std::uint64_t size = 0;  ///< bytes
};

/// A page of ListObjectsV2.
struct S3ListPage {
  std::vector<S3ListEntry> entries;
  std::string next;  ///< continuation token; empty: this was the last page
};
Result<S3ListPage> parse_list_page(std::string_view body);

struct S3Upload {
  std::string key;
  std::string id;
  std::optional<std::chrono::sys_seconds> initiated;  ///< by the server's clock; unset when it did not say
};

/// A page of ListMultipartUploads.
struct S3UploadPage {
  std::vector<S3Upload> uploads;
  std::string next_key;  ///< both empty: this was the last page
  std::string next_id;
};
Result<S3UploadPage> parse_upload_page(std::string_view body);

/// The upload's id, from the answer to CreateMultipartUpload.
Result<std::string> parse_upload_id(std::string_view body);

/// The error document of a failed request.
struct S3ErrorDocument {
  std::string code;      ///< "NoSuchKey"; empty when the body has none
  std::string message;   ///< may be empty (Ceph)
  std::string region;    ///< where the bucket is, in some redirects and refusals
  std::string endpoint;  ///< of the bucket, in some redirects
};
/// Unset: the body is no error document. Never fails: what is not understood is as good as not there.
std::optional<S3ErrorDocument> parse_error_document(std::string_view body);

/// "2026-11-21T10:58:00.000Z" as in documents; the fraction is dropped.
std::optional<std::chrono::sys_seconds> parse_iso_time(std::string_view text);
/// "Sat, 21 Nov 2026 10:58:00 GMT" as in headers.
std::optional<std::chrono::sys_seconds> parse_http_time(std::string_view text);

}  // namespace cacs::repository
