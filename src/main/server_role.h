#pragma once

#include <vector>

#include "base/result.h"
#include "cli/roles.h"

namespace cacs::main {

/// `cacs server`: database, local cloud, Application Manager and REST API in one process, until SIGTERM or SIGINT.
/// Applications run on without it. With `embedded`: until there is neither an application at work nor a client.
Result<int> run_server_role(const cli::ServerOptions& options);

/// `cacs check`.
Result<std::vector<cli::CheckRow>> check_machine(const cli::CheckOptions& options);

}  // namespace cacs::main
