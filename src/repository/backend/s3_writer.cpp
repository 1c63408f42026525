#include "repository/backend/s3_writer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace cacs::repository {

namespace {

constexpr std::size_t kMaxParts = 10'000;
constexpr std::size_t kDoubleEvery = 1000;  ///< parts

}  // namespace

S3Writer::S3Writer(S3Client& client, const S3Abilities& abilities, const std::string& name, Overwrite overwrite)
    : client_(client),
      abilities_(abilities),
      key_(client.options().prefix + name),
      overwrite_(overwrite),
      doing_(client.doing("write", name, "to")),
      part_bytes_(client.options().part_bytes) {}

S3Writer::~S3Writer() { abandon(); }

S3Condition S3Writer::condition(bool obeyed) const {
  return overwrite_ == Overwrite::kNo && obeyed ? S3Condition::kAbsent : S3Condition::kNone;
}

Status S3Writer::spoilt(const Error& error) {
  state_ = State::kFailed;
  return error;
}

Status S3Writer::append(std::span<const std::byte> data) {
  if (state_ != State::kOpen) return make_error(ErrorCode::kAborted, doing_ + ": it failed before, or is committed");
  while (!data.empty()) {
    if (buffer_.size() == part_bytes_) {
      // Nobody could tell how much of `data` was taken: not to be tried again.
      if (const auto status = upload_part(); !status.ok()) return spoilt(status.error());
    }
    const std::size_t count = std::min(data.size(), part_bytes_ - buffer_.size());
    buffer_.append(reinterpret_cast<const char*>(data.data()), count);
    data = data.subspan(count);
  }
  return {};
}

Status S3Writer::upload_part() {
  if (etags_.size() == kMaxParts) {
    return make_error(ErrorCode::kTooLarge, fmt::format("{}: more than {} parts", doing_, kMaxParts));
  }
  if (upload_id_.empty()) {
    CACS_ASSIGN(upload_id_, s3_begin_upload(client_, key_, doing_));
  }
  CACS_ASSIGN(auto etag,
              s3_upload_part(client_, key_, upload_id_, etags_.size() + 1, buffer_, abilities_.integrity, doing_));
  etags_.push_back(std::move(etag));
  buffer_.clear();
  if (etags_.size() % kDoubleEvery == 0) part_bytes_ *= 2;
  return {};
}

Status S3Writer::commit() {
  if (state_ == State::kFailed || state_ == State::kCommitted) {
    return make_error(ErrorCode::kAborted, doing_ + ": it failed before, or is committed");
  }
  if (!upload_id_.empty()) return finish_upload();
  auto status = s3_put(client_, key_, buffer_, condition(abilities_.conditional_put), abilities_.integrity, doing_);
  if (status.ok()) state_ = State::kCommitted;
  return status;
}

Status S3Writer::finish_upload() {
  if (!buffer_.empty()) {
    const auto status = upload_part();
    if (!status.ok()) return status.error().code == ErrorCode::kUnavailable ? status : spoilt(status.error());
  }
  auto status =
      s3_complete_upload(client_, key_, upload_id_, etags_, condition(abilities_.conditional_complete), doing_);
  if (status.ok()) {
    state_ = State::kCommitted;
    client_.upload_ends(upload_id_);
    return status;
  }
  // Without an answer the store may be at it still. To abort now could take away parts of an object that it is about to
  // show (Swift): left to abort_stale_uploads().
  const bool unknown = status.error().code == ErrorCode::kUnavailable;
  if (!unknown) return spoilt(status.error());
  state_ = State::kCompleting;
  return status;
}

void S3Writer::abandon() noexcept {
  if (upload_id_.empty() || state_ == State::kCommitted) return;
  if (state_ != State::kCompleting) {
    const auto status = s3_abort_upload(client_, key_, upload_id_, doing_ + ": give up");
    if (!status.ok()) spdlog::warn("an unfinished upload stays for now: {}", status.error().to_string());
  }
  client_.upload_ends(upload_id_);
}

}  // namespace cacs::repository
