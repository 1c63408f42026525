#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "database/sqlite_connection.h"

namespace cacs::database {

/// One step forward of the schema. A step that has been released is never changed: add another.
struct Migration {
  std::int64_t version;  ///< what PRAGMA user_version is after it
  const char* sql;
};

/// All steps from the first, in order.
std::span<const Migration> migrations();

/// Brings the database to the last of `steps`, each step in a transaction of its own with its version. kUnsupported
/// when it stands at a later version; kInvalidArgument when it is a database of another program.
Status migrate(Connection& connection, std::span<const Migration> steps);

}  // namespace cacs::database
