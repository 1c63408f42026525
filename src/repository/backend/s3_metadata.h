#pragma once

#include <optional>

#include "repository/backend/s3_credentials.h"

namespace cacs::repository {

/// Keys from the service that a container's environment names (ECS, EKS pod identity); unset when it names none.
Result<std::optional<AwsCredentials>> fetch_container_credentials(const AwsEnvironment& environment);

/// Keys of the role of this EC2 instance, from its metadata service: a token first (IMDSv2), then the role, then its
/// keys. AWS_EC2_METADATA_SERVICE_ENDPOINT names another place for it, AWS_EC2_METADATA_DISABLED=true switches it off.
/// Unset when there is no such service (not an EC2 instance) or the instance has no role.
Result<std::optional<AwsCredentials>> fetch_instance_credentials(const AwsEnvironment& environment);

}  // namespace cacs::repository
