#include "tools/commands.h"

#include "base/result.h"

namespace cacs::tools {

std::vector<cli::CommandSpec> commands() { return {}; }

}  // namespace cacs::tools
