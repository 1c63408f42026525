#include "tools/commands.h"

#include "tools/repo_commands.h"

namespace cacs::tools {

std::vector<cli::CommandSpec> commands() { return repo_commands(); }

}  // namespace cacs::tools
