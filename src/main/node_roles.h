#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace cacs::main {

/// `cacs agent --state DIR --node NAME [--mask DIR]`, as a cloud's driver starts it.
Result<int> run_agent_role(const std::vector<std::string>& arguments);

/// `cacs shim --dir DIR --delta DIR --state DIR --mask DIR --init FILE --criu FILE [--adopt]`, as an agent starts it.
Result<int> run_shim_role(const std::vector<std::string>& arguments);

}  // namespace cacs::main
