#include "delta/memory_stage.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>

#include "base/io.h"

namespace cacs::delta {
namespace {

constexpr std::uint64_t kWorthIt = std::uint64_t{1} << 20U;
constexpr std::uint64_t kPage = 4096;
constexpr int kOpenFile = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

/// Calls `range` for each stretch of `in` that is no hole.
Status for_each_data(int in, std::uint64_t size, const std::function<Status(std::uint64_t, std::uint64_t)>& range) {
  for (std::uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(in, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};  // a hole up to the end
    const off_t hole = data < 0 ? data : ::lseek(in, data, SEEK_HOLE);
    if (hole < 0) return errno_error(errno, "find the holes of a file");
    const auto end = std::min(size, static_cast<std::uint64_t>(hole));
    if (static_cast<std::uint64_t>(data) >= end) return {};
    CACS_TRY(range(static_cast<std::uint64_t>(data), end));
    at = end;
  }
  return {};
}

}  // namespace

MemoryFile& MemoryFile::operator=(MemoryFile&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  fd_ = std::move(other.fd_);
  bytes_ = std::exchange(other.bytes_, {});
  return *this;
}

Result<MemoryFile> MemoryFile::create(std::uint64_t size) {
  MemoryFile file;
  file.fd_.reset(::memfd_create("cacs-stage", MFD_CLOEXEC));
  if (!file.fd_.valid()) return errno_error(errno, "make a file in memory");
  if (::ftruncate(file.fd_.get(), static_cast<off_t>(size)) != 0)
    return errno_error(errno, "set the length of a file in memory");
  void* mapping = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd_.get(), 0);
  if (mapping == MAP_FAILED) return errno_error(errno, "map a file in memory");
  file.bytes_ = {static_cast<std::byte*>(mapping), size};
  return file;
}

void MemoryFile::unmap() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  bytes_ = {};
}

Status MemoryFile::populate(std::uint64_t begin, std::uint64_t end) {
  begin -= begin % kPage;
  end = std::min<std::uint64_t>(end, bytes_.size());
  if (begin >= end) return {};
  if (::madvise(bytes_.data() + begin, end - begin, MADV_POPULATE_WRITE) == 0) return {};
  if (errno == EINVAL) return {};  // before Linux 5.14: the pages come when they are written
  return errno_error(errno, "get pages for a file in memory");
}

Status MemoryFile::fill(int in) {
  return for_each_data(in, bytes_.size(), [&](std::uint64_t begin, std::uint64_t end) -> Status {
    CACS_ASSIGN(const std::size_t got, pread_full(in, bytes_.subspan(begin, end - begin), begin));
    if (got == end - begin) return {};
    return make_error(ErrorCode::kIo, "a file became shorter while it was copied");
  });
}

UniqueFd MemoryFile::release() {
  unmap();
  return std::move(fd_);
}

MemoryStage MemoryStage::prepare(const std::filesystem::path& root, std::uint64_t budget) {
  MemoryStage stage;
  struct statfs kind {};
  struct stat top {};
  if (::statfs(root.c_str(), &kind) != 0 || kind.f_type != TMPFS_MAGIC || ::stat(root.c_str(), &top) != 0) return stage;
  std::error_code problem;
  for (std::filesystem::recursive_directory_iterator at(root, problem), end; !problem && at != end;
       at.increment(problem)) {
    struct stat info {};
    // The tree is the program's and changes while we look: what matters is looked at again when all stands still.
    if (::lstat(at->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_dev != top.st_dev) continue;
    const auto size = static_cast<std::uint64_t>(info.st_size);
    const auto used = static_cast<std::uint64_t>(info.st_blocks) * 512;
    if (used < kWorthIt || used > budget || stage.files_.contains(info.st_ino)) continue;
    const UniqueFd in(::open(at->path().c_str(), kOpenFile | O_CLOEXEC));
    auto file = MemoryFile::create(size);
    if (!in.valid() || !file) continue;
    const auto room = for_each_data(
        in.get(), size, [&](std::uint64_t begin, std::uint64_t stop) { return file->populate(begin, stop); });
    if (!room) break;
    budget -= used;
    stage.files_.emplace(info.st_ino, *std::move(file));
  }
  return stage;
}

std::optional<MemoryFile> MemoryStage::take(std::uint64_t inode, std::uint64_t size) {
  auto found = files_.extract(inode);
  if (found.empty() || found.mapped().size() != size) return std::nullopt;
  return std::move(found.mapped());
}

std::uint64_t memory_stage_budget() {
  const auto text = read_text_file("/proc/meminfo");
  if (!text) return 0;
  constexpr std::string_view kLabel = "MemAvailable:";
  const auto at = text->find(kLabel);
  if (at == std::string::npos) return 0;
  return std::strtoull(text->c_str() + at + kLabel.size(), nullptr, 10) * 1024 / 2;
}

}  // namespace cacs::delta
