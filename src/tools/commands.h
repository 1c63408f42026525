#pragma once

#include <vector>

#include "cli/command.h"

/// Commands that work on what is stored, without a server: repositories, and what is in checkpoints.
namespace cacs::tools {

/// All of them, for the command line of the program.
std::vector<cli::CommandSpec> commands();

}  // namespace cacs::tools
