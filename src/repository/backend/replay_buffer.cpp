#include "repository/backend/replay_buffer.h"

#include <fcntl.h>

#include <algorithm>

#include "base/io.h"

namespace cacs::repository {

namespace {
constexpr std::size_t kPiece = std::size_t{1} << 20U;
}  // namespace

ReplayBuffer::ReplayBuffer(std::size_t memory_bytes, std::filesystem::path spool_directory, std::uint64_t spool_bytes)
    : memory_bytes_(memory_bytes), spool_directory_(std::move(spool_directory)), spool_bytes_(spool_bytes) {}

void ReplayBuffer::append(std::span<const std::byte> data) {
  if (!whole_) return;
  const auto first = data.first(std::min(data.size(), memory_bytes_ - memory_.size()));
  memory_.insert(memory_.end(), first.begin(), first.end());
  const auto rest = data.subspan(first.size());
  if (!rest.empty() && !spool(rest)) give_up();
}

Status ReplayBuffer::spool(std::span<const std::byte> data) {
  if (spool_directory_.empty() || data.size() > spool_bytes_ - spooled_) {
    return make_error(ErrorCode::kTooLarge, "longer than may be kept");
  }
  if (!file_.valid()) {
    CACS_ASSIGN(file_, open_file(spool_directory_, O_TMPFILE | O_RDWR | O_EXCL, 0600));
  }
  CACS_TRY(pwrite_full(file_.get(), data, spooled_));
  spooled_ += data.size();
  return {};
}

void ReplayBuffer::give_up() {
  whole_ = false;
  memory_ = {};
  file_.reset();
  spooled_ = 0;
}

Status ReplayBuffer::replay(const std::function<Status(std::span<const std::byte>)>& visitor) const {
  for (std::size_t at = 0; at < memory_.size(); at += kPiece) {
    CACS_TRY(visitor(std::span(memory_).subspan(at, std::min(kPiece, memory_.size() - at))));
  }
  std::vector<std::byte> piece(spooled_ == 0 ? 0 : kPiece);
  for (std::uint64_t at = 0; at < spooled_;) {
    const std::size_t wanted = std::min<std::uint64_t>(kPiece, spooled_ - at);
    CACS_ASSIGN(const std::size_t got, pread_full(file_.get(), std::span(piece).first(wanted), at));
    if (got != wanted) return make_error(ErrorCode::kIo, "read back what was spooled: the file has become shorter");
    CACS_TRY(visitor(std::span(piece).first(got)));
    at += got;
  }
  return {};
}

}  // namespace cacs::repository
