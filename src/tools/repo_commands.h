#pragma once

#include <vector>

#include "cli/command.h"

namespace cacs::tools {

/// `cacs repo` and what is below it.
std::vector<cli::CommandSpec> repo_commands();

}  // namespace cacs::tools
