#pragma once

#include "base/json.h"
#include "base/result.h"
#include "engine/engine.h"

namespace cacs::agent {

/// What of it still counts for files that a program has written itself: {architecture, engine, base}. Processor, kernel
/// and engine may be others where it is started anew.
JsonObject files_compatibility(const JsonObject& compatibility);
/// Whether what was saved under `saved` is brought back by the engine of this name. kConflict where not.
Status check_engine(const JsonObject& saved, std::string_view engine);

/// What of this node a checkpoint depends on: {architecture, kernel, cpu_features, engine: {name, version}, base}.
Result<JsonObject> node_compatibility(const engine::Engine& engine, const engine::ProbeResult& probe);

/// Whether what was saved on a node like `saved` can run on one like `here`; the error names what differs. Pure.
Status check_compatible(const JsonObject& saved, const JsonObject& here);

}  // namespace cacs::agent
