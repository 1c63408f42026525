#include "tools/checkpoint_commands.h"

namespace cacs::tools {

std::vector<cli::CommandSpec> checkpoint_commands() {
  std::vector<cli::CommandSpec> commands;
  for (auto make : {make_checkpoint_ls_files, make_checkpoint_cat, make_checkpoint_diff, make_checkpoint_mount,
                    make_checkpoint_export, make_checkpoint_import}) {
    commands.push_back(make());
  }
  return commands;
}

}  // namespace cacs::tools
