#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/format.h"

namespace cacs::cli {

namespace {

constexpr std::size_t kMinBar = 10;
constexpr std::size_t kMaxBar = 30;

std::string clock_time(std::chrono::milliseconds span) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(span).count();
  if (seconds >= 3600) return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

std::string bar(std::uint64_t done, std::uint64_t total, std::size_t width) {
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto full = static_cast<std::size_t>(part * static_cast<double>(width));
  return "[" + std::string(full, '#') + std::string(width - full, '-') + "]";
}

}  // namespace

std::string render_progress(const ProgressSample& sample, std::size_t columns) {
  const std::string label = printable(sample.label, 40);
  std::vector<std::string> parts{label};
  if (sample.bytes_total > 0) {
    const double percent =
        std::min(100.0, 100.0 * static_cast<double>(sample.bytes_done) / static_cast<double>(sample.bytes_total));
    parts.push_back(fmt::format("{:.0f}%", percent));
    parts.push_back(fmt::format("{} of {}", format_size(sample.bytes_done), format_size(sample.bytes_total)));
  } else if (sample.bytes_done > 0) {
    parts.push_back(format_size(sample.bytes_done));
  }
  if (sample.bytes_per_second >= 1) {
    parts.push_back(format_size(static_cast<std::uint64_t>(sample.bytes_per_second)) + "/s");
  }
  parts.push_back(sample.left ? clock_time(*sample.left) + " left" : clock_time(sample.elapsed));
  std::string line;
  // Dropped from the right one by one while too long: the label and the percentage are worth most.
  while (true) {
    line = fmt::format("{}", fmt::join(parts, "  "));
    if (display_width(line) <= columns || parts.size() == 1) break;
    parts.pop_back();
  }
  const std::size_t used = display_width(line);
  if (sample.bytes_total > 0 && used + kMinBar + 4 <= columns) {
    const std::size_t width = std::min(kMaxBar, columns - used - 4);
    line.insert(label.size() + 2, bar(sample.bytes_done, sample.bytes_total, width) + "  ");
  }
  if (display_width(line) > columns) line.resize(columns);
  return line;
}

ProgressBar::ProgressBar(Terminal& terminal, Clock::time_point start)
    : terminal_(terminal), start_(start), first_time_(start) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::update(const std::string& label, std::uint64_t done, std::uint64_t total,
                         std::optional<std::chrono::milliseconds> left, Clock::time_point now) {
  if (done > total) total = 0;  // an estimate that was too low says nothing any more
  if (label != label_ || done < first_done_) {
    label_ = label;
    first_done_ = done;
    first_time_ = now;
  }
  if (!terminal_.err_is_terminal() || terminal_.quiet() || now - start_ < std::chrono::seconds(1)) return;
  ProgressSample sample{.label = label, .bytes_done = done, .bytes_total = total, .left = left};
  sample.elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - start_);
  const double seconds = std::chrono::duration<double>(now - first_time_).count();
  if (seconds > 0.2) sample.bytes_per_second = static_cast<double>(done - first_done_) / seconds;
  if (!left && sample.bytes_per_second >= 1 && total > done) {
    sample.left = std::chrono::milliseconds(
        static_cast<std::int64_t>(1000.0 * static_cast<double>(total - done) / sample.bytes_per_second));
  }
  // One column stays free: a full line would wrap on some terminals.
  terminal_.status(render_progress(sample, std::max<std::size_t>(2, terminal_.err_columns()) - 1));
}

void ProgressBar::clear() { terminal_.clear_status(); }

}  // namespace cacs::cli
