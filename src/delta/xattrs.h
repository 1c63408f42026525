#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "delta/listing.h"

namespace cacs::delta {

/// All extended attributes of `name` in `directory`, itself if it is a symbolic link, sorted by name. Empty where the
/// file system has none.
Result<std::vector<Xattr>> read_xattrs(int directory, const char* name);

/// Sets them on `name` in `directory`, itself if it is a symbolic link.
Status write_xattrs(int directory, const char* name, const std::vector<Xattr>& xattrs);

}  // namespace cacs::delta
