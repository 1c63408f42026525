#include "cli/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/text.h"

namespace cacs::cli {

namespace {

/// The digits at the front of `text` as a number, which must be exactly `count` long; moves past them.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + count, value);
  if (problem != std::errc{} || end != text.data() + count || value < 0) return std::nullopt;
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<std::chrono::milliseconds> take_fraction(std::string_view& text) {
  if (!take(text, '.')) return std::chrono::milliseconds(0);
  int value = 0;
  int digits = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (digits < 3) value = value * 10 + (text.front() - '0');
    ++digits;
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (int i = digits; i < 3; ++i) value *= 10;
  return std::chrono::milliseconds(value);
}

std::optional<std::chrono::minutes> take_zone(std::string_view text) {
  if (text == "Z" || text == "z") return std::chrono::minutes(0);
  const bool east = !text.empty() && text.front() == '+';
  if (!take(text, '+') && !take(text, '-')) return std::nullopt;
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || !text.empty()) return std::nullopt;
  const std::chrono::minutes offset(*hours * 60 + *minutes);
  return east ? offset : -offset;
}

std::string rough_duration(std::chrono::milliseconds span) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(span).count();
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m", seconds / 60);
  if (seconds < 86'400) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86'400);
}

}  // namespace

std::optional<WallTime> parse_time(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || (!take(text, 'T') && !take(text, 't'))) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59 || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || *second > 60) return std::nullopt;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  const auto zone = take_zone(text);
  const std::chrono::year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!zone || !date.ok()) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second) + *fraction - *zone;
}

std::string format_when(std::string_view text, WallTime now, TimeStyle style) {
  if (text.empty() || text == "-") return "-";
  const auto time = style == TimeStyle::kUtc ? std::nullopt : parse_time(text);
  if (!time) return std::string(text);
  if (*time > now + std::chrono::seconds(1)) return "in " + rough_duration(*time - now);
  if (now - *time < std::chrono::seconds(1)) return "now";
  return rough_duration(now - *time) + " ago";
}

std::string cell(const JsonObject& object, std::string_view name) {
  const Json* value = object.if_contains({name.data(), name.size()});
  if (value == nullptr || value->is_null()) return "-";
  if (value->is_string()) return value->as_string().empty() ? "-" : std::string(value->as_string());
  return boost::json::serialize(*value);
}

std::string describe_exit(const JsonObject* exit) {
  if (exit == nullptr) return "-";
  const std::string kind = json_string_or(*exit, "kind", "unknown");
  if (kind == "exited") return fmt::format("exit {}", json_int_or(*exit, "code", 0));
  if (kind == "oom") return "out of memory";
  if (kind != "signaled") return "died, unknown how";
  const auto number = json_int_or(*exit, "signal", 0);
  const char* name = number > 0 && number < 65 ? ::sigdescr_np(static_cast<int>(number)) : nullptr;
  return fmt::format("signal {}{}", number, name == nullptr ? "" : fmt::format(" ({})", name));
}

int shell_exit_code(const JsonObject* exit) {
  if (exit == nullptr) return 1;
  const std::string kind = json_string_or(*exit, "kind", "unknown");
  if (kind == "exited") return static_cast<int>(json_int_or(*exit, "code", 1) & 0xff);
  const auto number = json_int_or(*exit, "signal", kind == "oom" ? 9 : 0);
  if ((kind == "signaled" || kind == "oom") && number > 0 && number < 65) return 128 + static_cast<int>(number);
  return kind == "oom" ? 137 : 1;
}

Table::Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void Table::add(std::vector<std::string> row) {
  row.resize(rows_.front().size());
  for (auto& text : row) text = printable(text, 4096);
  rows_.push_back(std::move(row));
}

std::string Table::render(bool bold_header) const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows_[r].size(); ++i) {
      line += rows_[r][i];
      line.append(widths[i] - display_width(rows_[r][i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += r == 0 && bold_header ? "\x1b[1m" + line + "\x1b[0m\n" : line + "\n";
  }
  return out;
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::size_t short_id_length(const std::vector<std::string>& ids) {
  std::vector<std::string> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  std::size_t length = 8;
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    const auto [a, b] = std::mismatch(sorted[i - 1].begin(), sorted[i - 1].end(), sorted[i].begin(), sorted[i].end());
    length = std::max(length, static_cast<std::size_t>(b - sorted[i].begin()) + 1);
  }
  return length;
}

}  // namespace cacs::cli
