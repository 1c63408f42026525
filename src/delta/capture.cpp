#include "delta/capture.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "delta/capturer.h"

namespace cacs::delta {

Snapshot::Snapshot(Snapshot&& other) noexcept
    : root_(std::move(other.root_)),
      staging_(std::exchange(other.staging_, {})),
      memory_(std::move(other.memory_)),
      tree_(std::move(other.tree_)),
      listing_(std::move(other.listing_)),
      identities_(std::move(other.identities_)),
      files_(std::move(other.files_)),
      stats_(other.stats_),
      options_(std::move(other.options_)),
      taken_(other.taken_),
      next_staged_(other.next_staged_) {}

Snapshot& Snapshot::operator=(Snapshot&& other) noexcept {
  if (this == &other) return *this;
  remove_staging();
  root_ = std::move(other.root_);
  staging_ = std::exchange(other.staging_, {});
  memory_ = std::move(other.memory_);
  tree_ = std::move(other.tree_);
  listing_ = std::move(other.listing_);
  identities_ = std::move(other.identities_);
  files_ = std::move(other.files_);
  stats_ = other.stats_;
  options_ = std::move(other.options_);
  taken_ = other.taken_;
  next_staged_ = other.next_staged_;
  return *this;
}

Snapshot::~Snapshot() { remove_staging(); }

void Snapshot::remove_staging() {
  if (staging_.empty()) return;
  const Status removed = remove_tree(staging_);
  if (!removed.ok()) spdlog::warn("staged files are left over: {}", removed.error().to_string());
  staging_.clear();
}

Status presync(const std::filesystem::path& root) {
  CACS_ASSIGN(const UniqueFd fd, open_file(root, O_RDONLY | O_DIRECTORY));
  if (::syncfs(fd.get()) != 0) return errno_error(errno, "write back '" + printable(root.native()) + "'");
  return {};
}

Result<Snapshot> capture(const std::filesystem::path& root, const std::filesystem::path& staging,
                         const Baseline& baseline, const CaptureOptions& options) {
  return Capturer::capture(root, staging, baseline, options).context("capture '" + printable(root.native()) + "'");
}

Status recapture_directories(Snapshot& snapshot) {
  return Capturer::recapture(snapshot).context("look again at captured directories");
}

Result<Baseline> next_baseline(const Snapshot& snapshot, std::span<const std::string> tokens) {
  if (tokens.size() != snapshot.files_.size()) {
    return make_error(ErrorCode::kInvalidArgument, "a snapshot of " + std::to_string(snapshot.files_.size()) +
                                                       " contents was given " + std::to_string(tokens.size()) +
                                                       " tokens");
  }
  Baseline baseline{.tree = snapshot.tree_, .listing = snapshot.listing_, .identities = snapshot.identities_};
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].size() > kMaxTokenBytes)
      return make_error(ErrorCode::kTooLarge, "the token of a content is too long");
    baseline.listing.entries[snapshot.files_[i].entry].token = tokens[i];
  }
  return baseline;
}

}  // namespace cacs::delta
