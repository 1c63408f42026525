#pragma once

#include "application/action_runner.h"
#include "base/json.h"

namespace cacs::application {

/// What the agent of a pod's node is asked to make (docs/agent-api.md, PodSpec): the pod, incarnation and source of
/// `action`, a kStartPod.
JsonObject pod_request(const ActionContext& context, const Action& action);

}  // namespace cacs::application
