#pragma once

#include "repository/session/session_types.h"

namespace cacs::repository {

/// An id that no other instance has. Any thread.
InstanceId random_instance();

}  // namespace cacs::repository
