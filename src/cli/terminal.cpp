#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"

namespace cacs::cli {

Terminal::Terminal(int out_fd, int err_fd, const Environment& environment)
    : out_fd_(out_fd), err_fd_(err_fd), err_is_terminal_(::isatty(err_fd) == 1) {
  const bool wanted = !environment("NO_COLOR") && environment("TERM").value_or("") != "dumb";
  colour_out_ = wanted && ::isatty(out_fd) == 1;
  colour_err_ = wanted && err_is_terminal_;
}

void Terminal::out(std::string_view bytes) {
  const std::scoped_lock lock(mutex_);
  before_text(bytes);
  if (!out_failed_ && !write_full(out_fd_, bytes).ok()) out_failed_ = true;
}

void Terminal::err(std::string_view bytes) {
  const std::scoped_lock lock(mutex_);
  before_text(bytes);
  // Nobody is left to be told when standard error itself cannot be written.
  [[maybe_unused]] const Status told = write_full(err_fd_, bytes);
}

void Terminal::before_text(std::string_view bytes) {
  wipe();
  if (!bytes.empty()) line_ended_ = bytes.back() == '\n';
}

void Terminal::wipe() {
  if (!status_drawn_) return;
  status_drawn_ = false;
  [[maybe_unused]] const Status told = write_full(err_fd_, std::string_view("\r\x1b[K"));
}

void Terminal::status(std::string_view line) {
  const std::scoped_lock lock(mutex_);
  if (!line_ended_) return;
  status_drawn_ = true;
  [[maybe_unused]] const Status told = write_full(err_fd_, fmt::format("\r\x1b[K{}", line));
}

void Terminal::clear_status() {
  const std::scoped_lock lock(mutex_);
  wipe();
}

bool Terminal::out_failed() const {
  const std::scoped_lock lock(mutex_);
  return out_failed_;
}

void Terminal::remark(std::string_view text) {
  if (!quiet_) err(fmt::format("cacs: {}\n", text));
}

void Terminal::error(const Error& error) {
  const std::string label = colour_err_ ? "\x1b[1;31mcacs:\x1b[0m" : "cacs:";
  std::string text = fmt::format("{} {}\n", label, printable(error.message, 4096));
  if (!error.hint.empty()) text += fmt::format("  hint: {}\n", printable(error.hint, 4096));
  err(text);
}

std::size_t Terminal::err_columns() const {
  winsize size{};
  if (::ioctl(err_fd_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace cacs::cli
