#pragma once

#include "application/action_runner.h"
#include "base/json.h"

namespace cacs::application {

/// What the agent of a pod's node is asked to make (docs/agent-api.md, PodSpec): the pod, incarnation and source of
/// `action`, a kStartPod. `underlay`: how its node reaches the others that have pods of it; null where none does.
/// `sources`: where it gets its part of the checkpoint from.
JsonObject pod_request(const ActionContext& context, const Action& action, const Json& underlay,
                       const JsonArray& sources);

}  // namespace cacs::application
