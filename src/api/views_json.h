#pragma once

#include <string_view>

#include "application/service.h"
#include "base/json.h"

/// The managers' views as the JSON of docs/api-resources.md. Pure; any thread.
namespace cacs::api {

/// `whole`: with `asr` and `events`, as one application is shown; lists are without.
JsonObject application_to_json(const application::ApplicationView& view, bool whole);
JsonObject checkpoint_to_json(const application::CheckpointView& view);
JsonObject operation_to_json(const application::OperationView& view);
JsonObject event_to_json(const application::EventView& view);
JsonObject node_to_json(const application::NodeView& view);
Json exit_to_json(const std::optional<application::ExitView>& exit);

/// An error as problem details (RFC 9457), as an object to nest.
JsonObject problem_to_json(const Error& error);

std::string base64_encode(std::string_view bytes);

}  // namespace cacs::api
