#pragma once

#include "repository/backend/s3_client.h"

namespace cacs::repository {

/// Finds out what the store does, by doing it: about 25 small requests on objects `probe/<uuid>*`, which are removed
/// again. Beyond what probe_backend() finds it tries uploads and hashes, so that a backend that was opened with it
/// needs no make_probed_backend(). Errors: what is wrong with keys, bucket, region or rights; kUnsupported for a store
/// that does not show by name what was just written, replaced or removed.
Result<S3Abilities> probe_s3(S3Client& client);

}  // namespace cacs::repository
