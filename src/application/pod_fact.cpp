#include "application/pod_fact.h"

#include <fmt/format.h>

#include <algorithm>

namespace cacs::application {

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

std::optional<bool> lives(const JsonObject& view, int incarnation) {
  const std::string state = json_string_or(view, "state", "");
  if (json_int_or(view, "incarnation", 0) != incarnation || (state != "RUNNING" && state != "CREATING")) return false;
  const Json* ending = view.if_contains("ending");
  if (ending == nullptr || !ending->is_bool()) return std::nullopt;
  return !ending->get_bool();
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

}  // namespace cacs::application
