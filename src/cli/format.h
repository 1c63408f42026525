#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"

namespace cacs::cli {

/// Reads RFC 3339 as the API writes it ("2026-11-20T19:41:07.123Z"; fraction and offset are optional parts of it).
std::optional<WallTime> parse_time(std::string_view text);

/// How table times are written.
enum class TimeStyle { kRelative, kUtc };

/// "3m ago", "in 2h", "now"; with kUtc, and for what is no time, the text itself. An empty text is "-".
std::string format_when(std::string_view text, WallTime now, TimeStyle style);

/// A member of an API answer as a cell: strings as they are, numbers, booleans, "-" for what is missing or null.
std::string cell(const JsonObject& object, std::string_view name);

/// An application's `exit` in words: "exit 0", "signal 9 (Killed)", "out of memory", "-".
std::string describe_exit(const JsonObject* exit);

/// What a shell would see of such an exit: the code, or 128 + signal; 1 when it is not known.
int shell_exit_code(const JsonObject* exit);

/// A table: columns as wide as their widest cell, two spaces between, nothing wrapped or cut, and no spaces at the
/// ends of lines. Cells are made printable: control bytes from a server never reach a terminal.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void add(std::vector<std::string> row);
  [[nodiscard]] bool empty() const { return rows_.size() == 1; }
  /// With `bold_header` the first line carries the terminal's codes for bold.
  [[nodiscard]] std::string render(bool bold_header) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// Columns that `text` takes on a terminal: UTF-8 characters, not bytes.
std::size_t display_width(std::string_view text);

/// Text within single quotes of a shell.
std::string shell_quoted(std::string_view text);

/// How many leading characters of these ids tell them apart: at least 8, at most a whole id.
std::size_t short_id_length(const std::vector<std::string>& ids);

}  // namespace cacs::cli
