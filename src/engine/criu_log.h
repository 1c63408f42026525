#pragma once

#include <string_view>

#include "base/error.h"

namespace cacs::engine {

/// CRIU's reason for a failure out of its log: the first error line that says what could not be saved, put into words a
/// user understands, with what to do. The log itself is for us, not for them.
Error criu_reason(std::string_view log, bool restoring);

/// Whether CRIU ended with its own report of failure ("Dumping FAILED." / "Restoring FAILED."), after which it has
/// undone what it did to the tasks.
bool criu_reported_failure(std::string_view log);

}  // namespace cacs::engine
