#pragma once

#include "base/json.h"
#include "base/result.h"
#include "engine/engine.h"

namespace cacs::agent {

/// What of this node a checkpoint depends on: {architecture, kernel, cpu_features, engine: {name, version}, base}.
Result<JsonObject> node_compatibility(const engine::Engine& engine, const engine::ProbeResult& probe);

/// Whether what was saved on a node like `saved` can run on one like `here`; the error names what differs. Pure.
Status check_compatible(const JsonObject& saved, const JsonObject& here);

}  // namespace cacs::agent
