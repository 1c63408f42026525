#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "application/action_run.h"
#include "application/placement.h"
#include "application/pod_request.h"

namespace cacs::application {
namespace internal {

ActionResult Run::result(EventKind kind) const {
  return {Event{.kind = kind,
                .pod = action_.pod,
                .incarnation = action_.incarnation,
                .checkpoint = action_.checkpoint,
                .action = action_},
          {}};
}

ActionResult Run::failed(EventKind kind, const Error& error) const {
  ActionResult out = result(kind);
  out.event.error = error;
  return out;
}

ActionResult Run::again_or(EventKind kind, const Error& error) const {
  return failed(may_pass(error) ? EventKind::kActionFailed : kind, error);
}

Result<cloud::Cloud*> Run::cloud() const {
  const auto it = clouds_.find(context_.asr->cloud);
  if (it != clouds_.end()) return it->second;
  return make_error(ErrorCode::kNotFound, fmt::format("there is no cloud '{}'", context_.asr->cloud),
                    "list the clouds to see which there are");
}

Result<std::shared_ptr<cloud::NodeAgent>> Run::agent_of(int pod) const {
  CACS_ASSIGN(cloud::Cloud * cloud, cloud());
  const std::string node = node_of(context_.state, pod);
  if (!node.empty()) return cloud->agent(node);
  return make_error(ErrorCode::kNotFound, "the application has no nodes");
}

Result<std::vector<std::string>> Run::nodes() const {
  CACS_ASSIGN(cloud::Cloud * cloud, cloud());
  CACS_ASSIGN(const std::vector<cloud::Node> all, cloud->list_nodes());
  std::vector<std::string> names;
  const std::vector<std::string> now = nodes_with_pods(context_.state);
  // Those that have pods first; where none is known, a release before this one forgot them when it gave them back.
  for (const std::string& name : now) {
    if (std::ranges::find(all, name, &cloud::Node::id) != all.end()) names.push_back(name);
  }
  for (const cloud::Node& node : all) {
    const bool home = now.empty() || std::ranges::count(context_.state.homes, node.id) > 0;
    if (home && std::ranges::count(names, node.id) == 0) names.push_back(node.id);
  }
  return names;
}

/// How a node reaches the others that have pods of the application.
Result<Json> Run::underlay(const std::string& node) const {
  const std::vector<std::string> used = nodes_with_pods(context_.state);
  if (used.size() < 2) return Json(nullptr);
  CACS_ASSIGN(cloud::Cloud * cloud, cloud());
  CACS_ASSIGN(const std::vector<cloud::Node> all, cloud->list_nodes());
  JsonObject link{{"id", context_.network_id}};
  JsonArray peers;
  for (const std::string& each : used) {
    const auto found = std::ranges::find(all, each, &cloud::Node::id);
    if (found == all.end() || found->address.empty()) {
      return make_error(
          ErrorCode::kUnsupported,
          fmt::format("the other nodes do not know how to reach node {} of cloud {}", each, cloud->name()),
          "put the application on one node (leave `nodes` out)");
    }
    if (each == node) {
      link["local"] = found->address;
    } else {
      peers.emplace_back(found->address);
    }
  }
  link["peers"] = std::move(peers);
  return Json(std::move(link));
}

ActionResult Run::claim() {
  const auto found = cloud();
  if (!found.ok()) return failed(EventKind::kNodesFailed, found.error());
  const auto& wish = context_.state.wish;
  const bool named = wish && !wish->names.empty();
  auto nodes = (*found)->claim_nodes(context_.application, wish ? wish->count : context_.asr->node_count,
                                     context_.asr->node_template, named ? wish->names : context_.state.node_names);
  if (!nodes.ok()) return again_or(EventKind::kNodesFailed, nodes.error());
  ActionResult out = result(EventKind::kNodesClaimed);
  for (const cloud::Node& node : *nodes) out.event.nodes.push_back(node.id);
  return out;
}

ActionResult Run::reach() {
  for (const std::string& node : nodes_with_pods(context_.state)) {
    const auto agent = agent_of(pods_on(context_.state, node).front());
    if (!agent.ok()) return again_or(EventKind::kNodesFailed, agent.error());
    if (const auto info = (*agent)->info(); !info.ok()) return again_or(EventKind::kNodesFailed, info.error());
  }
  return result(EventKind::kNodesReady);
}

ActionResult Run::prepare() {
  for (const std::string& node : nodes_with_pods(context_.state)) {
    const auto agent = agent_of(pods_on(context_.state, node).front());
    if (!agent.ok()) return again_or(EventKind::kNodesFailed, agent.error());
    const auto info = (*agent)->info();
    if (!info.ok()) return again_or(EventKind::kNodesFailed, info.error());
    std::string problem = "it is not installed";
    bool usable = false;
    if (const JsonArray* engines = json_find_array(*info, "engines")) {
      for (const Json& engine : *engines) {
        if (!engine.is_object() || json_string_or(engine.get_object(), "name", "") != context_.asr->engine) continue;
        usable = json_bool_or(engine.get_object(), "ok", false);
        problem = json_string_or(engine.get_object(), "problem", problem);
      }
    }
    if (!usable) {
      return failed(EventKind::kNodesFailed,
                    make_error(ErrorCode::kUnsupported,
                               fmt::format("node {} cannot use the engine {}: {}", node, context_.asr->engine, problem),
                               "run `cacs check` there")
                        .with_type("engine-missing"));
    }
  }
  return result(EventKind::kNodesPrepared);
}

ActionResult Run::release() {
  const auto found = cloud();
  if (!found.ok()) return failed(EventKind::kNodesReleased, found.error());  // a cloud that is gone holds nothing
  const Status released = (*found)->release_nodes(context_.application);
  if (!released.ok()) return failed(EventKind::kActionFailed, released.error());
  return result(EventKind::kNodesReleased);
}

ActionResult Run::start() {
  const auto agent = agent_of(action_.pod);
  if (!agent.ok()) return failed(EventKind::kActionFailed, agent.error());
  const auto link = underlay(node_of(context_.state, action_.pod));
  if (!link.ok()) return again_or(EventKind::kPodFailed, link.error());
  const auto sources = part_sources(action_.pod, **agent);
  if (!sources.ok()) return again_or(EventKind::kPodFailed, sources.error());
  const auto view = (*agent)->put_pod(uid(action_.pod), pod_request(context_, action_, *link, *sources));
  if (!view.ok()) {
    // Nothing is wrong with the checkpoint: the engine may be mended while we go on trying.
    if (view.error().type == "engine-missing") return failed(EventKind::kActionFailed, view.error());
    return again_or(EventKind::kPodFailed, view.error());
  }
  ActionResult out = result(EventKind::kSubmitted);  // its agent tells when it runs
  if (auto fact = pod_fact(action_.pod, *view)) out.event = *std::move(fact);
  return out;
}

ActionResult Run::destroy() {
  const auto agent = agent_of(action_.pod);
  if (!agent.ok() && agent.error().code == ErrorCode::kNotFound) return result(EventKind::kPodGone);
  if (!agent.ok()) return failed(EventKind::kActionFailed, agent.error());
  const Status gone = (*agent)->delete_pod(uid(action_.pod), action_.incarnation);
  if (!gone.ok() && gone.error().code != ErrorCode::kNotFound) return failed(EventKind::kActionFailed, gone.error());
  return result(EventKind::kPodGone);
}

ActionResult Run::open_network() {
  for (int pod = 0; pod < pods(); ++pod) {
    const auto agent = agent_of(pod);
    if (!agent.ok()) return failed(EventKind::kActionFailed, agent.error());
    const Status opened = (*agent)->open_network(uid(pod), action_.incarnation);
    // One that has ended meanwhile is told of by its agent; the others are to go on until that is judged.
    const bool gone =
        !opened && (opened.error().code == ErrorCode::kConflict || opened.error().code == ErrorCode::kNotFound);
    if (!opened && !gone) return failed(EventKind::kActionFailed, opened.error());
  }
  return result(EventKind::kNetworkOpened);
}

ActionResult Run::look_at_pods() {
  ActionResult out = result(EventKind::kPodsLookedAt);
  for (int pod = 1; pod < pods(); ++pod) {
    const auto agent = agent_of(pod);
    if (!agent.ok()) return failed(EventKind::kActionFailed, agent.error());
    const auto view = (*agent)->get_pod(uid(pod));
    if (!view.ok() && view.error().code != ErrorCode::kNotFound) {
      return failed(EventKind::kActionFailed, view.error());
    }
    const auto living = view.ok() ? lives(*view, action_.incarnation) : std::optional(false);
    if (!living) {
      return failed(EventKind::kActionFailed,
                    make_error(ErrorCode::kUnavailable, fmt::format("whether pod-{} lives is not known now", pod)));
    }
    if (!*living) out.event.dead.push_back(pod);
  }
  return out;
}

ActionResult Run::report() {
  for (const Outcome& outcome : context_.state.outcomes) {
    if (outcome.requester.request != action_.request || outcome.requester.pod != action_.pod) continue;
    JsonObject body{{"incarnation", outcome.requester.incarnation},
                    {"checkpoint", outcome.checkpoint},
                    {"request", outcome.requester.request},
                    {"level", outcome.requester.wait ? "local" : "-"},
                    {"result", outcome.requester.wait ? "committed" : "taken"}};
    if (!outcome.error.empty()) {
      body["result"] = "failed";
      body["error"] = error_to_json(make_error(ErrorCode::kAborted, outcome.error));
    }
    ActionResult out = result(EventKind::kOutcomeReported);
    out.event.requester = outcome.requester;
    const auto agent = agent_of(action_.pod);
    if (!agent.ok()) return again_or(EventKind::kOutcomeReported, agent.error());
    const Status told = (*agent)->report_outcome(uid(action_.pod), body);
    // A pod that does not know the request any more was rolled back, or has ended.
    if (!told.ok() && may_pass(told.error())) return failed(EventKind::kActionFailed, told.error());
    return out;
  }
  return result(EventKind::kSubmitted);
}

ActionResult Run::run() {
  switch (action_.kind) {
    case ActionKind::kClaimNodes:
      return claim();
    case ActionKind::kReachNodes:
      return reach();
    case ActionKind::kPrepareNodes:
      return prepare();
    case ActionKind::kReleaseNodes:
      return release();
    case ActionKind::kStartPod:
      return start();
    case ActionKind::kDestroyPod:
      return destroy();
    case ActionKind::kOpenNetwork:
      return open_network();
    case ActionKind::kLookAtPods:
      return look_at_pods();
    case ActionKind::kBeginCut:
      return begin_cut();
    case ActionKind::kThaw:
      return thaw();
    case ActionKind::kStore:
      return store();
    case ActionKind::kCommit:
      return commit();
    case ActionKind::kAbortCut:
      return abort_cut();
    case ActionKind::kDeleteCheckpoint:
      return delete_checkpoint();
    case ActionKind::kCheckCheckpoint:
      return check();
    case ActionKind::kReportOutcome:
      return report();
    case ActionKind::kArmTimer:
    case ActionKind::kRemoveRecord:
      break;
  }
  return result(EventKind::kSubmitted);
}

}  // namespace internal

ActionResult run_action(const Clouds& clouds, const ActionContext& context, const Action& action) {
  return internal::Run(clouds, context, action).run();
}

}  // namespace cacs::application
