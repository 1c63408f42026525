#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "base/result.h"
#include "repository/backend/aws_profile.h"
#include "repository/backend/sigv4.h"

namespace cacs::repository {

using AwsClock = std::function<std::chrono::sys_seconds()>;
AwsClock system_aws_clock();

/// Keys and how long they are good for.
struct AwsCredentials {
  AwsKeys keys;
  std::optional<std::chrono::sys_seconds> expires;  ///< unset: never
};

/// Where keys come from. Any thread. Messages of its errors say where it looked and hold no key.
class CredentialSource {
 public:
  CredentialSource() = default;
  CredentialSource(const CredentialSource&) = delete;
  CredentialSource& operator=(const CredentialSource&) = delete;
  virtual ~CredentialSource() = default;

  /// Keys that are good now. Temporary ones are fetched again five minutes before they expire; while that fails the old
  /// ones are given as long as they last. kPermission: none are to be had; kUnavailable: worth trying again.
  virtual Result<AwsKeys> get() = 0;
  /// A server said that what get() gave has expired: the next get() fetches anew.
  virtual void invalidate() = 0;
};

/// Keys that do not change.
std::unique_ptr<CredentialSource> fixed_credentials(AwsKeys keys);

/// Keys of where AWS's own tools look, in their order: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and
/// AWS_SESSION_TOKEN), the profile (aws_profile.h), AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI, the metadata
/// service of EC2 (version 2, with its token). A profile that gets its keys in a way that is not supported (SSO,
/// assumed roles, a process) is an error, so that nobody works under another identity than the one asked for. Nothing
/// is fetched before the first get().
std::unique_ptr<CredentialSource> default_credentials(AwsEnvironment environment, AwsClock clock = system_aws_clock());

}  // namespace cacs::repository
