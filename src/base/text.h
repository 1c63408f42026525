#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cacs {

/// "90s", "10m", "2h", "500ms", "1d" to a duration. A number without a unit is an error: nobody can guess which was
/// meant.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string format_duration(std::chrono::milliseconds duration);

/// "2GiB", "512MiB", "10KB", "4096" to bytes. KiB, MiB, GiB, TiB are powers of 1024, KB, MB, GB, TB of 1000.
Result<std::uint64_t> parse_size(std::string_view text);
/// "1.5 GiB"
std::string format_size(std::uint64_t bytes);

/// The name of `known` nearest to `wrong` (edit distance), if one is near enough to be worth suggesting.
std::optional<std::string> nearest_name(std::string_view wrong, std::span<const std::string_view> known);

std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);

/// `text` for people and logs: control characters become \xNN, and what is longer than `max` is cut with "...".
std::string printable(std::string_view text, std::size_t max = 200);

}  // namespace cacs
