#pragma once

#include "tools/repo_place.h"

namespace CLI {
class App;
}

namespace cacs::tools {

/// -r, and how the repository is unlocked.
void add_place_options(CLI::App& app, PlaceOptions& place);

}  // namespace cacs::tools
