#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace cacs {

/// open(2) with O_CLOEXEC; the error names the path.
Result<UniqueFd> open_file(const std::filesystem::path& path, int flags, mode_t mode = 0644);

/// Reads until `out` is full or the end; returns the number of bytes read. Restarts on EINTR.
Result<std::size_t> read_full(int fd, std::span<std::byte> out);
Result<std::size_t> pread_full(int fd, std::span<std::byte> out, std::uint64_t offset);

/// Writes all of `data`, restarting on EINTR and short writes.
Status write_full(int fd, std::span<const std::byte> data);
Status pwrite_full(int fd, std::span<const std::byte> data, std::uint64_t offset);
Status write_full(int fd, std::string_view data);

/// A whole small file. Fails with kTooLarge when it is longer than `max_bytes`.
Result<std::string> read_text_file(const std::filesystem::path& path, std::size_t max_bytes = std::size_t{16} << 20U);

/// Replaces `path` so that after a crash at any instant it holds the old bytes or the new ones, and that once this
/// returns the new ones survive a power loss: write to a temporary name in the same directory, fsync, rename, fsync of
/// the directory.
Status write_file_durably(const std::filesystem::path& path, std::string_view data, mode_t mode = 0600);

/// fsync of a directory, so that names made or removed in it survive a power loss.
Status sync_directory(const std::filesystem::path& dir);

/// mkdir -p. Existing directories are left as they are; new ones get `mode`.
Status make_directories(const std::filesystem::path& dir, mode_t mode = 0755);

/// Removes a tree without following links or crossing mounts. What is not there is success.
Status remove_tree(const std::filesystem::path& path);

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace cacs
