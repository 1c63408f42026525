#include "repository/stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/io.h"

namespace cacs::repository {

Result<std::size_t> MemorySource::read(std::span<std::byte> out) {
  const std::size_t count = std::min(out.size(), data_.size());
  if (count > 0) std::memcpy(out.data(), data_.data(), count);
  data_ = data_.subspan(count);
  return count;
}

FdSource::FdSource(int fd) : fd_(fd) {
  struct stat info {};
  seekable_ = ::fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISBLK(info.st_mode));
}

Status FdSource::find_extent() {
  if (!seekable_ || offset_ < data_end_) return {};
  constexpr auto kEverything = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  const off_t before = ::lseek(fd_, 0, SEEK_CUR);
  const off_t data = ::lseek(fd_, static_cast<off_t>(offset_), SEEK_DATA);
  if (data < 0 && errno == ENXIO) {  // a hole up to the end, or the end
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return errno_error(errno, "stat");
    data_start_ = std::max(offset_, static_cast<std::uint64_t>(info.st_size));
    data_end_ = kEverything;
  } else if (data < 0) {  // a file system without holes
    data_start_ = offset_;
    data_end_ = kEverything;
  } else {
    const off_t end = ::lseek(fd_, data, SEEK_HOLE);
    data_start_ = static_cast<std::uint64_t>(data);
    data_end_ = end > data ? static_cast<std::uint64_t>(end) : kEverything;
  }
  if (before >= 0) ::lseek(fd_, before, SEEK_SET);
  return {};
}

Result<std::uint64_t> FdSource::hole() {
  CACS_TRY(find_extent());
  return offset_ < data_start_ ? data_start_ - offset_ : 0;
}

Result<std::size_t> FdSource::read(std::span<std::byte> out) {
  if (!seekable_) return read_full(fd_, out);
  CACS_TRY(find_extent());
  // Stop where a hole begins, so that the caller can ask about it.
  if (offset_ >= data_start_ && data_end_ - offset_ < out.size()) out = out.first(data_end_ - offset_);
  CACS_ASSIGN(const std::size_t got, pread_full(fd_, out, offset_));
  offset_ += got;
  return got;
}

Status FdSink::write(std::span<const std::byte> data) {
  CACS_TRY(pwrite_full(fd_, data, offset_));
  offset_ += data.size();
  return {};
}

Status FdSink::hole(std::uint64_t count) {
  offset_ += count;
  return {};
}

Status FdSink::finish() {
  if (::ftruncate(fd_, static_cast<off_t>(offset_)) != 0) return errno_error(errno, "set the length of the file");
  return {};
}

Status StringSink::write(std::span<const std::byte> data) {
  if (data.size() > limit_ - text_.size()) return make_error(ErrorCode::kTooLarge, "more bytes than expected");
  text_.append(reinterpret_cast<const char*>(data.data()), data.size());
  return {};
}

Status StringSink::hole(std::uint64_t count) {
  if (count > limit_ - text_.size()) return make_error(ErrorCode::kTooLarge, "more bytes than expected");
  text_.append(count, '\0');
  return {};
}

}  // namespace cacs::repository
