#include "checkpoint/run_cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

namespace cacs::checkpoint {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kWatchWait{2'000};
/// An agent that answers a watch at once without news is asked again only after this.
constexpr std::chrono::milliseconds kWatchPause{50};
constexpr std::chrono::milliseconds kFirstBackoff{50};

std::string_view doing(Call call) {
  switch (call) {
    case Call::kBegin:
      return "freeze and save";
    case Call::kThaw:
      return "thaw";
    case Call::kWatch:
      return "store";
    case Call::kAbort:
      return "abort the checkpoint";
    case Call::kCommit:
      return "commit the checkpoint";
  }
  return "";
}

/// Why a cut that has ended without success did: the agent's own error, or what we see of it.
Error error_of(const JsonObject& cut) {
  if (const JsonObject* error = json_find_object(cut, "error")) return error_from_json(*error);
  return make_error(ErrorCode::kIo, fmt::format("the agent reports {}", json_string_or(cut, "phase", "no phase")));
}

}  // namespace

void CutControl::post(Message message) {
  const std::scoped_lock lock(mutex_);
  messages_.push_back(std::move(message));
  arrived_.notify_all();
}

void CutControl::cancel(std::string_view why) {
  post({.event = {.kind = CutEventKind::kCancel, .error = make_error(ErrorCode::kAborted, std::string(why))}});
}

void CutControl::pod_died(std::string_view uid) {
  post({.event = {.kind = CutEventKind::kPodDied,
                  .error = make_error(ErrorCode::kConflict, fmt::format("pod {} ended while being saved", uid))},
        .uid = std::string(uid)});
}

/// One run of the machine against the agents.
class CutRun {
 public:
  CutRun(const CutRequest& request, CutControl& control, const CutListener& listener)
      : request_(request),
        control_(control),
        listener_(listener),
        state_(initial_cut(request.pods.size())),
        bytes_(request.pods.size()),
        pieces_(request.pods.size()) {}

  Result<JsonObject> run();

 private:
  struct Bytes {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
  };

  void take(const CutEvent& event);
  void handle(const CutControl::Message& message);
  std::optional<CutControl::Message> next_message();
  void enter_phase(CutPhase phase);

  // On a thread of the call's own:
  void perform(const CutAction& action);
  Status call(const CutAction& action, CutEventKind& how);
  Status watch(std::size_t pod, CutEventKind& how);
  Status commit();
  bool pause(std::chrono::milliseconds time, bool until_aborting);

  const CutRequest& request_;
  CutControl& control_;
  const CutListener& listener_;
  CutState state_;
  std::optional<Clock::time_point> deadline_;
  std::vector<Bytes> bytes_;

  // Each is written by the one thread that makes that call, and read after its answer was taken from the queue.
  std::vector<std::string> pieces_;
  JsonObject committed_;

  std::vector<std::jthread> calls_;  // last: joined before the rest goes
};

Result<JsonObject> CutRun::run() {
  deadline_ = Clock::now() + request_.prepare_limit;
  listener_.phase(state_.phase);
  take({.kind = CutEventKind::kStart});
  while (!is_end(state_.phase)) {
    if (const auto message = next_message()) {
      handle(*message);
    } else {
      deadline_.reset();
      take({.kind = CutEventKind::kTimeout,
            .error = make_error(ErrorCode::kTimeout,
                                fmt::format("not all pods were {} in time",
                                            state_.phase == CutPhase::kStoring ? "stored" : "frozen and saved"),
                                "the application runs on; look at the agent's log for what takes so long")});
    }
  }
  calls_.clear();
  if (state_.phase == CutPhase::kCommitted) return std::move(committed_);
  Error failure = state_.failure.value_or(make_error(ErrorCode::kInternal, "the cut failed without a reason"));
  if (state_.phase == CutPhase::kUnknown) failure.type = "commit-unknown";
  return failure;
}

/// The next message, or none when the phase's deadline passes.
std::optional<CutControl::Message> CutRun::next_message() {
  std::unique_lock lock(control_.mutex_);
  const auto arrived = [this] { return !control_.messages_.empty(); };
  if (!deadline_) {
    control_.arrived_.wait(lock, arrived);
  } else if (!control_.arrived_.wait_until(lock, *deadline_, arrived)) {
    return std::nullopt;
  }
  CutControl::Message message = std::move(control_.messages_.front());
  control_.messages_.pop_front();
  return message;
}

void CutRun::handle(const CutControl::Message& message) {
  CutEvent event = message.event;
  if (message.progress) {
    bytes_[event.pod] = {.done = message.bytes_done, .total = message.bytes_total};
    Bytes sum;
    for (const Bytes& bytes : bytes_) {
      sum.done += bytes.done;
      sum.total += bytes.total;
    }
    listener_.progress(sum.done, sum.total);
    return;
  }
  if (event.kind == CutEventKind::kPodDied) {
    const auto found = std::ranges::find(request_.pods, message.uid, &CutMember::uid);
    if (found == request_.pods.end()) return;
    event.pod = static_cast<std::size_t>(found - request_.pods.begin());
  }
  take(event);
}

void CutRun::take(const CutEvent& event) {
  const CutPhase before = state_.phase;
  CutStep next = step(std::move(state_), event);
  state_ = std::move(next.state);
  // Calls first, then the listener: pods may be waiting, frozen.
  for (const CutAction& action : next.actions) {
    calls_.emplace_back([this, action] { perform(action); });
  }
  if (state_.phase != before) enter_phase(state_.phase);
}

void CutRun::enter_phase(CutPhase phase) {
  if (phase == CutPhase::kStoring) deadline_ = Clock::now() + request_.store_limit;
  if (phase == CutPhase::kCommitting || phase == CutPhase::kAborting) deadline_.reset();
  if (phase == CutPhase::kAborting) {
    const std::scoped_lock lock(control_.mutex_);
    control_.aborting_ = true;
    control_.arrived_.notify_all();
  }
  listener_.phase(phase);
}

void CutRun::perform(const CutAction& action) {
  if (action.attempt > 1) pause(kFirstBackoff * (1 << (action.attempt - 2)), false);
  CutEvent event{.kind = CutEventKind::kDone, .call = action.call, .pod = action.pod, .attempt = action.attempt};
  const Status done = call(action, event.kind);
  if (!done.ok()) {
    event.error = done.error().with_context(fmt::format("{}: {}", request_.pods[action.pod].uid, doing(action.call)));
  }
  control_.post({.event = std::move(event)});
}

/// Makes one call to its end. `how` says how it ended.
Status CutRun::call(const CutAction& action, CutEventKind& how) {
  const auto& [uid, agent] = request_.pods[action.pod];
  if (action.call == Call::kWatch) return watch(action.pod, how);
  Status result;
  if (action.call == Call::kCommit) {
    result = commit();
  } else {
    const JsonObject begin{{"incarnation", request_.incarnation},
                           {"reason", request_.reason},
                           {"deadline_ms", request_.prepare_limit.count()}};
    Result<JsonObject> cut = action.call == Call::kBegin ? agent->begin_cut(uid, request_.checkpoint, begin)
                             : action.call == Call::kThaw
                                 ? agent->thaw(uid, request_.checkpoint, request_.incarnation)
                                 : agent->abort_cut(uid, request_.checkpoint, request_.incarnation);
    if (!cut.ok()) {
      result = cut.error();
    } else {
      const std::string phase = json_string_or(*cut, "phase", "");
      const bool good = action.call == Call::kAbort || (action.call == Call::kBegin && phase == "PREPARED") ||
                        (action.call == Call::kThaw && (phase == "STORING" || phase == "STORED"));
      if (!good) {
        how = CutEventKind::kFailed;
        return error_of(*cut);
      }
    }
  }
  if (result.ok()) return result;
  const ErrorCode code = result.error().code;
  const bool lost = code == ErrorCode::kUnavailable || code == ErrorCode::kTimeout;
  how = lost ? CutEventKind::kUnreachable : CutEventKind::kFailed;
  return result;
}

Status CutRun::watch(std::size_t pod, CutEventKind& how) {
  const auto& [uid, agent] = request_.pods[pod];
  while (true) {
    const Clock::time_point asked = Clock::now();
    const Result<JsonObject> cut = agent->get_cut(uid, request_.checkpoint, kWatchWait);
    if (!cut.ok()) {
      const bool lost = cut.error().code == ErrorCode::kUnavailable || cut.error().code == ErrorCode::kTimeout;
      how = lost ? CutEventKind::kUnreachable : CutEventKind::kFailed;
      return cut.error();
    }
    const std::string phase = json_string_or(*cut, "phase", "");
    control_.post({.event = {.pod = pod},
                   .progress = true,
                   .bytes_done = static_cast<std::uint64_t>(json_int_or(*cut, "bytes_done", 0)),
                   .bytes_total = static_cast<std::uint64_t>(json_int_or(*cut, "bytes_total", 0))});
    if (phase == "STORED") {
      pieces_[pod] = json_string_or(*cut, "piece", "");
      if (!pieces_[pod].empty()) return {};
      how = CutEventKind::kFailed;
      return make_error(ErrorCode::kInternal, "the agent reports STORED without naming the piece");
    }
    const bool early = Clock::now() - asked < kWatchPause;
    const bool given_up = pause(early ? kWatchPause : std::chrono::milliseconds(0), true);
    if (phase != "STORING" || given_up) {
      how = CutEventKind::kFailed;
      return phase != "STORING" ? error_of(*cut) : make_error(ErrorCode::kAborted, "given up");
    }
  }
}

Status CutRun::commit() {
  JsonArray pods;
  for (std::size_t pod = 0; pod < pieces_.size(); ++pod) {
    pods.emplace_back(JsonObject{{"uid", request_.pods[pod].uid}, {"piece", pieces_[pod]}});
  }
  const JsonObject body{{"application", request_.application},
                        {"name", request_.name},
                        {"incarnation", request_.incarnation},
                        {"reason", request_.reason},
                        {"pods", std::move(pods)}};
  CACS_ASSIGN(committed_, request_.pods.front().agent->commit_checkpoint(request_.checkpoint, body));
  return {};
}

/// Waits, and returns whether the cut is being aborted; with `until_aborting` it then waits no longer.
bool CutRun::pause(std::chrono::milliseconds time, bool until_aborting) {
  std::unique_lock lock(control_.mutex_);
  control_.arrived_.wait_for(lock, time, [this, until_aborting] { return until_aborting && control_.aborting_; });
  return control_.aborting_;
}

Result<JsonObject> run_cut(const CutRequest& request, CutControl& control, const CutListener& listener) {
  if (request.pods.empty()) return make_error(ErrorCode::kInvalidArgument, "a checkpoint of no pods");
  return CutRun(request, control, listener).run();
}

}  // namespace cacs::checkpoint
