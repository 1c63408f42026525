#include "tools/commands.h"

#include "tools/checkpoint_commands.h"
#include "tools/repo_commands.h"

namespace cacs::tools {

std::vector<cli::CommandSpec> commands() {
  std::vector<cli::CommandSpec> all = repo_commands();
  for (auto& command : checkpoint_commands()) all.push_back(std::move(command));
  return all;
}

}  // namespace cacs::tools
