#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::repository {

/// A copy of bytes that went somewhere else, to be sent again: the first in memory, the others in a file that has no
/// name and so goes with the process. One thread at a time.
class ReplayBuffer {
 public:
  ReplayBuffer(std::size_t memory_bytes, std::filesystem::path spool_directory, std::uint64_t spool_bytes);

  void append(std::span<const std::byte> data);
  /// False once there was more than it may hold, or the file could not be written: then it holds nothing.
  [[nodiscard]] bool whole() const { return whole_; }
  [[nodiscard]] std::uint64_t size() const { return memory_.size() + spooled_; }
  /// All of it, in order, in pieces of at most 1 MiB.
  [[nodiscard]] Status replay(const std::function<Status(std::span<const std::byte>)>& visitor) const;

 private:
  Status spool(std::span<const std::byte> data);
  void give_up();

  std::size_t memory_bytes_;
  std::filesystem::path spool_directory_;
  std::uint64_t spool_bytes_;
  std::vector<std::byte> memory_;
  UniqueFd file_;
  std::uint64_t spooled_ = 0;
  bool whole_ = true;
};

}  // namespace cacs::repository
