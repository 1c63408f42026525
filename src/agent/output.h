#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/checkpoint_store.h"
#include "base/json.h"

namespace cacs::agent {

/// What of a pod's output is wanted: the streams that have an offset, from there.
struct LogWish {
  std::optional<std::uint64_t> out;
  std::optional<std::uint64_t> err;
  std::size_t limit = 0;  ///< bytes of each at most
  std::chrono::milliseconds wait{0};
};

/// A stream that is wanted, and from where.
struct WantedStream {
  const char* name;  ///< stdout, stderr
  std::uint64_t offset;
};
/// kInvalidArgument where none is.
Result<std::vector<WantedStream>> wanted_streams(const LogWish& wish);

/// Where a stream is kept in the pod's root: "/.cacs/log/stdout".
std::string output_path(const char* stream);

/// An answer (docs/agent-api.md, logs) without streams, not ready.
JsonObject output_answer(int incarnation, bool eof);
/// A stream for its `streams`. `size` is the stream's length.
JsonObject output_slice(const WantedStream& wanted, const std::string& data, std::uint64_t size);

/// At most so much of a stream goes into one answer, whatever was asked for.
inline constexpr std::size_t kMaxOutputSlice = std::size_t{1} << 20U;

/// The output of a pod as a checkpoint has it: what there is to read where the pod is gone. kNotFound where there is no
/// such checkpoint. Any thread.
Result<JsonObject> read_saved_output(CheckpointStore& store, const std::string& checkpoint, const std::string& pod,
                                     const LogWish& wish);

}  // namespace cacs::agent
