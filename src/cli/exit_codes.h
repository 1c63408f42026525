#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/error.h"

namespace cacs::cli {

/// What `cacs` ends with. Stable: scripts rely on these numbers (docs/cli.md).
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitConflict = 4,
  kExitUnreachable = 5,
  kExitUnauthenticated = 6,
  kExitUnsupported = 7,
  kExitTimeout = 8,
  kExitCheckpointed = 75,  ///< EX_TEMPFAIL, which batch systems take as "run it again"
  kExitDetached = 76,
};

struct ExitCodeMeaning {
  int code;
  std::string_view meaning;
};

/// All of them, in order, for help and documentation.
inline constexpr std::array<ExitCodeMeaning, 11> kExitCodes{{
    {kExitOk, "success"},
    {kExitFailure, "it failed: standard error says what and why"},
    {kExitUsage, "usage: a command, option, value or configuration file is wrong"},
    {kExitNotFound, "the application, checkpoint or file named does not exist"},
    {kExitConflict, "it exists, but its state forbids this now"},
    {kExitUnreachable, "no server answers"},
    {kExitUnauthenticated, "the server refused the token, or its holder may not do this"},
    {kExitUnsupported, "this machine, server or engine cannot do it"},
    {kExitTimeout, "a deadline passed"},
    {kExitCheckpointed, "run: ended by SIGTERM or at the time limit, after a checkpoint was committed"},
    {kExitDetached, "run: detached with Ctrl-C; the application runs on"},
}};

/// The exit code that an error ends a command with.
int exit_code_for(const Error& error);

/// The table above as it stands in --help.
std::string exit_codes_help();

}  // namespace cacs::cli
