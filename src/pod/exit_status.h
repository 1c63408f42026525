#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "base/process.h"
#include "base/result.h"

namespace cacs::pod {

/// How a pod's application ended.
struct PodExit {
  enum class Kind { kExited, kSignaled, kOom, kExecFailed, kUnknown };
  Kind kind = Kind::kUnknown;
  int code = 0;
  int signal = 0;
  bool core = false;

  [[nodiscard]] JsonObject to_json() const;
  static PodExit from_json(const JsonObject& object);
};

/// Puts together what is known: init's own fsynced record (the text of /.cacs/exit; believed only if it names this
/// incarnation), how init itself ended as the shim's waitid saw it (nullopt when the shim was not its parent), and
/// whether the kernel killed something for want of memory. Pure.
PodExit combine_exit(const std::string& record, int incarnation, std::optional<ExitStatus> init, bool oom);

}  // namespace cacs::pod
