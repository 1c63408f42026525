#pragma once

#include "application/lifecycle.h"
#include "base/json.h"

namespace cacs::application {

/// The machine's state as it is stored, and back. Version 1; a reader refuses versions it does not know.
JsonObject state_to_json(const State& state);
Result<State> state_from_json(const JsonObject& object);

}  // namespace cacs::application
