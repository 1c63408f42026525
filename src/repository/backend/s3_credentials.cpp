#include "repository/backend/s3_credentials.h"

#include <spdlog/spdlog.h>

#include <array>
#include <mutex>

#include "repository/backend/s3_metadata.h"

namespace cacs::repository {

namespace {

using std::chrono::sys_seconds;
using namespace std::chrono_literals;

constexpr auto kRefreshBefore = 5min;
constexpr auto kRefreshRetry = 30s;  ///< between attempts while the old keys still last

class FixedCredentials final : public CredentialSource {
 public:
  explicit FixedCredentials(AwsKeys keys) : keys_(std::move(keys)) {}
  Result<AwsKeys> get() override { return keys_; }
  void invalidate() override {}

 private:
  const AwsKeys keys_;
};

std::string value_or_empty(const AwsProfile& profile, std::string_view name) {
  const auto at = profile.find(name);
  return at == profile.end() ? std::string() : at->second;
}

Result<std::optional<AwsCredentials>> environment_credentials(const AwsEnvironment& environment) {
  const auto access = environment("AWS_ACCESS_KEY_ID");
  const auto secret = environment("AWS_SECRET_ACCESS_KEY");
  if (!access && !secret) return std::optional<AwsCredentials>();
  if (!access || !secret) {
    return make_error(ErrorCode::kPermission, "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set",
                      "set both, or neither to use a profile or a role");
  }
  return std::optional(AwsCredentials{{*access, *secret, environment("AWS_SESSION_TOKEN").value_or("")}, {}});
}

Result<std::optional<AwsCredentials>> profile_credentials(const AwsEnvironment& environment) {
  CACS_ASSIGN(const AwsProfile profile, load_aws_profile(environment));
  AwsKeys keys{value_or_empty(profile, "aws_access_key_id"), value_or_empty(profile, "aws_secret_access_key"),
               value_or_empty(profile, "aws_session_token")};
  const std::string name = environment("AWS_PROFILE").value_or("default");
  constexpr std::array kUnsupported{"role_arn", "credential_process", "sso_session", "sso_start_url",
                                    "web_identity_token_file"};
  for (const char* setting : kUnsupported) {
    if (!profile.contains(setting)) continue;
    return make_error(ErrorCode::kUnsupported,
                      "the AWS profile '" + name + "' gets its keys by " + setting + ", which is not supported",
                      "run `aws configure export-credentials --format env` and set what it prints");
  }
  if (keys.access_key.empty() && keys.secret_key.empty()) return std::optional<AwsCredentials>();
  if (keys.access_key.empty() || keys.secret_key.empty()) {
    return make_error(ErrorCode::kPermission,
                      "the AWS profile '" + name + "' has only one of aws_access_key_id and aws_secret_access_key");
  }
  return std::optional(AwsCredentials{std::move(keys), {}});
}

class DefaultCredentials final : public CredentialSource {
 public:
  DefaultCredentials(AwsEnvironment environment, AwsClock clock)
      : environment_(std::move(environment)), clock_(std::move(clock)) {}

  Result<AwsKeys> get() override {
    // Others wait while one thread fetches: they need the same keys.
    const std::lock_guard lock(mutex_);
    const sys_seconds now = clock_();
    if (current_ && !stale(now)) return current_->keys;
    if (current_ && now < retry_) return current_->keys;
    auto fetched = fetch();
    if (fetched.ok()) {
      current_ = std::move(fetched).value();
      invalid_ = false;
      return current_->keys;
    }
    if (!current_ || invalid_ || now >= *current_->expires) return fetched.error();
    spdlog::warn("S3 keys are about to expire and could not be fetched again: {}", fetched.error().to_string());
    retry_ = now + kRefreshRetry;
    return current_->keys;
  }

  void invalidate() override {
    const std::lock_guard lock(mutex_);
    invalid_ = true;
    retry_ = {};
  }

 private:
  [[nodiscard]] bool stale(sys_seconds now) const {
    return invalid_ || (current_->expires && now + kRefreshBefore >= *current_->expires);
  }

  Result<AwsCredentials> fetch() {
    for (const auto source :
         {&environment_credentials, &profile_credentials, &fetch_container_credentials, &fetch_instance_credentials}) {
      CACS_ASSIGN(auto found, source(environment_));
      if (found) return std::move(*found);
    }
    std::string hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`";
    if (environment_("AWS_WEB_IDENTITY_TOKEN_FILE")) hint += "; AWS_WEB_IDENTITY_TOKEN_FILE is not supported";
    return make_error(ErrorCode::kPermission,
                      "no S3 keys were found in the environment, the AWS profile, the container or the instance's "
                      "metadata",
                      std::move(hint));
  }

  const AwsEnvironment environment_;
  const AwsClock clock_;
  std::mutex mutex_;
  std::optional<AwsCredentials> current_;
  bool invalid_ = false;
  sys_seconds retry_{};
};

}  // namespace

AwsClock system_aws_clock() {
  return [] { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); };
}

std::unique_ptr<CredentialSource> fixed_credentials(AwsKeys keys) {
  return std::make_unique<FixedCredentials>(std::move(keys));
}

std::unique_ptr<CredentialSource> default_credentials(AwsEnvironment environment, AwsClock clock) {
  return std::make_unique<DefaultCredentials>(std::move(environment), std::move(clock));
}

}  // namespace cacs::repository
