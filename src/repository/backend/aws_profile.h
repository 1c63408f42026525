#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs::repository {

/// Looks up a variable of the environment. A function, so that tests do not change that of the process.
using AwsEnvironment = std::function<std::optional<std::string>(const std::string& name)>;

/// The process's own. An empty variable counts as not set, as it does for AWS's tools.
AwsEnvironment process_environment();

/// Settings of one profile; those nested below "s3 =" are named "s3.addressing_style".
using AwsProfile = std::map<std::string, std::string, std::less<>>;

/// Which kind of file: sections of ~/.aws/config are named "profile NAME", those of ~/.aws/credentials "NAME".
enum class AwsFile { kConfig, kCredentials };

/// Profiles of a file as AWS's tools read it. Lines that are no setting are an error that names the line by its number,
/// never by its text, which may be a secret.
Result<std::map<std::string, AwsProfile>> parse_aws_file(std::string_view text, AwsFile kind);

/// The profile that AWS_PROFILE names ("default" without it), of both files; the credentials file wins. Empty when
/// there is none. kNotFound when AWS_PROFILE names one that no file has. The files are ~/.aws/config and
/// ~/.aws/credentials, or those of AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE.
Result<AwsProfile> load_aws_profile(const AwsEnvironment& environment);

}  // namespace cacs::repository
