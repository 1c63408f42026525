#pragma once

#include <string_view>

#include "base/result.h"

namespace cacs::repository {

/// The longest name of an object, in bytes.
inline constexpr std::size_t kMaxObjectName = 200;

/// Whether `name` may name an object (see Backend): kInvalidArgument otherwise. "." and ".." are no components, and a
/// name does not start or end with "/". Every backend refuses others, so that a name is never a way out of its place.
Status check_object_name(std::string_view name);

/// Whether `prefix` may be listed: "" or a name followed by "/".
Status check_prefix(std::string_view prefix);

}  // namespace cacs::repository
