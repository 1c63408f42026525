#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cacs::pod {

/// How a program saves itself into files, where no engine saves its processes (docs/engine.md, *The engine `app`*).
/// Exactly one of `command`, `signal` and `file` is set.
struct SelfSaving {
  std::vector<std::string> command;  ///< run in the pod; it has saved when this exits with 0
  std::string signal;                ///< "USR1": to the application's main process
  std::string file;                  ///< made in the pod; where there is no `done`, its removal says that it has saved
  std::string done;                  ///< made by the program when it has saved
  std::string in;                    ///< the one pod that is asked; empty: all
  std::chrono::milliseconds timeout{60'000};
  std::vector<std::string> files;            ///< absolute paths, with wildcards in their parts: what is saved
  std::vector<std::string> restart_command;  ///< empty: the application's own

  [[nodiscard]] bool asks(const std::string& pod) const { return in.empty() || in == pod; }
  /// "'save-me --now'", "signal USR1", "the file /job/please-save": for people.
  [[nodiscard]] std::string way() const;
};

/// Checks every bound again: the agent does not trust that the server did.
Result<SelfSaving> parse_self_saving(const JsonObject& object);
JsonObject self_saving_to_json(const SelfSaving& saving);

/// The number of a signal of this name ("USR1"); 0 for one that no program is asked by.
int signal_number(const std::string& name);

}  // namespace cacs::pod
