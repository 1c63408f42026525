#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::delta {

/// A private file in memory (a memfd) whose pages are there and mapped already, so that filling it costs one copy and
/// no page fault. Move only; one thread at a time.
class MemoryFile {
 public:
  /// `size` bytes, not zero. Nothing is populated yet.
  static Result<MemoryFile> create(std::uint64_t size);
  MemoryFile(MemoryFile&& other) noexcept : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, {})) {}
  MemoryFile& operator=(MemoryFile&& other) noexcept;
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { unmap(); }

  /// Gives [begin, end) its pages. kNoSpace where memory is short.
  Status populate(std::uint64_t begin, std::uint64_t end);
  /// Copies what `in`, a file of this size, holds; its holes stay holes or become zeros.
  Status fill(int in);
  [[nodiscard]] std::uint64_t size() const { return bytes_.size(); }
  /// The file without its mapping.
  UniqueFd release();

 private:
  MemoryFile() = default;
  void unmap();

  UniqueFd fd_;
  std::span<std::byte> bytes_;
};

/// Room in memory, made ready while the program still runs, for the contents of large files of a tree in memory (tmpfs:
/// shared memory). Such files share no blocks and have to be copied while everything is frozen; into fresh pages, or
/// pages of a disk's file, that takes several times as long (docs/delta.md). Move only; one thread at a time.
class MemoryStage {
 public:
  /// For the files of 1 MiB and more below `root`, as they are now, in total at most `budget` bytes. Empty where `root`
  /// is not on a tmpfs. What cannot be had is left out: then the file is put aside like any other.
  static MemoryStage prepare(const std::filesystem::path& root, std::uint64_t budget);

  /// The room for a file, if it still has the size that the room was made for.
  std::optional<MemoryFile> take(std::uint64_t inode, std::uint64_t size);
  [[nodiscard]] std::size_t files() const { return files_.size(); }

 private:
  std::map<std::uint64_t, MemoryFile> files_;  ///< by inode
};

/// Half of the memory that the machine says is available, in bytes; 0 where it cannot be told.
std::uint64_t memory_stage_budget();

}  // namespace cacs::delta
