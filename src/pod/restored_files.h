#pragma once

#include <filesystem>

#include "base/result.h"

namespace cacs::pod {

/// Moves what a program saved of itself, rebuilt in `from`, into the delta in `upper`, which CACS has just filled and
/// which is not mounted: both on one file system. What is in both is the program's, but for CACS's own (/.cacs), of
/// which only the output comes back. No link that the program has made is followed. Needs the rights of root.
Status put_restored_files(const std::filesystem::path& from, const std::filesystem::path& upper);

}  // namespace cacs::pod
