#include "application/action_runner.h"

#include <fmt/format.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <utility>

#include "application/pod_request.h"

namespace cacs::application {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kCutDeadlineMs = 120'000;  // then the shim thaws by itself
constexpr milliseconds kWatchWait{2'000};

bool may_pass(const Error& error) { return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout; }

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
  const auto& nodes = context_.state.node_names;
  if (!nodes.empty()) return cloud->agent(nodes[static_cast<std::size_t>(pod) % nodes.size()]);
  // Given back since: what is left on them is asked of the nodes that the cloud still has.
  CACS_ASSIGN(const std::vector<cloud::Node> all, cloud->list_nodes());
  if (all.empty()) return make_error(ErrorCode::kNotFound, "the cloud has no nodes any more");
  return cloud->agent(all.front().id);
}

ActionResult Run::claim() {
  const auto found = cloud();
  if (!found.ok()) return failed(EventKind::kNodesFailed, found.error());
  auto nodes = (*found)->claim_nodes(context_.application, context_.asr->node_count, context_.asr->node_template);
  if (!nodes.ok()) return again_or(EventKind::kNodesFailed, nodes.error());
  ActionResult out = result(EventKind::kNodesClaimed);
  for (const cloud::Node& node : *nodes) out.event.nodes.push_back(node.id);
  return out;
}

ActionResult Run::reach() {
  for (int pod = 0; pod < static_cast<int>(context_.state.node_names.size()); ++pod) {
    const auto agent = agent_of(pod);
    if (!agent.ok()) return again_or(EventKind::kNodesFailed, agent.error());
    if (const auto info = (*agent)->info(); !info.ok()) return again_or(EventKind::kNodesFailed, info.error());
  }
  return result(EventKind::kNodesReady);
}

ActionResult Run::prepare() {
  for (int pod = 0; pod < static_cast<int>(context_.state.node_names.size()); ++pod) {
    const auto agent = agent_of(pod);
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
                               fmt::format("node {} cannot use the engine {}: {}",
                                           context_.state.node_names[static_cast<std::size_t>(pod)],
                                           context_.asr->engine, problem),
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
  const auto view = (*agent)->put_pod(uid(action_.pod), pod_request(context_, action_));
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

ActionResult Run::begin_cut() {
  const Checkpoint* checkpoint = find_checkpoint(context_.state, action_.checkpoint);
  const std::string reason(
      checkpoint_reason_name(checkpoint == nullptr ? CheckpointReason::kRequest : checkpoint->reason));
  const JsonObject body{{"incarnation", action_.incarnation}, {"reason", reason}, {"deadline_ms", kCutDeadlineMs}};
  std::mutex mutex;
  std::condition_variable_any ended;
  int pending = pods();
  const auto begin = [&](int pod) -> Status {
    CACS_ASSIGN(const auto agent, agent_of(pod));
    CACS_TRY(agent->begin_cut(uid(pod), action_.checkpoint, body).context(fmt::format("save pod-{}", pod)));
    return ok_status();
  };
  // All pods at once: each waits frozen for the slowest.
  std::vector<std::future<Status>> begun;
  begun.reserve(static_cast<std::size_t>(pods()));
  for (int pod = 0; pod < pods(); ++pod) {
    begun.push_back(std::async(std::launch::async, [&, pod]() -> Status {
      Status status = begin(pod);
      const std::lock_guard lock(mutex);
      --pending;
      ended.notify_all();
      return status;
    }));
  }
  {
    std::unique_lock lock(mutex);
    ended.wait(lock, context_.cancelled, [&] { return pending == 0; });
  }
  // A dump may take long: one that nobody wants any more is ended now. The abort that the machine wants next comes
  // after this action, so that it is the last word; what it fails with here it is told again there.
  if (context_.cancelled.stop_requested()) static_cast<void>(abort_cut());
  std::optional<Error> first;
  for (std::future<Status>& each : begun) {
    const Status status = each.get();
    if (!status.ok() && !first) first = status.error();
  }
  return first ? failed(EventKind::kCutFailed, *first) : result(EventKind::kCutPrepared);
}

ActionResult Run::thaw() {
  for (int pod = 0; pod < pods(); ++pod) {
    const auto agent = agent_of(pod);
    if (!agent.ok()) return again_or(EventKind::kCutFailed, agent.error());
    const auto cut = (*agent)->thaw(uid(pod), action_.checkpoint, action_.incarnation);
    if (!cut.ok()) return again_or(EventKind::kCutFailed, cut.error());
  }
  return result(EventKind::kCutThawed);
}

ActionResult Run::store() {
  ActionResult out = result(EventKind::kCutStored);
  for (int pod = 0; pod < pods(); ++pod) {
    for (;;) {
      const auto agent = agent_of(pod);
      if (!agent.ok()) return again_or(EventKind::kCutFailed, agent.error());
      const auto cut = (*agent)->get_cut(uid(pod), action_.checkpoint, kWatchWait);
      if (!cut.ok()) return again_or(EventKind::kCutFailed, cut.error());
      const auto bytes = [&](std::string_view name) {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_int_or(*cut, name, 0)));
      };
      if (context_.progress) context_.progress(bytes("bytes_done"), bytes("bytes_total"));
      const std::string phase = json_string_or(*cut, "phase", "");
      if (phase == "STORED") {
        out.event.pieces.push_back(json_string_or(*cut, "piece", ""));
        if (const JsonObject* timings = json_find_object(*cut, "timings")) out.details["timings"] = *timings;
        break;
      }
      if (phase != "STORING" || context_.cancelled.stop_requested()) {
        const JsonObject* error = json_find_object(*cut, "error");
        return failed(EventKind::kCutFailed, error != nullptr ? error_from_json(*error)
                                                              : make_error(ErrorCode::kAborted, "the cut is " + phase));
      }
    }
  }
  return out;
}

ActionResult Run::commit() {
  const auto agent = agent_of(0);
  if (!agent.ok()) return again_or(EventKind::kCutFailed, agent.error());
  const Checkpoint* checkpoint = find_checkpoint(context_.state, action_.checkpoint);
  JsonArray list;
  for (std::size_t i = 0; i < context_.state.cut->pieces.size(); ++i) {
    list.push_back(JsonObject{{"uid", uid(static_cast<int>(i))}, {"piece", context_.state.cut->pieces[i]}});
  }
  JsonArray levels;
  for (const auto& level : context_.asr->checkpoint_levels) levels.emplace_back(level);
  const JsonObject body{{"application", context_.application}, {"name", context_.asr->name},
                        {"incarnation", action_.incarnation},  {"reason", checkpoint_reason_name(checkpoint->reason)},
                        {"levels", std::move(levels)},         {"pods", std::move(list)}};
  auto committed = (*agent)->commit_checkpoint(action_.checkpoint, body);
  if (!committed.ok()) return again_or(EventKind::kCutFailed, committed.error());
  ActionResult out = result(EventKind::kCommitted);
  out.details = *std::move(committed);
  return out;
}

ActionResult Run::abort_cut() {
  for (int pod = 0; pod < pods(); ++pod) {
    const auto agent = agent_of(pod);
    if (!agent.ok() && agent.error().code != ErrorCode::kNotFound)
      return failed(EventKind::kActionFailed, agent.error());
    if (!agent.ok()) continue;
    const auto cut = (*agent)->abort_cut(uid(pod), action_.checkpoint, action_.incarnation);
    // Anything but silence means that nothing of this cut is frozen there.
    if (!cut.ok() && may_pass(cut.error())) return failed(EventKind::kActionFailed, cut.error());
  }
  return result(EventKind::kCutAborted);
}

ActionResult Run::delete_checkpoint() {
  const auto agent = agent_of(0);
  if (!agent.ok() && agent.error().code == ErrorCode::kNotFound) return result(EventKind::kCheckpointDeleted);
  if (!agent.ok()) return failed(EventKind::kActionFailed, agent.error());
  const Status gone = (*agent)->delete_checkpoint(action_.checkpoint);
  if (!gone.ok() && gone.error().code != ErrorCode::kNotFound) return failed(EventKind::kActionFailed, gone.error());
  return result(EventKind::kCheckpointDeleted);
}

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

ActionResult Run::check() {
  const auto agent = agent_of(0);
  if (!agent.ok()) return again_or(EventKind::kCheckpointUnusable, agent.error());
  const Status status = verify(**agent, action_.checkpoint);
  if (status) return result(EventKind::kCheckpointSound);
  if (may_pass(status.error())) return failed(EventKind::kActionFailed, status.error());
  const Error& refused = status.error();
  // Offered is only what was looked at in the same way.
  const auto& all = context_.state.checkpoints;
  for (auto older = all.rbegin(); older != all.rend() && !context_.cancelled.stop_requested(); ++older) {
    if (older->id >= action_.checkpoint || older->phase != CheckpointPhase::kAvailable || older->damaged) continue;
    if (!verify(**agent, older->id)) continue;
    return failed(
        EventKind::kCheckpointUnusable,
        refused.with_hint(fmt::format("restart from checkpoint {}: it is the newest older one that is intact; "
                                      "what runs now was left as it is",
                                      older->id)));
  }
  return failed(EventKind::kCheckpointUnusable,
                refused.with_hint("there is no older checkpoint that is intact; what runs now was left as it is"));
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

}  // namespace

std::string pod_uid(std::string_view application, int pod) { return fmt::format("{}.pod-{}", application, pod); }

PodExit exit_from_agent(const JsonObject& exit) {
  PodExit out{.code = static_cast<int>(json_int_or(exit, "code", 0)),
              .signal = static_cast<int>(json_int_or(exit, "signal", 0))};
  const std::string kind = json_string_or(exit, "kind", "unknown");
  if (kind == "exited") out.kind = ExitKind::kExited;
  if (kind == "signaled") out.kind = ExitKind::kSignaled;
  if (kind == "oom") out.kind = ExitKind::kOom;
  if (kind == "exec-failed") {  // what a shell says of a command it cannot execute
    out.kind = ExitKind::kExited;
    out.code = 127;
  }
  return out;
}

std::optional<LogSizes> log_base_from_agent(const JsonObject& view) {
  const Json* told = view.if_contains("log_base");
  if (told == nullptr) return LogSizes{};
  const JsonObject* base = told->if_object();
  if (base == nullptr) return std::nullopt;
  const auto size = [&](std::string_view name) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_int_or(*base, name, 0)));
  };
  return LogSizes{.out = size("stdout"), .err = size("stderr")};
}

std::optional<Event> pod_fact(int pod, const JsonObject& view) {
  Event event{.pod = pod, .incarnation = static_cast<int>(json_int_or(view, "incarnation", 0))};
  const std::string state = json_string_or(view, "state", "");
  if (state == "RUNNING") {
    event.kind = EventKind::kPodRunning;
  } else if (state == "EXITED") {
    event.kind = EventKind::kPodExited;
    if (const JsonObject* exit = json_find_object(view, "exit")) event.exit = exit_from_agent(*exit);
  } else if (state == "FAILED") {
    event.kind = EventKind::kPodFailed;
    const JsonObject* error = json_find_object(view, "error");
    event.error = error != nullptr ? error_from_json(*error) : make_error(ErrorCode::kInternal, "it could not be made");
  } else if (state == "TAINTED") {
    event.kind = EventKind::kPodTainted;
  } else {
    return std::nullopt;
  }
  event.log_base = log_base_from_agent(view);
  return event;
}

ActionResult run_action(const Clouds& clouds, const ActionContext& context, const Action& action) {
  return Run(clouds, context, action).run();
}

}  // namespace cacs::application
