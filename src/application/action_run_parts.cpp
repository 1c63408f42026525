// Which nodes have what of a checkpoint: for the check before a restart, and for pods that are restored on a node that
// has nothing of them (docs/nodes.md, *Restores on other nodes*).

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "application/action_run.h"
#include "application/placement.h"

namespace cacs::application::internal {
namespace {

/// What stands against a restore from the checkpoint; success: nothing.
Status verify(cloud::NodeAgent& agent, const std::string& checkpoint) {
  CACS_ASSIGN(const JsonObject said, agent.verify_checkpoint(checkpoint));
  if (json_bool_or(said, "ok", false)) return {};
  const JsonArray* problems = json_find_array(said, "problems");
  if (problems == nullptr || problems->empty() || !problems->front().is_object()) {
    return make_error(ErrorCode::kInternal, "the agent cannot use checkpoint " + checkpoint + " and does not say why");
  }
  return error_from_json(problems->front().get_object());
}

/// Whether the part has the pod. Before there were parts a manifest had all.
bool has_pod(const JsonObject& part, const std::string& pod) {
  const JsonArray* pods = json_find_array(part, "pods");
  return pods == nullptr || std::ranges::count(*pods, Json(pod)) > 0;
}

std::string pod_name(int pod) { return fmt::format("pod-{}", pod); }

}  // namespace

Result<cloud::Node> Run::node_info(const std::string& node) const {
  CACS_ASSIGN(cloud::Cloud * cloud, cloud());
  CACS_ASSIGN(const std::vector<cloud::Node> all, cloud->list_nodes());
  const auto found = std::ranges::find(all, node, &cloud::Node::id);
  if (found != all.end()) return *found;
  return make_error(ErrorCode::kNotFound, fmt::format("cloud {} has no node {} any more", cloud->name(), node));
}

/// Every pod's part has to be sound on one node; with those that are on it now they are looked for first.
Status Run::verify_parts(const std::string& checkpoint) const {
  CACS_ASSIGN(cloud::Cloud * cloud, cloud());
  CACS_ASSIGN(const auto names, nodes());
  std::set<std::string> missing;
  for (int pod = 0; pod < pods(); ++pod) missing.insert(pod_name(pod));
  std::optional<Error> why;
  bool elsewhere = false;
  for (const std::string& node : names) {
    if (missing.empty()) break;
    const auto agent = cloud->agent(node);
    const auto part = agent ? (*agent)->get_checkpoint(checkpoint) : Result<JsonObject>(agent.error());
    if (!part && part.error().code == ErrorCode::kNotFound) continue;
    std::set<std::string> here;
    if (part) {
      std::ranges::copy_if(missing, std::inserter(here, here.end()),
                           [&](const std::string& pod) { return has_pod(*part, pod); });
      if (here.empty()) continue;
    }
    const Status sound = part ? verify(**agent, checkpoint) : Status(part.error());
    if (sound) {
      for (const std::string& pod : here) missing.erase(pod);
      continue;
    }
    // A node that does not answer is not needed where it has a remote level: a restore reads every byte again.
    const auto info = node_info(node);
    elsewhere = elsewhere || (may_pass(sound.error()) && info && !info->remote.empty());
    if (!why || !may_pass(sound.error())) why = sound.error();
  }
  if (missing.empty()) return {};
  if (why && may_pass(*why) && elsewhere) return {};
  if (why) return *why;
  return make_error(ErrorCode::kNotFound,
                    fmt::format("no node has what checkpoint {} has of {}", checkpoint, *missing.begin()));
}

/// Where the pod's node gets its part of the checkpoint from; empty where it has it.
Result<JsonArray> Run::part_sources(int pod, cloud::NodeAgent& own) const {
  JsonArray sources;
  if (action_.checkpoint.empty()) return sources;
  const std::string name = pod_name(pod);
  const auto here = own.get_checkpoint(action_.checkpoint);
  if (here && has_pod(*here, name)) return sources;
  // What is wrong with it there its agent tells when the pod is made.
  if (!here && here.error().code != ErrorCode::kNotFound) {
    return may_pass(here.error()) ? Result<JsonArray>(here.error()) : Result<JsonArray>(sources);
  }
  CACS_ASSIGN(cloud::Cloud * cloud, cloud());
  CACS_ASSIGN(const auto names, nodes());
  std::optional<Error> silent;
  for (const std::string& node : names) {
    if (node == node_of(context_.state, pod)) continue;
    CACS_ASSIGN(const cloud::Node info, node_info(node));
    const auto agent = cloud->agent(node);
    const auto ticket = agent ? (*agent)->permit_export(action_.checkpoint, name) : Result<std::string>(agent.error());
    if (ticket && !info.agent.empty()) {
      sources.push_back(JsonObject{{"node", node}, {"agent", info.agent}, {"ticket", *ticket}});
    } else if (!ticket && may_pass(ticket.error())) {
      if (!info.remote.empty()) sources.push_back(JsonObject{{"place", info.remote}});
      silent = ticket.error();
    }
  }
  if (sources.empty() && silent) return *silent;
  return sources;
}

}  // namespace cacs::application::internal
