#pragma once

#include <filesystem>

#include "base/json.h"
#include "base/result.h"
#include "pod/spec.h"

namespace cacs::agent {

/// The explanation of a pod whose program saves itself, in the form of explain_pod(), with `notes`: how it is asked,
/// and what there is now of each of the files. Obstacles are what would make the next checkpoint fail. `upper` is the
/// pod's delta.
Result<JsonObject> explain_files(pid_t init, const pod::PodSpec& spec, const std::filesystem::path& upper);

}  // namespace cacs::agent
