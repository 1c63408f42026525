#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace cacs {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 5> kDurations{{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

constexpr std::array<Unit, 14> kSizes{{{"", 1},
                                       {"B", 1},
                                       {"KiB", 1ULL << 10U},
                                       {"MiB", 1ULL << 20U},
                                       {"GiB", 1ULL << 30U},
                                       {"TiB", 1ULL << 40U},
                                       {"KB", 1000},
                                       {"MB", 1'000'000},
                                       {"GB", 1'000'000'000},
                                       {"TB", 1'000'000'000'000},
                                       {"Ki", 1ULL << 10U},
                                       {"Mi", 1ULL << 20U},
                                       {"Gi", 1ULL << 30U},
                                       {"Ti", 1ULL << 40U}}};

/// `text` as number and unit; nullopt when it is not a number followed by one of `units`, or does not fit.
std::optional<std::uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units) {
  double number = 0;
  const auto [rest, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || number < 0 || !std::isfinite(number)) return std::nullopt;
  const std::string_view unit =
      trim(std::string_view(rest, static_cast<std::size_t>(text.data() + text.size() - rest)));
  for (const auto& candidate : units) {
    if (candidate.name != unit) continue;
    constexpr double kLargest = 4e18;  // well inside 63 bits
    const double value = number * static_cast<double>(candidate.factor);
    if (value > kLargest) return std::nullopt;
    return static_cast<std::uint64_t>(std::llround(value));
  }
  return std::nullopt;
}

std::string one_decimal(double value, std::string_view unit) {
  std::array<char, 64> buffer{};
  const bool whole = value == std::floor(value) || value >= 100;
  const int length = std::snprintf(buffer.data(), buffer.size(), whole ? "%.0f" : "%.1f", value);
  return std::string(buffer.data(), static_cast<std::size_t>(length)) + std::string(unit);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above + 1, row[j - 1] + 1, change});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto value = parse_with_unit(trim(text), kDurations);
  if (!value) {
    return make_error(ErrorCode::kInvalidArgument, "'" + printable(text) + "' is not a duration",
                      "write a number and a unit: 500ms, 90s, 10m, 2h or 1d");
  }
  return std::chrono::milliseconds(*value);
}

std::string format_duration(std::chrono::milliseconds duration) {
  const auto ms = duration.count();
  if (ms < 1000) return std::to_string(ms) + "ms";
  if (ms < 60'000) return one_decimal(static_cast<double>(ms) / 1000.0, "s");
  const auto seconds = ms / 1000;
  const auto two = [](std::int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); };
  if (seconds < 3600) return std::to_string(seconds / 60) + "m" + two(seconds % 60) + "s";
  if (seconds < 86'400) return std::to_string(seconds / 3600) + "h" + two(seconds / 60 % 60) + "m";
  return std::to_string(seconds / 86'400) + "d" + two(seconds / 3600 % 24) + "h";
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto value = parse_with_unit(trim(text), kSizes);
  if (!value) {
    return make_error(ErrorCode::kInvalidArgument, "'" + printable(text) + "' is not a size",
                      "write a number of bytes, or a number and a unit: 512MiB, 2GiB, 10GB");
  }
  return *value;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kNames{" B", " KiB", " MiB", " GiB", " TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  return one_decimal(value, kNames.at(unit));
}

std::optional<std::string> nearest_name(std::string_view wrong, std::span<const std::string_view> known) {
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(2, wrong.size() / 3) + 1;
  if (wrong.size() > 64) return best;
  for (const auto candidate : known) {
    const std::size_t distance = edit_distance(wrong, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = std::string(candidate);
    }
  }
  return best;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  while (true) {
    const std::size_t end = text.find(separator, start);
    parts.emplace_back(text.substr(start, end == std::string_view::npos ? end : end - start));
    if (end == std::string_view::npos) return parts;
    start = end + 1;
  }
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string printable(std::string_view text, std::size_t max) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    if (out.size() >= max) return out + "...";
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

}  // namespace cacs
