#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace cacs::pod {

/// Whether the application of the pod with this init (a pid of this namespace) lives: whether any thread of it does.
/// False from the instant of its death, before init has reaped it and told anyone.
Result<bool> application_lives(pid_t init);

}  // namespace cacs::pod
