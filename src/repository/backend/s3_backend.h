#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "repository/backend/backend.h"
#include "repository/backend/s3_answers.h"
#include "repository/backend/s3_options.h"

namespace cacs::repository {

class S3Client;

/// Objects as keys of a bucket, at AWS or anything that speaks its protocol: docs/s3.md. Writers must not outlive it.
/// Its exclusive_create is that of *every* object, small and large; abilities() tells more.
class S3Backend final : public Backend {
 public:
  /// Checks keys and bucket and probes what the store does (unless options.abilities says): kPermission,
  /// kInvalidArgument (no such bucket, another region), kUnsupported (a store that cannot hold a repository),
  /// kUnavailable.
  static Result<std::unique_ptr<S3Backend>> open(S3Options options, std::shared_ptr<CredentialSource> credentials);
  S3Backend(const S3Backend&) = delete;
  S3Backend& operator=(const S3Backend&) = delete;
  ~S3Backend() override;

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override;
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override;
  Result<std::uint64_t> size(const std::string& name) override;
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override;
  Status remove(const std::string& name) override;
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] std::string describe() const override;

  [[nodiscard]] const S3Abilities& abilities() const { return abilities_; }

  /// Unfinished uploads of objects whose names start with `prefix` ("" or ending in "/"), of whatever process.
  Result<std::vector<S3Upload>> uploads(const std::string& prefix);

  /// Aborts what writers left that were killed: uploads below `prefix` that began at least `older_than` ago, by the
  /// store's own clock (in whole seconds, and Swift rounds the beginning up). Never one of this process that is under
  /// way. One whose object appeared after it began is left alone: some stores (Swift) keep a completed upload in the
  /// list when its completion was interrupted, and aborting that would take the object's parts away. Returns how many
  /// were aborted; goes on after a failure and returns the first one.
  Result<std::size_t> abort_stale_uploads(const std::string& prefix, std::chrono::seconds older_than);

 private:
  S3Backend(std::unique_ptr<S3Client> client, const S3Abilities& abilities);
  Result<bool> abort_if_stale(const S3Upload& upload, std::chrono::sys_seconds before);

  const std::unique_ptr<S3Client> client_;
  const S3Abilities abilities_;
  const BackendTraits traits_;
};

}  // namespace cacs::repository
