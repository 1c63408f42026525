#pragma once

#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

namespace cacs {

/// Sets up the process's log: one line an event on standard error, written synchronously (async loggers break after
/// fork). `role` ("server", "agent", "shim") stands in every line. Called once from main, before threads.
/// Level from `level`: trace, debug, info, warn, error.
void init_logging(std::string_view role, std::string_view level);

// Logging itself is spdlog's: spdlog::info("pod {} started", uid). Secrets and the application's bytes are never
// logged.

}  // namespace cacs
