#pragma once

#include <filesystem>

#include "base/result.h"

namespace cacs::main {

/// This very program, whatever it was called by.
Result<std::filesystem::path> own_program();

/// cacs-init: $CACS_INIT, then beside this program (build tree), then ../lib/cacs (installed).
Result<std::filesystem::path> find_init_program();

}  // namespace cacs::main
