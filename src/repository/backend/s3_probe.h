#pragma once

#include "repository/backend/s3_client.h"

namespace cacs::repository {

/// Objects that probes write, for a moment; listings do not show them.
inline constexpr std::string_view kS3ProbePrefix = ".probe/";

/// Finds out what the store does, by doing it: about 25 small requests on keys below the prefix's .probe/, which are
/// removed again. Errors: what is wrong with keys, bucket, region or rights; kUnsupported for a store that does not
/// show by name what was just written, replaced or removed.
Result<S3Abilities> probe_s3(S3Client& client);

}  // namespace cacs::repository
