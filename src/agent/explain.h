#pragma once

#include "base/json.h"
#include "base/result.h"
#include "pod/spec.h"

namespace cacs::agent {

/// Looks at every process of a running pod for what no engine could save, by name, while it runs on: devices, io_uring,
/// other kernel objects, GPU and RDMA, connections to the outside (a warning where the user chose that a restore resets
/// them), a debugger, nested namespaces. The answer is
/// {savable, obstacles: [{kind, process, what, hint}], warnings: [...]}. `init` is the pod's pid 1 as seen from here.
Result<JsonObject> explain_pod(pid_t init, const pod::PodSpec& spec);

}  // namespace cacs::agent
