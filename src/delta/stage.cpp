#include "delta/stage.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "base/io.h"

namespace cacs::delta {
namespace {

constexpr std::size_t kCopyBuffer = std::size_t{1} << 20U;

#ifndef XFS_SUPER_MAGIC
constexpr std::uint32_t kXfsMagic = 0x58465342;
#else
constexpr std::uint32_t kXfsMagic = XFS_SUPER_MAGIC;
#endif

/// Bytes [begin, end) through a buffer: for tmpfs, and between file systems that copy_file_range does not join.
Status copy_through_buffer(int in, int out, std::uint64_t begin, std::uint64_t end) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kCopyBuffer, end - begin));
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(size);
  while (begin < end) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(size, end - begin));
    const std::span<std::byte> piece(buffer.get(), want);
    CACS_ASSIGN(const std::size_t got, pread_full(in, piece, begin));
    if (got == 0) return make_error(ErrorCode::kIo, "a file became shorter while it was copied");
    CACS_TRY(pwrite_full(out, piece.first(got), begin));
    begin += got;
  }
  return {};
}

Status copy_range(int in, int out, std::uint64_t begin, std::uint64_t end) {
  while (begin < end) {
    auto from = static_cast<loff_t>(begin);
    auto to = static_cast<loff_t>(begin);
    const ssize_t copied = ::copy_file_range(in, &from, out, &to, static_cast<std::size_t>(end - begin), 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO)) return errno_error(errno, "copy a file");
    if (copied <= 0) return copy_through_buffer(in, out, begin, end);
    begin += static_cast<std::uint64_t>(copied);
  }
  return {};
}

}  // namespace

Status copy_sparse(int in, int out, std::uint64_t size) {
  if (::ftruncate(out, static_cast<off_t>(size)) != 0) return errno_error(errno, "set the length of a copy");
  std::uint64_t position = 0;
  while (position < size) {
    const off_t data = ::lseek(in, static_cast<off_t>(position), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};  // a hole up to the end
    if (data < 0) return copy_range(in, out, position, size);
    const off_t hole = ::lseek(in, data, SEEK_HOLE);
    if (hole < 0) return errno_error(errno, "find the holes of a file");
    const auto end = std::min(size, static_cast<std::uint64_t>(hole));
    if (static_cast<std::uint64_t>(data) >= end) return {};
    CACS_TRY(copy_range(in, out, static_cast<std::uint64_t>(data), end));
    position = end;
  }
  return {};
}

Result<bool> share_blocks(int in, int out) {
  if (::ioctl(out, FICLONE, in) == 0) return true;
  if (errno == ENOSPC || errno == EDQUOT || errno == EIO) return errno_error(errno, "share the blocks of a file");
  return false;
}

Result<bool> stores_move_ctime(int fd) {
  struct statfs info {};
  if (::fstatfs(fd, &info) != 0) return errno_error(errno, "find out the type of the file system");
  const auto type = static_cast<std::uint32_t>(info.f_type);
  return type == EXT4_SUPER_MAGIC || type == kXfsMagic || type == BTRFS_SUPER_MAGIC;
}

Status clean_pages(int fd) {
  if (::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE) != 0) {
    return errno_error(errno, "write back a file");
  }
  return {};
}

}  // namespace cacs::delta
