#include "repository/page_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/io.h"

namespace cacs::repository {

namespace {

constexpr std::uint64_t pages_of(std::uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

/// All of `pages` pages.
PageLayout everything(std::uint64_t pages) {
  if (pages == 0) return {};
  return {{.page = 0, .count = pages}};
}

}  // namespace

Result<std::size_t> MemoryPageSource::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset >= data_.size()) return std::size_t{0};
  const std::size_t count = std::min<std::uint64_t>(out.size(), data_.size() - offset);
  std::memcpy(out.data(), data_.data() + offset, count);
  return count;
}

Result<PageLayout> MemoryPageSource::data() const { return everything(pages_of(data_.size())); }

Result<std::size_t> FdPageSource::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  return pread_full(fd_, out, offset);
}

Result<std::uint64_t> FdPageSource::size() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return errno_error(errno, "stat a file of pages");
  return static_cast<std::uint64_t>(info.st_size);
}

Result<PageLayout> FdPageSource::data() const {
  CACS_ASSIGN(const std::uint64_t bytes, size());
  PageLayout layout;
  for (std::uint64_t at = 0; at < bytes;) {
    const off_t data = ::lseek(fd_, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;             // a hole up to the end
    if (data < 0) return everything(pages_of(bytes));  // a file system without holes
    const off_t end = ::lseek(fd_, data, SEEK_HOLE);
    if (end <= data) return everything(pages_of(bytes));
    const std::uint64_t first = static_cast<std::uint64_t>(data) / kPageBytes;
    const std::uint64_t last = pages_of(std::min<std::uint64_t>(bytes, static_cast<std::uint64_t>(end)));
    // Two extents of a file may share a page.
    const std::uint64_t from = layout.empty() ? first : std::max(first, layout.back().page + layout.back().count);
    if (last > from) layout.push_back({.page = from, .count = last - from});
    at = static_cast<std::uint64_t>(end);
  }
  return layout;
}

}  // namespace cacs::repository
