#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace cacs::pod {

/// Whether the application of the pod with this init (a pid of this namespace) lives: whether any thread of it does.
/// False from the instant of its death, before init has reaped it and told anyone.
Result<bool> application_lives(pid_t init);

/// Why the application's main process, in the pod with this init, would not take the signal for what it is meant: it
/// has no handler for it (and may die of it) or ignores it. Success: it waits for it.
Status check_takes_signal(pid_t init, int number);
/// Sends it to that process alone. Refused where check_takes_signal() refuses.
Status signal_application(pid_t init, int number);

}  // namespace cacs::pod
