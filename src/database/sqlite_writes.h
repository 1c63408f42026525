#pragma once

#include <vector>

#include "base/result.h"
#include "database/database.h"
#include "database/sqlite_connection.h"

namespace cacs::database {

/// Makes the writes one after the other, up to the first that fails. Inside a transaction of the caller's.
Status make_writes(Connection& connection, const Options& options, const std::vector<Write>& writes);

}  // namespace cacs::database
