#pragma once

#include <sys/types.h>

#include <set>
#include <string>

namespace cacs::basefs {

/// Paths of the overlay's files that processes in the pid namespace of `init` have open or mapped now. Processes that
/// end meanwhile are passed over, and so are deleted files.
std::set<std::string> files_in_use(pid_t init);

}  // namespace cacs::basefs
