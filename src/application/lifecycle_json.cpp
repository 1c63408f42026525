#include "application/lifecycle_json.h"

#include <fmt/format.h>

namespace cacs::application {
namespace {

constexpr std::int64_t kVersion = 1;

template <typename T>
std::int64_t number(T value) {
  return static_cast<std::int64_t>(value);
}

/// An enumerator stored by number; out of range is damage.
template <typename T>
Result<T> enumerator(const JsonObject& object, std::string_view name, T last) {
  CACS_ASSIGN(const std::int64_t value, json_int(object, name));
  if (value < 0 || value > number(last)) {
    return make_error(ErrorCode::kCorrupt, fmt::format("the stored state's '{}' is {}", name, value));
  }
  return static_cast<T>(value);
}

JsonArray strings(const std::vector<std::string>& items) {
  JsonArray array;
  for (const std::string& item : items) array.emplace_back(item);
  return array;
}

std::vector<std::string> strings_from(const JsonObject& object, std::string_view name) {
  std::vector<std::string> out;
  if (const JsonArray* array = json_find_array(object, name)) {
    for (const Json& item : *array) {
      if (item.is_string()) out.emplace_back(item.get_string());
    }
  }
  return out;
}

Json exit_json(const std::optional<PodExit>& exit) {
  if (!exit) return nullptr;
  return JsonObject{{"kind", number(exit->kind)}, {"code", exit->code}, {"signal", exit->signal}};
}

Result<std::optional<PodExit>> exit_from(const JsonObject& object) {
  const JsonObject* exit = json_find_object(object, "exit");
  if (exit == nullptr) return std::optional<PodExit>{};
  CACS_ASSIGN(const ExitKind kind, enumerator(*exit, "kind", ExitKind::kUnknown));
  return std::optional<PodExit>{PodExit{.kind = kind,
                                        .code = static_cast<int>(json_int_or(*exit, "code", 0)),
                                        .signal = static_cast<int>(json_int_or(*exit, "signal", 0))}};
}

Json requester_json(const std::optional<Requester>& requester) {
  if (!requester) return nullptr;
  return JsonObject{{"pod", requester->pod},
                    {"incarnation", requester->incarnation},
                    {"request", requester->request},
                    {"level", requester->level},
                    {"wait", requester->wait}};
}

Json wish_json(const std::optional<NodeWish>& wish) {
  if (!wish) return nullptr;
  return JsonObject{{"count", wish->count}, {"names", strings(wish->names)}};
}

std::optional<NodeWish> wish_from(const JsonObject& object, std::string_view name) {
  const JsonObject* wish = json_find_object(object, name);
  if (wish == nullptr) return std::nullopt;
  return NodeWish{.count = static_cast<int>(json_int_or(*wish, "count", 1)), .names = strings_from(*wish, "names")};
}

std::optional<Requester> requester_from(const JsonObject& object) {
  const JsonObject* requester = json_find_object(object, "requester");
  if (requester == nullptr) return std::nullopt;
  return Requester{.pod = static_cast<int>(json_int_or(*requester, "pod", 0)),
                   .incarnation = static_cast<int>(json_int_or(*requester, "incarnation", 0)),
                   .request = json_string_or(*requester, "request", ""),
                   .level = json_string_or(*requester, "level", ""),
                   .wait = json_bool_or(*requester, "wait", false)};
}

JsonObject policy_json(const Policy& policy) {
  JsonArray codes;
  for (const int code : policy.restart_on_codes) codes.emplace_back(code);
  return {{"pods", policy.pods},
          {"keep", policy.keep},
          {"max_attempts", policy.max_attempts},
          {"restart_on_signal", policy.restart_on_signal},
          {"restart_on_oom", policy.restart_on_oom},
          {"restart_on_codes", std::move(codes)},
          {"interval_ms", policy.interval_ms},
          {"restart_runs_command", policy.restart_runs_command}};
}

Result<Policy> policy_from(const JsonObject& object) {
  const JsonObject* json = json_find_object(object, "policy");
  if (json == nullptr) return make_error(ErrorCode::kCorrupt, "the stored state has no policy");
  Policy policy;
  policy.pods = static_cast<int>(json_int_or(*json, "pods", 1));
  policy.keep = static_cast<int>(json_int_or(*json, "keep", 5));
  policy.max_attempts = static_cast<int>(json_int_or(*json, "max_attempts", 5));
  policy.restart_on_signal = json_bool_or(*json, "restart_on_signal", true);
  policy.restart_on_oom = json_bool_or(*json, "restart_on_oom", true);
  policy.interval_ms = json_int_or(*json, "interval_ms", 0);
  policy.restart_runs_command = json_bool_or(*json, "restart_runs_command", false);
  if (const JsonArray* codes = json_find_array(*json, "restart_on_codes")) {
    for (const Json& code : *codes) {
      if (code.is_int64()) policy.restart_on_codes.insert(static_cast<int>(code.get_int64()));
    }
  }
  return policy;
}

JsonArray pods_json(const State& state) {
  JsonArray pods;
  for (const Pod& pod : state.pods) {
    pods.push_back(
        JsonObject{{"status", number(pod.status)}, {"incarnation", pod.incarnation}, {"exit", exit_json(pod.exit)}});
  }
  return pods;
}

JsonArray checkpoints_json(const State& state) {
  JsonArray checkpoints;
  for (const Checkpoint& each : state.checkpoints) {
    checkpoints.push_back(JsonObject{{"id", each.id},
                                     {"phase", number(each.phase)},
                                     {"reason", number(each.reason)},
                                     {"incarnation", each.incarnation},
                                     {"damaged", each.damaged},
                                     {"deaths", each.deaths},
                                     {"problem", each.problem},
                                     {"problem_code", error_code_name(each.problem_code)},
                                     {"problem_type", each.problem_type}});
  }
  return checkpoints;
}

/// Calls `read` with every object of an array member; a missing array is empty.
template <typename Read>
Status each_object(const JsonObject& object, std::string_view name, Read read) {
  const JsonArray* array = json_find_array(object, name);
  if (array == nullptr) return ok_status();
  for (const Json& item : *array) {
    if (!item.is_object())
      return make_error(ErrorCode::kCorrupt, fmt::format("the stored state's '{}' is damaged", name));
    CACS_TRY(read(item.get_object()));
  }
  return ok_status();
}

Status read_lists(const JsonObject& object, State& state) {
  CACS_TRY(each_object(object, "pods", [&](const JsonObject& json) -> Status {
    CACS_ASSIGN(const PodStatus status, enumerator(json, "status", PodStatus::kWaiting));
    CACS_ASSIGN(const std::optional<PodExit> exit, exit_from(json));
    state.pods.push_back({status, static_cast<int>(json_int_or(json, "incarnation", 0)), exit});
    return ok_status();
  }));
  CACS_TRY(each_object(object, "checkpoints", [&](const JsonObject& json) -> Status {
    CACS_ASSIGN(const std::string id, json_string(json, "id"));
    CACS_ASSIGN(const CheckpointPhase phase, enumerator(json, "phase", CheckpointPhase::kDeleting));
    CACS_ASSIGN(const CheckpointReason reason, enumerator(json, "reason", CheckpointReason::kTerminate));
    state.checkpoints.push_back({id, phase, reason, static_cast<int>(json_int_or(json, "incarnation", 0)),
                                 json_bool_or(json, "damaged", false), static_cast<int>(json_int_or(json, "deaths", 0)),
                                 json_string_or(json, "problem", ""),
                                 error_code_from_name(json_string_or(json, "problem_code", "aborted")),
                                 json_string_or(json, "problem_type", "")});
    return ok_status();
  }));
  CACS_TRY(each_object(object, "queue", [&](const JsonObject& json) -> Status {
    CACS_ASSIGN(const std::string id, json_string(json, "checkpoint"));
    CACS_ASSIGN(const CheckpointReason reason, enumerator(json, "reason", CheckpointReason::kTerminate));
    state.queue.push_back({id, reason, requester_from(json)});
    return ok_status();
  }));
  return each_object(object, "outcomes", [&](const JsonObject& json) -> Status {
    state.outcomes.push_back({requester_from(json).value_or(Requester{}), json_string_or(json, "checkpoint", ""),
                              json_string_or(json, "error", "")});
    return ok_status();
  });
}

}  // namespace

JsonObject state_to_json(const State& state) {
  JsonObject json{{"version", kVersion},
                  {"policy", policy_json(state.policy)},
                  {"phase", number(state.phase)},
                  {"reason", state.reason},
                  {"incarnation", state.incarnation},
                  {"attempts", state.attempts},
                  {"failures", state.failures},
                  {"nodes", number(state.nodes)},
                  {"node_names", strings(state.node_names)},
                  {"homes", strings(state.homes)},
                  {"wish", wish_json(state.wish)},
                  {"moving", state.moving},
                  {"check_wish", wish_json(state.check_wish)},
                  {"pods", pods_json(state)},
                  {"checkpoints", checkpoints_json(state)},
                  {"stage", number(state.stage)},
                  {"source", state.source},
                  {"asked", state.asked},
                  {"check", state.check},
                  {"doubt", state.doubt},
                  {"timer", state.timer},
                  {"exit", exit_json(state.exit)}};
  if (state.cut) {
    json["cut"] = JsonObject{{"checkpoint", state.cut->checkpoint},
                             {"stage", number(state.cut->stage)},
                             {"requester", requester_json(state.cut->requester)},
                             {"pieces", strings(state.cut->pieces)}};
  }
  JsonArray queue;
  for (const QueuedCut& each : state.queue) {
    queue.push_back(JsonObject{{"checkpoint", each.checkpoint},
                               {"reason", number(each.reason)},
                               {"requester", requester_json(each.requester)}});
  }
  JsonArray outcomes;
  for (const Outcome& each : state.outcomes) {
    outcomes.push_back(JsonObject{
        {"requester", requester_json(each.requester)}, {"checkpoint", each.checkpoint}, {"error", each.error}});
  }
  json["queue"] = std::move(queue);
  json["outcomes"] = std::move(outcomes);
  return json;
}

Result<State> state_from_json(const JsonObject& object) {
  if (const std::int64_t version = json_int_or(object, "version", 0); version != kVersion) {
    return make_error(ErrorCode::kUnsupported, fmt::format("the stored state has version {}", version),
                      "run the version of CACS that wrote it, or a newer one");
  }
  State state;
  CACS_ASSIGN(state.policy, policy_from(object));
  CACS_ASSIGN(state.phase, enumerator(object, "phase", Phase::kGone));
  CACS_ASSIGN(state.nodes, enumerator(object, "nodes", NodesStatus::kReleasing));
  CACS_ASSIGN(state.stage, enumerator(object, "stage", StartStage::kOpen));
  CACS_ASSIGN(state.exit, exit_from(object));
  state.reason = json_string_or(object, "reason", "");
  state.incarnation = static_cast<int>(json_int_or(object, "incarnation", 0));
  state.attempts = static_cast<int>(json_int_or(object, "attempts", 0));
  state.failures = static_cast<int>(json_int_or(object, "failures", 0));
  state.node_names = strings_from(object, "node_names");
  // A release before this one had no other nodes than those.
  state.homes = strings_from(object, object.contains("homes") ? "homes" : "node_names");
  state.wish = wish_from(object, "wish");
  state.moving = json_bool_or(object, "moving", false);
  state.check_wish = wish_from(object, "check_wish");
  state.source = json_string_or(object, "source", "");
  state.asked = json_bool_or(object, "asked", false);
  state.check = json_string_or(object, "check", "");
  state.doubt = json_bool_or(object, "doubt", false);
  state.timer = static_cast<std::uint64_t>(json_int_or(object, "timer", 0));
  CACS_TRY(read_lists(object, state));
  if (const JsonObject* cut = json_find_object(object, "cut")) {
    CACS_ASSIGN(const std::string id, json_string(*cut, "checkpoint"));
    CACS_ASSIGN(const CutStage stage, enumerator(*cut, "stage", CutStage::kAborting));
    state.cut = Cut{id, stage, requester_from(*cut), strings_from(*cut, "pieces")};
    if (find_checkpoint(state, id) == nullptr) {
      return make_error(ErrorCode::kCorrupt, "the stored state's cut has no checkpoint");
    }
  }
  if (state.pods.size() != static_cast<std::size_t>(state.policy.pods)) {
    return make_error(ErrorCode::kCorrupt, "the stored state's pods are not as many as its policy says");
  }
  return state;
}

}  // namespace cacs::application
