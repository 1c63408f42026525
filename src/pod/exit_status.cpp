#include "pod/exit_status.h"

#include <sys/wait.h>

#include <csignal>
#include <cstdlib>

#include "base/text.h"

namespace cacs::pod {

namespace {

std::string_view kind_name(PodExit::Kind kind) {
  switch (kind) {
    case PodExit::Kind::kExited:
      return "exited";
    case PodExit::Kind::kSignaled:
      return "signaled";
    case PodExit::Kind::kOom:
      return "oom";
    case PodExit::Kind::kExecFailed:
      return "exec-failed";
    case PodExit::Kind::kUnknown:
      break;
  }
  return "unknown";
}

PodExit from_wait_status(int status) {
  PodExit exit;
  if (WIFSIGNALED(status)) {
    exit.kind = PodExit::Kind::kSignaled;
    exit.signal = WTERMSIG(status);
    exit.core = WCOREDUMP(status);
  } else {
    exit.kind = PodExit::Kind::kExited;
    exit.code = WEXITSTATUS(status);
  }
  return exit;
}

}  // namespace

JsonObject PodExit::to_json() const {
  return {{"kind", kind_name(kind)}, {"code", code}, {"signal", signal}, {"core", core}};
}

PodExit PodExit::from_json(const JsonObject& object) {
  PodExit exit;
  const std::string kind = json_string_or(object, "kind", "unknown");
  for (const auto candidate : {Kind::kExited, Kind::kSignaled, Kind::kOom, Kind::kExecFailed}) {
    if (kind == kind_name(candidate)) exit.kind = candidate;
  }
  exit.code = static_cast<int>(json_int_or(object, "code", 0));
  exit.signal = static_cast<int>(json_int_or(object, "signal", 0));
  exit.core = json_bool_or(object, "core", false);
  return exit;
}

PodExit combine_exit(const std::string& record, int incarnation, std::optional<ExitStatus> init, bool oom) {
  PodExit exit;
  const auto words = split(trim(record), ' ');
  const bool counts = words.size() >= 2 && words[0] == std::to_string(incarnation);
  if (counts && words[1] == "exec" && words.size() == 3) {
    exit.kind = PodExit::Kind::kExecFailed;
    exit.code = static_cast<int>(std::strtol(words[2].c_str(), nullptr, 10));
    return exit;
  }
  if (counts) {
    exit = from_wait_status(static_cast<int>(std::strtol(words[1].c_str(), nullptr, 10)));
  } else if (init && init->signaled) {
    // Init was killed, and everything in the pod with it.
    exit.kind = PodExit::Kind::kSignaled;
    exit.signal = init->value;
  } else if (init) {
    // Init ended by itself but could not write its record: its exit code is the application's, or 128 + a signal.
    exit.kind = PodExit::Kind::kExited;
    exit.code = init->value;
  }
  const bool killed = exit.kind == PodExit::Kind::kSignaled && exit.signal == SIGKILL;
  if (oom && (killed || exit.kind == PodExit::Kind::kUnknown)) exit.kind = PodExit::Kind::kOom;
  return exit;
}

}  // namespace cacs::pod
