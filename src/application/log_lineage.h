#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace cacs::application {

/// The two streams that a pod's output is kept in.
enum class OutputStream { kStdout, kStderr };

std::string_view output_stream_name(OutputStream stream);
/// Nothing for any other name.
std::optional<OutputStream> output_stream_from(std::string_view name);

/// Bytes of each stream.
struct LogSizes {
  std::uint64_t out = 0;
  std::uint64_t err = 0;

  [[nodiscard]] std::uint64_t of(OutputStream stream) const { return stream == OutputStream::kStdout ? out : err; }
  friend bool operator==(const LogSizes&, const LogSizes&) = default;
};

/// Which bytes of an application's output survived its restores. An incarnation's output begins as that of the
/// incarnation whose checkpoint it was restored from (its parent), up to the size that the output had at the checkpoint
/// (its base); the incarnation appends from there. Incarnations thus form a tree, for a user may restore from a
/// checkpoint of any of them, and what two have in common ends where their branches part.
///
/// Of the newest kMaxRuns incarnations all is known; a reader that was in an older one starts again at 0.
/// A value without locks; part of the application's durable record.
class LogLineage {
 public:
  static constexpr std::size_t kMaxRuns = 64;

  /// The incarnation begins, with the output of `parent` (0: with none). What its base is has to be learned. Must rise.
  void begin(int incarnation, int parent, int pods);
  /// The sizes of a pod's output before the incarnation wrote anything. False where that is known already, or the
  /// incarnation or pod is not.
  bool learn(int incarnation, int pod, const LogSizes& base);

  [[nodiscard]] bool has(int incarnation) const { return find(incarnation) != nullptr; }
  /// Whether readers may be given output of this incarnation: how it relates to the ones before is known.
  [[nodiscard]] bool knows(int incarnation, int pod) const;

  /// Of the first `offset` bytes of a stream that a reader has, from incarnation `from`, those that are also the first
  /// of the stream in incarnation `now`. At most `offset`. Never too many: where something is not known, 0.
  [[nodiscard]] std::uint64_t kept(int pod, OutputStream stream, int from, std::uint64_t offset, int now) const;

  [[nodiscard]] JsonArray to_json() const;
  /// Leaves out what it cannot read: readers then start again, and none is told something wrong.
  static LogLineage from_json(const JsonArray& array);

  friend bool operator==(const LogLineage&, const LogLineage&) = default;

 private:
  struct Run {
    int incarnation = 0;
    int parent = 0;
    std::vector<std::optional<LogSizes>> bases;  ///< of each pod

    friend bool operator==(const Run&, const Run&) = default;
  };
  [[nodiscard]] const Run* find(int incarnation) const;

  std::vector<Run> runs_;  ///< by incarnation, the oldest first
};

}  // namespace cacs::application
