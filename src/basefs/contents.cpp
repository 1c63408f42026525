#include "basefs/contents.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <vector>

#include "base/hash.h"
#include "base/io.h"

namespace cacs::basefs {

namespace {

constexpr std::size_t kStep = std::size_t{256} << 10U;

/// Reads `from` to its end; writes it to `to` as well unless that is -1.
Result<std::string> hash_and_copy(int from, int to) {
  std::vector<std::byte> buffer(kStep);
  Sha256 hash;
  std::uint64_t offset = 0;
  while (true) {
    CACS_ASSIGN(const std::size_t got, pread_full(from, buffer, offset));
    const auto bytes = std::span<const std::byte>(buffer).first(got);
    hash.update(bytes);
    if (to >= 0) CACS_TRY(write_full(to, bytes));
    offset += got;
    if (got < buffer.size()) return hash.finish().to_hex();
  }
}

}  // namespace

Result<std::string> digest_of(int fd) { return hash_and_copy(fd, -1); }

Status copy_file(int from, int to) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  const auto copied = hash_and_copy(from, to);
  return copied ? ok_status() : Status(copied.error());
}

Result<std::string> Contents::save(int fd) const {
  static std::atomic<unsigned> next{0};
  const auto temporary = directory_ / ("tmp." + std::to_string(::getpid()) + "." + std::to_string(next++));
  CACS_ASSIGN(const UniqueFd copy, open_file(temporary, O_RDWR | O_CREAT | O_TRUNC, 0600));
  const bool shared = ::ioctl(copy.get(), FICLONE, fd) == 0;
  // Of a clone the digest is that of the clone: the original may change while it is read.
  auto digest = shared ? digest_of(copy.get()) : hash_and_copy(fd, copy.get());
  if (digest && ::rename(temporary.c_str(), path_of(*digest).c_str()) == 0) return digest;
  const Error error = digest ? errno_error(errno, "keep a copy of a file of the base") : digest.error();
  ::unlink(temporary.c_str());
  return error;
}

Result<UniqueFd> Contents::open(const std::string& digest) const { return open_file(path_of(digest), O_RDONLY); }

bool Contents::has(const std::string& digest) const {
  return !digest.empty() && ::access(path_of(digest).c_str(), F_OK) == 0;
}

}  // namespace cacs::basefs
