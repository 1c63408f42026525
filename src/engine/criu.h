#pragma once

#include <filesystem>
#include <memory>

#include "engine/engine.h"

namespace cacs::engine {

/// CRIU, the default engine: https://criu.org. `program` is the executable (or the wrapper of a private prefix).
/// The option sets are those that docs/engine.md gives the reasons for.
std::unique_ptr<Engine> make_criu(std::filesystem::path program);

/// The CRIU to use: $CACS_CRIU, then the bundle installed beside this program (../lib/cacs/engine/criu, or
/// ../../engine/criu in a build tree), then `criu` of PATH. kNotFound says where was looked.
Result<std::filesystem::path> find_criu();

}  // namespace cacs::engine
