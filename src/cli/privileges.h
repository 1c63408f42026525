#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace cacs::cli {

/// What this process may do.
struct Privileges {
  uid_t user = 0;
  std::uint64_t capabilities = 0;  ///< the effective set, a bit each (capabilities(7))
};

Result<Privileges> read_privileges();

/// What an embedded server on this machine lacks with these, in words ("root", "CAP_SYS_ADMIN"); empty: nothing.
std::vector<std::string> lacking_privileges(const Privileges& privileges);

/// kPermission that names everything lacking, or success.
Status check_privileges(const Privileges& privileges);

}  // namespace cacs::cli
