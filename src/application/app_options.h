#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "application/asr.h"
#include "application/field_reader.h"

namespace cacs::application {

/// `engine_options` of the engine `app`, with which the program saves itself into files (docs/engine.md). Exactly one
/// of `command`, `signal` and `file` is set: how it is asked.
struct AppOptions {
  std::vector<std::string> command;  ///< run in each pod that is asked; it has saved when this exits with 0
  std::string signal;                ///< "USR1": to the application's main process
  std::string file;                  ///< path of a file that is made in each pod that is asked
  std::string done;                  ///< path of a file by which the program says that it has saved itself
  std::string in;                    ///< the one pod that is asked; empty: all
  std::chrono::milliseconds timeout{60'000};
  std::vector<std::string> files;            ///< absolute paths, with wildcards in their parts: what is saved
  std::vector<std::string> restart_command;  ///< empty: the application's own command
};

/// Whether the application saves itself, rather than being saved by an engine.
inline bool saves_itself(const Asr& asr) { return asr.engine == "app"; }

/// Reads and checks `asr.engine_options`. The other fields of the ASR must have been read: paths are held against its
/// mounts, the pod against their number.
AppOptions read_app_options(const Asr& asr, ParseFailure& failure);

/// As a node wants them (docs/agent-api.md, PodSpec).
JsonObject app_options_json(const AppOptions& options);

}  // namespace cacs::application
