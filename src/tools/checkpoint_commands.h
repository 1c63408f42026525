#pragma once

#include <vector>

#include "cli/command.h"

namespace cacs::tools {

/// What stands below `cacs checkpoint`: commands that look into checkpoints without restoring them.
std::vector<cli::CommandSpec> checkpoint_commands();

// The makers of its entries.
cli::CommandSpec make_checkpoint_ls_files();
cli::CommandSpec make_checkpoint_cat();
cli::CommandSpec make_checkpoint_diff();
cli::CommandSpec make_checkpoint_mount();
cli::CommandSpec make_checkpoint_export();
cli::CommandSpec make_checkpoint_import();

}  // namespace cacs::tools
