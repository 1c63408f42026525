#include "cli/log_printer.h"

#include <algorithm>

namespace cacs::cli {

void LogPrinter::output(std::uint64_t offset, std::string_view data) {
  // The part before what is confirmed was printed and has not been rolled back since.
  if (offset < replayed_) {
    const auto known = std::min<std::uint64_t>(replayed_ - offset, data.size());
    data.remove_prefix(known);
    offset += known;
  }
  if (data.empty()) return;
  if (offset > position()) {
    // The server left out a part (its own limit on what it keeps): go on where it goes on.
    printed_.clear();
    start_ = offset;
  }
  const std::size_t at = offset - start_;
  const std::string_view before = std::string_view(printed_).substr(at, data.size());
  const auto same = static_cast<std::size_t>(
      std::mismatch(before.begin(), before.end(), data.begin(), data.end()).first - before.begin());
  replayed_ = offset + same;
  if (same < before.size()) {
    diverge(at + same, data.substr(same));
  } else {
    print(data.substr(same));
  }
}

void LogPrinter::diverge(std::uint64_t at, std::string_view rest) {
  const std::size_t newline = at == 0 ? std::string::npos : printed_.rfind('\n', at - 1);
  const std::size_t line = newline == std::string::npos ? 0 : newline + 1;
  const std::string head = printed_.substr(line, at - line);
  // What was printed may have ended in the middle of a line: the new line starts on its own.
  if (!printed_.empty() && printed_.back() != '\n') sink_("\n");
  printed_.resize(line);
  print(head);
  print(rest);
}

void LogPrinter::print(std::string_view data) {
  if (data.empty()) return;
  sink_(data);
  printed_ += data;
  replayed_ = position();
  // Half of the memory goes at once, so that the cost of moving stays in proportion to what is printed.
  if (printed_.size() > memory_limit_) {
    const std::size_t gone = printed_.size() - memory_limit_ / 2;
    printed_.erase(0, gone);
    start_ += gone;
  }
}

std::uint64_t LogPrinter::rollback(std::uint64_t offset) {
  const std::uint64_t end = position();
  if (offset >= end) return 0;
  if (offset < start_) {
    printed_.clear();
    start_ = offset;
  }
  replayed_ = std::min(replayed_, offset);
  return end - offset;
}

}  // namespace cacs::cli
