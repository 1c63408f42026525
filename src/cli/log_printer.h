#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace cacs::cli {

/// Prints one output stream of an application so that what has been printed is always what the file holds, each line
/// once. After a restore the file goes back (a `rollback`) and the program writes those bytes again. Most programs
/// write the same: such bytes have been printed already and are passed over. Where they differ from what was printed,
/// the line that differs is printed whole, and printing goes on from there. Bytes are never changed.
///
/// Remembers the last 16 MiB printed. After a rollback further back than that everything is printed again.
class LogPrinter {
 public:
  using Sink = std::function<void(std::string_view)>;
  explicit LogPrinter(Sink sink, std::size_t memory_limit = std::size_t{16} << 20U)
      : sink_(std::move(sink)), memory_limit_(memory_limit) {}

  /// Bytes of the stream at `offset`. Bytes that were printed before and have not been rolled back are passed over,
  /// so that a follower may connect again and read from anywhere.
  void output(std::uint64_t offset, std::string_view data);

  /// The file was cut back to `offset`. Returns how many printed bytes that took back.
  std::uint64_t rollback(std::uint64_t offset);

  /// The end of what has been printed: the offset to go on reading from.
  [[nodiscard]] std::uint64_t position() const { return start_ + printed_.size(); }

 private:
  void print(std::string_view data);
  void diverge(std::uint64_t at, std::string_view rest);

  Sink sink_;
  std::size_t memory_limit_;
  std::string printed_;         ///< the newest of what was printed
  std::uint64_t start_ = 0;     ///< the offset in the file of its first byte
  std::uint64_t replayed_ = 0;  ///< up to here what was printed is known to be what the file holds now
};

}  // namespace cacs::cli
