#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "application/action_runner.h"
#include "application/pod_fact.h"

/// The inside of run_action(): private to its sources.
namespace cacs::application::internal {

inline bool may_pass(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout;
}

/// One action being run.
class Run {
 public:
  Run(const Clouds& clouds, const ActionContext& context, const Action& action)
      : clouds_(clouds), context_(context), action_(action) {}

  ActionResult run();

 private:
  ActionResult claim();
  ActionResult reach();
  ActionResult prepare();
  ActionResult release();
  ActionResult start();
  ActionResult destroy();
  ActionResult open_network();
  ActionResult look_at_pods();
  ActionResult begin_cut();
  ActionResult thaw();
  ActionResult store();
  ActionResult commit();
  ActionResult abort_cut();
  ActionResult delete_checkpoint();
  ActionResult check();
  ActionResult report();

  Result<cloud::Cloud*> cloud() const;
  Result<std::shared_ptr<cloud::NodeAgent>> agent_of(int pod) const;
  /// Those that may have something of the application, as far as the cloud still has them: its own, then those that it
  /// had before.
  Result<std::vector<std::string>> nodes() const;
  Result<Json> underlay(const std::string& node) const;
  std::vector<Status> at_once(const std::function<Status(int pod)>& call) const;
  Status on_every_pod(const std::function<Status(int pod)>& call) const;
  Status ask_to_save() const;
  Status abort_pods() const;
  Status delete_parts() const;
  Status verify_parts(const std::string& checkpoint) const;
  Result<JsonArray> part_sources(int pod, cloud::NodeAgent& own) const;
  Result<cloud::Node> node_info(const std::string& node) const;
  ActionResult result(EventKind kind) const;
  ActionResult failed(EventKind kind, const Error& error) const;
  /// To be tried again where that may help; else the event that says it failed for good.
  ActionResult again_or(EventKind kind, const Error& error) const;
  std::string uid(int pod) const { return pod_uid(context_.application, pod); }
  int pods() const { return context_.state.policy.pods; }

  const Clouds& clouds_;
  const ActionContext& context_;
  const Action& action_;
};

}  // namespace cacs::application::internal
