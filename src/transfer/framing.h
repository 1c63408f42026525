#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

/// A stream of bytes over a connection that may break, or whose sender may fail in the middle: the one who gets it
/// knows whether it came to its end, and what was wrong if it did not. Frames: a length (32 bits, little-endian; 1 to
/// kMaxFrameBytes) and as many bytes; 0: the end; 0xFFFFFFFF: it failed, then a length and that many bytes of an error
/// as base/json.h writes it.
namespace cacs::transfer {

inline constexpr std::size_t kMaxFrameBytes = std::size_t{1} << 20U;
inline constexpr std::size_t kMaxFrameError = std::size_t{64} << 10U;

/// Where frames go, in any number of pieces.
using SendText = std::function<Status(std::string_view)>;

/// One thread at a time.
class FrameWriter {
 public:
  explicit FrameWriter(SendText send) : send_(std::move(send)) {}
  /// Collects to frames of kMaxFrameBytes.
  Status write(std::span<const std::byte> bytes);
  Status end();
  Status fail(const Error& error);

 private:
  Status flush();
  SendText send_;
  std::string frame_;
};

/// Takes any bytes whatsoever. One thread at a time.
class FrameReader {
 public:
  explicit FrameReader(std::function<Status(std::span<const std::byte>)> out) : out_(std::move(out)) {}
  /// What came next. kCorrupt for what are no frames, also after the end; errors of `out` as they are.
  Status take(std::string_view data);
  /// Success: the end has come. The sender's error if it told one; kUnavailable: the connection broke before.
  [[nodiscard]] Status result() const;

 private:
  enum class Part { kLength, kBytes, kErrorLength, kErrorText, kOver };
  Status next_part();
  std::function<Status(std::span<const std::byte>)> out_;
  Part part_ = Part::kLength;
  std::string number_;    ///< bytes of the length that have come
  std::size_t left_ = 0;  ///< bytes of the frame or error that have not
  std::string told_;      ///< the error, as it came
  std::optional<Error> error_;
};

}  // namespace cacs::transfer
