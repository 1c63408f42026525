#include "cli/exit_codes.h"

#include <fmt/format.h>

#include "cli/api_client.h"

namespace cacs::cli {

int exit_code_for(const Error& error) {
  if (error.type == kUnreachableType) return kExitUnreachable;
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kTooLarge:
      return kExitUsage;
    case ErrorCode::kUnauthenticated:
    case ErrorCode::kPermission:
      return kExitUnauthenticated;
    case ErrorCode::kNotFound:
      return kExitNotFound;
    case ErrorCode::kConflict:
    case ErrorCode::kStale:
      return kExitConflict;
    case ErrorCode::kUnsupported:
      return kExitUnsupported;
    case ErrorCode::kTimeout:
      return kExitTimeout;
    default:
      return kExitFailure;
  }
}

std::string exit_codes_help() {
  std::string text = "Exit codes:\n";
  for (const auto& [code, meaning] : kExitCodes) text += fmt::format("  {:>3}  {}\n", code, meaning);
  text += "`run` and `exec` end with the program's own exit code, or 128 and the number of the signal that ended it.\n";
  return text;
}

}  // namespace cacs::cli
