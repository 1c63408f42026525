#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "repository/backend/s3_answers.h"
#include "repository/backend/s3_client.h"

namespace cacs::repository {

// S3's operations on whole keys, one request each but where said. `doing` stands in front of every message. Errors are
// those of s3_errors.h.

/// Whether a write refuses a key that is there (If-None-Match: *): kConflict.
enum class S3Condition { kNone, kAbsent };

/// PUT of an object. kCorrupt: what the store got is not what was sent; then the object was removed again. The body is
/// in `body` again afterwards.
Status s3_put(S3Client& client, const std::string& key, std::string& body, S3Condition condition, S3Integrity integrity,
              std::string_view doing);

/// Fills `out` from `offset`; returns how many bytes there were. An offset at the end or beyond it: 0.
Result<std::size_t> s3_read(S3Client& client, const std::string& key, std::uint64_t offset, std::span<std::byte> out,
                            std::string_view doing);

struct S3Head {
  std::uint64_t size = 0;
  std::optional<std::chrono::sys_seconds> modified;  ///< by the server's clock
};
/// HEAD; where that fails without saying why, a GET of one byte tells the reason.
Result<S3Head> s3_head(S3Client& client, const std::string& key, std::string_view doing);

/// DELETE. Most stores say success for a key that is not there.
Status s3_remove(S3Client& client, const std::string& key, std::string_view doing);

/// One page, of at most `max_keys`, of the keys that start with `prefix`; `token` as the page before said, or empty.
Result<S3ListPage> s3_list(S3Client& client, const std::string& prefix, const std::string& token,
                           std::string_view doing, std::size_t max_keys = 1000);

/// CreateMultipartUpload: its id, which is noted as this process's own (S3Client::upload_begins).
Result<std::string> s3_begin_upload(S3Client& client, const std::string& key, std::string_view doing);

/// UploadPart, numbers from 1: its ETag, as to be given back. The body is in `body` again afterwards.
Result<std::string> s3_upload_part(S3Client& client, const std::string& key, const std::string& id, std::size_t number,
                                   std::string& body, S3Integrity integrity, std::string_view doing);

/// CompleteMultipartUpload: the object is visible, whole. kUnavailable: nobody knows whether it is; may be repeated.
Status s3_complete_upload(S3Client& client, const std::string& key, const std::string& id,
                          const std::vector<std::string>& etags, S3Condition condition, std::string_view doing);

/// AbortMultipartUpload. An upload that is not there is success.
Status s3_abort_upload(S3Client& client, const std::string& key, const std::string& id, std::string_view doing);

/// One page of unfinished uploads, and the server's time.
struct S3UploadsNow {
  S3UploadPage page;
  std::optional<std::chrono::sys_seconds> now;
};
Result<S3UploadsNow> s3_list_uploads(S3Client& client, const std::string& prefix, const std::string& key_marker,
                                     const std::string& id_marker, std::string_view doing);

}  // namespace cacs::repository
