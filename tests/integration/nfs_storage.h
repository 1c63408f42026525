#pragma once

#include <memory>
#include <string>

#include "repository/backend/storage.h"

namespace cacs::testing {

/// A folder of an NFSv4 export, asked with libnfs: what a file backend does there is tried without the kernel's client,
/// which a test's machine may not have. `url`: as libnfs takes it (nfs://HOST/EXPORT?version=4&nfsport=PORT). As one
/// host of its own; there are no locks, so nothing is ever found abandoned. Any thread.
Result<std::unique_ptr<repository::Storage>> make_nfs_storage(const std::string& url, const std::string& folder);

}  // namespace cacs::testing
