// Listening to agents: one thread a node. What an agent says becomes an event of a machine; an agent that is new, or
// came back, is first asked what is there.

#include <fmt/format.h>

#include <set>

#include "application/manager_core.h"
#include "application/placement.h"
#include "application/pod_fact.h"
#include "base/log.h"
#include "base/text.h"

namespace cacs::application {

namespace {

struct PodName {
  std::string application;
  int pod = -1;
};

/// "APPLICATION.pod-N"
std::optional<PodName> parse_uid(const std::string& uid) {
  const std::size_t dot = uid.rfind(".pod-");
  if (dot == std::string::npos) return std::nullopt;
  return PodName{uid.substr(0, dot), static_cast<int>(std::strtol(uid.c_str() + dot + 5, nullptr, 10))};
}

struct Believed {
  std::string application;
  int pod = 0;
  int incarnation = 0;
};

}  // namespace

bool Manager::Core::wait_stop(std::chrono::milliseconds limit) {
  std::unique_lock lock(stop_mutex_);
  return stop_changed_.wait_for(lock, limit, [&] { return stopping_; });
}

void Manager::Core::start_pumps() {
  for (const auto& [name, cloud] : clouds_) {
    const auto nodes = cloud->list_nodes();
    if (!nodes) {
      spdlog::error("cloud {}: {}", name, nodes.error().to_string());
      continue;
    }
    for (const auto& node : *nodes)
      pumps_.emplace_back([this, cloud_name = name, id = node.id] { pump(cloud_name, id); });
  }
}

void Manager::Core::pump(const std::string& cloud_name, const std::string& node) {
  cloud::Cloud& cloud = *clouds_.at(cloud_name);
  std::string instance;
  std::uint64_t after = 0;
  std::string complaint;
  while (!wait_stop(std::chrono::milliseconds(0))) {
    auto agent = cloud.agent(node);
    auto said = agent ? (*agent)->events(after, instance, options_.poll_wait) : Result<JsonObject>(agent.error());
    if (!said) {
      // The same complaint is made once, not twice a second.
      if (said.error().message != complaint) spdlog::warn("node {}: {}", node, said.error().to_string());
      complaint = said.error().message;
      if (wait_stop(options_.reconnect_wait)) return;
      continue;
    }
    complaint.clear();
    const std::string now = json_string_or(*said, "instance", "");
    if (now != instance) {
      if (!reconcile(cloud_name, node, *agent)) {
        if (wait_stop(options_.reconnect_wait)) return;
        continue;
      }
      instance = now;
      after = 0;
    }
    const JsonArray* events = json_find_array(*said, "events");
    if (events == nullptr) continue;
    for (const auto& item : *events) {
      const JsonObject* event = item.if_object();
      if (event == nullptr) continue;
      after = std::max(after, static_cast<std::uint64_t>(json_int_or(*event, "seq", 0)));
      on_agent_event(node, *event);
    }
  }
}

bool Manager::Core::reconcile(const std::string& cloud, const std::string& node,
                              const std::shared_ptr<cloud::NodeAgent>& agent) {
  // Noted before the agent is asked: a pod that starts meanwhile must not look as if it had died.
  const auto is_placed = [cloud, node](const Record& record, int pod) {
    return record.asr->cloud == cloud && node_of(record.state, pod) == node;
  };
  const std::function<Result<std::vector<Believed>>()> note = [&]() -> Result<std::vector<Believed>> {
    std::vector<Believed> list;
    for (const auto& [id, record] : records_) {
      for (std::size_t i = 0; i < record->state.pods.size(); ++i) {
        const Pod& pod = record->state.pods[i];
        if (pod.status == PodStatus::kRunning && is_placed(*record, static_cast<int>(i)))
          list.push_back({id, static_cast<int>(i), pod.incarnation});
      }
    }
    return list;
  };
  const auto believed = ask<std::vector<Believed>>(note);
  if (!believed) return false;
  auto listed = agent->list_pods();
  if (!listed) return false;
  const JsonArray* pods = json_find_array(*listed, "pods");
  if (pods == nullptr) return false;
  std::set<std::string> there;
  for (const auto& item : *pods) {
    const JsonObject* view = item.if_object();
    if (view == nullptr) continue;
    const std::string uid = json_string_or(*view, "uid", "");
    const auto name = parse_uid(uid);
    const int incarnation = static_cast<int>(json_int_or(*view, "incarnation", 0));
    if (!name) continue;
    there.insert(uid);
    const auto fact = pod_fact(name->pod, *view);
    mailbox_.post([this, agent, uid, application = name->application, pod = name->pod, incarnation, fact, is_placed] {
      Record* record = find(application);
      const bool ours = record != nullptr && is_placed(*record, pod) &&
                        record->state.pods[static_cast<std::size_t>(pod)].incarnation == incarnation &&
                        record->state.pods[static_cast<std::size_t>(pod)].status != PodStatus::kNone;
      if (ours) {
        if (fact) handle(application, *fact);
        return;
      }
      spdlog::warn("pod {} in incarnation {} belongs to nobody: it is removed", uid, incarnation);
      workers_.post([agent, uid, incarnation] {
        if (const auto gone = agent->delete_pod(uid, incarnation); !gone) spdlog::warn("{}", gone.error().to_string());
      });
    });
  }
  for (const auto& pod : *believed) {
    if (there.count(pod_uid(pod.application, pod.pod)) != 0) continue;
    mailbox_.post([this, pod] {
      handle(pod.application, Event{.kind = EventKind::kPodMissing, .pod = pod.pod, .incarnation = pod.incarnation});
    });
  }
  return true;
}

void Manager::Core::on_agent_event(const std::string& node, const JsonObject& said) {
  const std::string kind = json_string_or(said, "kind", "");
  if (kind == "checkpoint.levels") {
    mailbox_.post([this, node, said] { on_levels(node, said); });
    return;
  }
  const auto name = parse_uid(json_string_or(said, "uid", ""));
  if (!name) return;
  Event event;
  event.pod = name->pod;
  event.incarnation = static_cast<int>(json_int_or(said, "incarnation", 0));
  if (kind == "pod.progress") {
    mailbox_.post([this, application = name->application, incarnation = event.incarnation,
                   value = json_int_or(said, "value", 0)] { on_progress(application, incarnation, value); });
    return;
  }
  if (kind == "pod.base_changed") {
    mailbox_.post([this, application = name->application, incarnation = event.incarnation, said] {
      on_base_changed(application, incarnation, said);
    });
    return;
  }
  if (kind == "pod.running") {
    event.kind = EventKind::kPodRunning;
  } else if (kind == "pod.exited") {
    event.kind = EventKind::kPodExited;
    if (const JsonObject* exit = json_find_object(said, "exit")) event.exit = exit_from_agent(*exit);
  } else if (kind == "pod.failed") {
    event.kind = EventKind::kPodFailed;
    const JsonObject* error = json_find_object(said, "error");
    event.error = error != nullptr ? error_from_json(*error) : make_error(ErrorCode::kInternal, "it could not be made");
  } else if (kind == "pod.tainted") {
    event.kind = EventKind::kPodTainted;
  } else if (kind == "pod.checkpoint_requested") {
    event.kind = EventKind::kCheckpointRequested;
    event.reason = CheckpointReason::kApplication;
    event.requester = Requester{name->pod, event.incarnation, json_string_or(said, "request", ""),
                                json_string_or(said, "level", "-"), json_bool_or(said, "wait", false)};
  } else {
    return;
  }
  if (kind == "pod.running" || kind == "pod.exited" || kind == "pod.failed") event.log_base = log_base_from_agent(said);
  mailbox_.post([this, application = name->application, event] { handle(application, event); });
}

void Manager::Core::on_progress(const std::string& application, int incarnation, std::int64_t value) {
  Record* record = find(application);
  if (record == nullptr || record->state.incarnation != incarnation || record->progress == value) return;
  record->progress = value;
  post_views(*record);
}

/// Not written at once: a server that starts asks the agents, and hears it again.
void Manager::Core::on_levels(const std::string& node, const JsonObject& said) {
  Record* record = find(json_string_or(said, "application", ""));
  const std::string id = json_string_or(said, "checkpoint", "");
  const JsonArray* levels = json_find_array(said, "levels");
  if (record == nullptr || levels == nullptr || find_checkpoint(record->state, id) == nullptr) return;
  note_levels(record->details[id].said, node, *levels);
  post_views(*record);
}

void Manager::Core::on_base_changed(const std::string& application, int incarnation, const JsonObject& said) {
  Record* record = find(application);
  if (record == nullptr || record->state.incarnation != incarnation) return;
  std::vector<database::Write> writes;
  std::vector<EventView> events;
  const std::uint64_t last_event = last_event_;
  add_event(*record,
            {"application.base_changed",
             fmt::format("{} {}", json_string_or(said, "path", ""), json_string_or(said, "what", "")),
             {}},
            writes, events);
  if (const Status stored = database_.apply(std::move(writes)); !stored) {
    spdlog::error("application {}: {}", application, stored.error().to_string());
    last_event_ = last_event;
    record->recent.pop_back();
    return;
  }
  post_views(*record);
}

}  // namespace cacs::application
