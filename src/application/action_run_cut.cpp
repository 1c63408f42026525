// Actions of the cut, and on checkpoints: over all pods at once, and over the nodes that have a part of each.

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <utility>

#include "application/action_run.h"
#include "application/app_options.h"
#include "application/parts.h"
#include "application/placement.h"

namespace cacs::application::internal {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kCutDeadlineMs = 120'000;  // then the shim thaws by itself
constexpr milliseconds kWatchWait{2'000};

/// Of each of a pod's times the application has waited for the pod that took longest.
void take_longest(const JsonObject& said, JsonObject& timings) {
  for (const auto& each : said) {
    if (!each.value().is_int64()) continue;
    timings[each.key()] = std::max(each.value().get_int64(), json_int_or(timings, each.key(), 0));
  }
}

}  // namespace

/// Of all pods at once, each of which may take long; the first error of any. What nobody wants any more is ended.
Status Run::on_every_pod(const std::function<Status(int pod)>& call) const {
  std::mutex mutex;
  std::condition_variable_any ended;
  int pending = pods();
  std::vector<std::future<Status>> begun;
  begun.reserve(static_cast<std::size_t>(pods()));
  for (int pod = 0; pod < pods(); ++pod) {
    begun.push_back(std::async(std::launch::async, [&, pod]() -> Status {
      Status status = call(pod);
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
  // The abort that the machine wants next comes after this action, so that it is the last word; what this one fails
  // with it is told again there.
  if (context_.cancelled.stop_requested()) static_cast<void>(abort_pods());
  std::optional<Error> first;
  for (std::future<Status>& each : begun) {
    const Status status = each.get();
    if (!status.ok() && !first) first = status.error();
  }
  return first ? Status(*first) : ok_status();
}

/// A program that saves itself is asked in all pods, and has saved in all, before the first of them is frozen: its
/// parts may need each other for it.
Status Run::ask_to_save() const {
  if (!saves_itself(*context_.asr)) return {};
  ParseFailure known;  // they were read when the application was submitted
  const JsonObject body{{"incarnation", action_.incarnation},
                        {"timeout_ms", read_app_options(*context_.asr, known).timeout.count()}};
  Status saved = on_every_pod([&](int pod) -> Status {
    CACS_ASSIGN(const auto agent, agent_of(pod));
    CACS_TRY(agent->ask_to_save(uid(pod), action_.checkpoint, body).context(fmt::format("save pod-{}", pod)));
    return {};
  });
  if (!saved || !context_.cancelled.stop_requested()) return saved;
  return make_error(ErrorCode::kAborted, "the checkpoint was given up");
}

ActionResult Run::begin_cut() {
  const Checkpoint* checkpoint = find_checkpoint(context_.state, action_.checkpoint);
  const std::string reason(
      checkpoint_reason_name(checkpoint == nullptr ? CheckpointReason::kRequest : checkpoint->reason));
  const JsonObject body{{"incarnation", action_.incarnation}, {"reason", reason}, {"deadline_ms", kCutDeadlineMs}};
  Status status = ask_to_save();
  // All pods at once: each waits frozen for the slowest.
  if (status) {
    status = on_every_pod([&](int pod) -> Status {
      CACS_ASSIGN(const auto agent, agent_of(pod));
      CACS_TRY(agent->begin_cut(uid(pod), action_.checkpoint, body).context(fmt::format("save pod-{}", pod)));
      return {};
    });
  }
  return status ? result(EventKind::kCutPrepared) : failed(EventKind::kCutFailed, status.error());
}

/// Of all pods at the same time: one that cannot be reached keeps no other waiting.
std::vector<Status> Run::at_once(const std::function<Status(int pod)>& call) const {
  std::vector<std::future<Status>> begun;
  begun.reserve(static_cast<std::size_t>(pods()));
  for (int pod = 0; pod < pods(); ++pod) begun.push_back(std::async(std::launch::async, call, pod));
  std::vector<Status> all;
  all.reserve(begun.size());
  for (std::future<Status>& each : begun) all.push_back(each.get());
  return all;
}

ActionResult Run::thaw() {
  const auto all = at_once([&](int pod) -> Status {
    CACS_ASSIGN(const auto agent, agent_of(pod));
    CACS_TRY(agent->thaw(uid(pod), action_.checkpoint, action_.incarnation));
    return {};
  });
  const Status* last = nullptr;
  for (const Status& each : all) {
    if (each.ok()) continue;
    last = &each;
    if (!may_pass(each.error())) break;  // what is over for one is over for all
  }
  return last == nullptr ? result(EventKind::kCutThawed) : again_or(EventKind::kCutFailed, last->error());
}

ActionResult Run::store() {
  ActionResult out = result(EventKind::kCutStored);
  JsonObject timings;
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
        if (const JsonObject* said = json_find_object(*cut, "timings")) take_longest(*said, timings);
        break;
      }
      if (phase != "STORING" || context_.cancelled.stop_requested()) {
        const JsonObject* error = json_find_object(*cut, "error");
        return failed(EventKind::kCutFailed, error != nullptr ? error_from_json(*error)
                                                              : make_error(ErrorCode::kAborted, "the cut is " + phase));
      }
    }
  }
  out.details["timings"] = std::move(timings);
  return out;
}

/// On each node the part that it has. What is there when only some have theirs is no checkpoint (parts.h).
ActionResult Run::commit() {
  const Checkpoint* checkpoint = find_checkpoint(context_.state, action_.checkpoint);
  JsonArray levels;
  for (const auto& level : context_.asr->checkpoint_levels) levels.emplace_back(level);
  JsonObject body{{"application", context_.application}, {"name", context_.asr->name},
                  {"incarnation", action_.incarnation},  {"reason", checkpoint_reason_name(checkpoint->reason)},
                  {"levels", std::move(levels)},         {"of_pods", pods()}};
  std::vector<Part> parts;
  for (const std::string& node : nodes_with_pods(context_.state)) {
    const std::vector<int> here = pods_on(context_.state, node);
    JsonArray list;
    for (const int pod : here) {
      list.push_back(
          JsonObject{{"uid", uid(pod)}, {"piece", context_.state.cut->pieces.at(static_cast<std::size_t>(pod))}});
    }
    body["pods"] = std::move(list);
    const auto agent = agent_of(here.front());
    if (!agent.ok()) return again_or(EventKind::kCutFailed, agent.error());
    auto committed = (*agent)->commit_checkpoint(action_.checkpoint, body);
    if (!committed.ok()) return again_or(EventKind::kCutFailed, committed.error());
    parts.push_back({node, *std::move(committed)});
  }
  ActionResult out = result(EventKind::kCommitted);
  out.details = merge_parts(parts);
  return out;
}

Status Run::abort_pods() const {
  const auto all = at_once([&](int pod) -> Status {
    const auto agent = agent_of(pod);
    if (!agent.ok() && agent.error().code == ErrorCode::kNotFound) return {};
    if (!agent.ok()) return agent.error();
    const auto cut = (*agent)->abort_cut(uid(pod), action_.checkpoint, action_.incarnation);
    // Anything but silence means that nothing of this cut is frozen there.
    return !cut.ok() && may_pass(cut.error()) ? Status(cut.error()) : ok_status();
  });
  for (const Status& each : all) CACS_TRY(each);
  return {};
}

ActionResult Run::abort_cut() {
  if (const Status told = abort_pods(); !told) return failed(EventKind::kActionFailed, told.error());
  // Some nodes may have committed their parts before another could not.
  const bool committing = context_.state.cut && !context_.state.cut->pieces.empty();
  if (committing && nodes_with_pods(context_.state).size() > 1) {
    if (const Status gone = delete_parts(); !gone) return failed(EventKind::kActionFailed, gone.error());
  }
  return result(EventKind::kCutAborted);
}

Status Run::delete_parts() const {
  CACS_ASSIGN(const auto names, nodes());
  CACS_ASSIGN(cloud::Cloud * cloud, cloud());
  for (const std::string& node : names) {
    CACS_ASSIGN(const auto agent, cloud->agent(node));
    Status gone = agent->delete_checkpoint(action_.checkpoint);
    if (!gone && gone.error().code != ErrorCode::kNotFound) return gone;
  }
  return {};
}

ActionResult Run::delete_checkpoint() {
  const Status gone = delete_parts();
  if (!gone && gone.error().code != ErrorCode::kNotFound) return failed(EventKind::kActionFailed, gone.error());
  return result(EventKind::kCheckpointDeleted);
}

ActionResult Run::check() {
  const Status status = verify_parts(action_.checkpoint);
  if (status) return result(EventKind::kCheckpointSound);
  if (may_pass(status.error())) return failed(EventKind::kActionFailed, status.error());
  const Error& refused = status.error();
  // Offered is only what was looked at in the same way.
  const auto& all = context_.state.checkpoints;
  for (auto older = all.rbegin(); older != all.rend() && !context_.cancelled.stop_requested(); ++older) {
    if (older->id >= action_.checkpoint || older->phase != CheckpointPhase::kAvailable || older->damaged) continue;
    if (!verify_parts(older->id)) continue;
    return failed(
        EventKind::kCheckpointUnusable,
        refused.with_hint(fmt::format("restart from checkpoint {}: it is the newest older one that is intact; "
                                      "what runs now was left as it is",
                                      older->id)));
  }
  return failed(EventKind::kCheckpointUnusable,
                refused.with_hint("there is no older checkpoint that is intact; what runs now was left as it is"));
}

}  // namespace cacs::application::internal
