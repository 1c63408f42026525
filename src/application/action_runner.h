#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "application/asr.h"
#include "application/lifecycle.h"
#include "base/json.h"
#include "cloud/cloud.h"

namespace cacs::application {

using Clouds = std::map<std::string, cloud::Cloud*, std::less<>>;

/// What an action needs to know of its application: a copy, so that it may run on any thread.
struct ActionContext {
  std::string application;
  std::string tenant;
  std::shared_ptr<const Asr> asr;
  State state;
  std::uint32_t network_id = 0;  ///< of the incarnation's network between nodes
  /// Set when the action is no longer wanted: long waits end early.
  std::stop_token cancelled;
  /// Told while a checkpoint is stored.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

/// The result of an action: the event for the machine, and what the agent said of the checkpoint, for its row.
struct ActionResult {
  Event event;
  JsonObject details;
};

/// Runs one action against cloud and agents. Blocks; any thread. A failure that may pass is kActionFailed.
ActionResult run_action(const Clouds& clouds, const ActionContext& context, const Action& action);

}  // namespace cacs::application
