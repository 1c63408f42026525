#pragma once

#include <string>
#include <vector>

#include "repository/backend/backend.h"
#include "repository/backend/s3_objects.h"

namespace cacs::repository {

/// Writes one object: up to part_bytes with one PUT at commit(), more as a multipart upload whose parts go out as they
/// fill up. At most one part is held in memory. After commit() returned kUnavailable it may be called again: the data
/// is kept. The upload of a writer that is destroyed is aborted, unless nobody knows whether it was completed.
class S3Writer final : public ObjectWriter {
 public:
  /// `client` outlives it.
  S3Writer(S3Client& client, const S3Abilities& abilities, const std::string& name, Overwrite overwrite);
  S3Writer(const S3Writer&) = delete;
  S3Writer& operator=(const S3Writer&) = delete;
  ~S3Writer() override;

  Status append(std::span<const std::byte> data) override;
  Status commit() override;

 private:
  enum class State { kOpen, kFailed, kCompleting, kCommitted };

  [[nodiscard]] S3Condition condition(bool obeyed) const;
  Status upload_part();
  Status finish_upload();
  void abandon() noexcept;
  Status spoilt(const Error& error);

  S3Client& client_;
  const S3Abilities abilities_;
  const std::string key_;
  const Overwrite overwrite_;
  const std::string doing_;
  std::string buffer_;
  std::size_t part_bytes_;
  std::string upload_id_;  ///< empty: no upload was begun
  std::vector<std::string> etags_;
  State state_ = State::kOpen;
};

}  // namespace cacs::repository
