#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cacs {

/// Wall-clock instants as the API shows them. Never compared across machines (design, principle 5).
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

WallTime wall_now();

/// RFC 3339 in UTC with milliseconds: 2026-11-20T19:41:07.123Z.
std::string format_time(WallTime time);

/// CLOCK_BOOTTIME in milliseconds: elapsed time of this machine that counts suspend; what leases and deadlines use.
std::int64_t boottime_ms();

}  // namespace cacs
