#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/settings.h"

namespace cacs::cli {

/// Where a command writes: results to standard output, everything else to standard error. Colours and anything that
/// moves appear only on a terminal. Any thread may write; each call's bytes stay together.
class Terminal {
 public:
  Terminal(int out_fd, int err_fd, const Environment& environment);

  /// Writes bytes as they are. A standard output that is closed (a pager that ended) is remembered, not an error.
  void out(std::string_view bytes);
  void err(std::string_view bytes);
  /// Draws a passing line on standard error, in place of the last one, which whatever is written next takes away. Not
  /// while the last line of output is unfinished: drawing would wipe it.
  void status(std::string_view line);
  void clear_status();

  /// A remark for people, "cacs: ..." on standard error; nothing when quiet.
  void remark(std::string_view text);
  /// "cacs: WHAT: WHY" and, below it, the hint.
  void error(const Error& error);

  void set_quiet(bool quiet) { quiet_ = quiet; }
  [[nodiscard]] bool quiet() const { return quiet_; }
  [[nodiscard]] bool colour_out() const { return colour_out_; }
  [[nodiscard]] bool err_is_terminal() const { return err_is_terminal_; }
  [[nodiscard]] bool out_failed() const;
  /// Columns of the terminal on standard error now; 80 if it does not say.
  [[nodiscard]] std::size_t err_columns() const;

 private:
  void before_text(std::string_view bytes);
  void wipe();

  mutable std::mutex mutex_;
  int out_fd_;
  int err_fd_;
  bool err_is_terminal_;
  bool colour_out_;
  bool colour_err_;
  bool quiet_ = false;
  bool out_failed_ = false;
  bool status_drawn_ = false;
  bool line_ended_ = true;  ///< what was written last ended its line
};

}  // namespace cacs::cli
