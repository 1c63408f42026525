#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "application/lifecycle.h"
#include "base/json.h"

/// What agents say of pods (docs/agent-api.md), as the life cycle takes it.
namespace cacs::application {

std::string pod_uid(std::string_view application, int pod);

/// The fact that an agent's Pod (docs/agent-api.md) states; unset while it is being made.
std::optional<Event> pod_fact(int pod, const JsonObject& view);
/// Its `log_base`; zeros where an agent of an older version does not tell, nothing where there is none yet.
std::optional<LogSizes> log_base_from_agent(const JsonObject& view);
/// Whether the pod runs in that incarnation and is not about to end; unset where its agent does not know now.
std::optional<bool> lives(const JsonObject& view, int incarnation);
PodExit exit_from_agent(const JsonObject& exit);

}  // namespace cacs::application
