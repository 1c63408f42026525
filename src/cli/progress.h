#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/terminal.h"

namespace cacs::cli {

/// One reading of something that takes long.
struct ProgressSample {
  std::string label;              ///< "storing"
  std::uint64_t bytes_done = 0;   ///< 0 of 0: nothing is known but that it goes on
  std::uint64_t bytes_total = 0;  ///< 0: not known
  double bytes_per_second = 0;    ///< 0: not known
  std::optional<std::chrono::milliseconds> left;
  std::chrono::milliseconds elapsed{0};
};

/// The line for it, at most `columns` wide: label, bar, bytes, rate, time left. What does not fit is left out, the bar
/// first. No control bytes.
std::string render_progress(const ProgressSample& sample, std::size_t columns);

/// Draws progress on one line of standard error, from one second after the start on; nothing at all when standard
/// error is no terminal, or when quiet. Removes the line at the end of its life.
class ProgressBar {
 public:
  using Clock = std::chrono::steady_clock;
  explicit ProgressBar(Terminal& terminal, Clock::time_point start = Clock::now());
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(const std::string& label, std::uint64_t done, std::uint64_t total,
              std::optional<std::chrono::milliseconds> left, Clock::time_point now = Clock::now());
  /// Takes the line away, so that something else can be written.
  void clear();

 private:
  Terminal& terminal_;
  Clock::time_point start_;
  std::string label_;
  std::uint64_t first_done_ = 0;
  Clock::time_point first_time_;
};

}  // namespace cacs::cli
