#include "database/schema.h"

#include <fmt/format.h>

#include <array>
#include <string>

namespace cacs::database {
namespace {

// "CACS": tells our database from another program's (PRAGMA application_id).
constexpr std::int64_t kApplicationId = 0x43414353;

// AUTOINCREMENT: sqlite_sequence remembers the highest event id after its row is gone.
// Operations and events name applications without a foreign key: they outlive what they tell of.
constexpr const char* kSchema1 = R"sql(
CREATE TABLE applications (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  owner_epoch INTEGER NOT NULL,
  version INTEGER NOT NULL,
  state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE checkpoints (
  id TEXT PRIMARY KEY,
  application TEXT NOT NULL REFERENCES applications(id) ON DELETE CASCADE,
  tenant TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX checkpoints_of_application ON checkpoints(application, id);
CREATE TABLE operations (
  id TEXT PRIMARY KEY,
  application TEXT NOT NULL,
  tenant TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX operations_by_age ON operations(updated_at);
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  application TEXT NOT NULL,
  tenant TEXT NOT NULL,
  time INTEGER NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX events_of_application ON events(application, id);
CREATE TABLE idempotency_keys (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  answer TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys(created_at);
CREATE TABLE nodes (
  cloud TEXT NOT NULL,
  node TEXT NOT NULL,
  claim TEXT NOT NULL,
  tenant TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (cloud, node)
) WITHOUT ROWID;
CREATE TABLE settings (
  key TEXT PRIMARY KEY,
  tenant TEXT NOT NULL DEFAULT 'default',
  value TEXT NOT NULL
) WITHOUT ROWID;
)sql";

constexpr std::array kMigrations{Migration{1, kSchema1}};

Status check_owner(Connection& connection, std::int64_t version) {
  CACS_ASSIGN(const std::int64_t owner, connection.query_number("PRAGMA application_id"));
  if (owner == kApplicationId) return {};
  CACS_ASSIGN(const std::int64_t tables, connection.query_number("SELECT count(*) FROM sqlite_schema"));
  if (owner == 0 && version == 0 && tables == 0) return {};
  return make_error(ErrorCode::kInvalidArgument, "the file is an SQLite database, but not one of CACS",
                    "name another file, or move this one away");
}

Status take_step(Connection& connection, const Migration& step) {
  CACS_TRY(connection.execute("BEGIN IMMEDIATE"));
  const std::string sql = fmt::format("{}; PRAGMA user_version={}; PRAGMA application_id={}; COMMIT", step.sql,
                                      step.version, kApplicationId);
  Status done = connection.execute(sql);
  if (done.ok()) return {};
  if (connection.in_transaction()) CACS_TRY(connection.execute("ROLLBACK"));
  return std::move(done).context(fmt::format("bring the schema to version {}", step.version));
}

}  // namespace

std::span<const Migration> migrations() { return kMigrations; }

Status migrate(Connection& connection, std::span<const Migration> steps) {
  CACS_ASSIGN(const std::int64_t version, connection.query_number("PRAGMA user_version"));
  CACS_TRY(check_owner(connection, version));
  const std::int64_t newest = steps.back().version;
  if (version > newest) {
    return make_error(
        ErrorCode::kUnsupported,
        fmt::format("the database has schema version {}; this build knows versions up to {}", version, newest),
        "run the newer release of CACS that wrote it");
  }
  for (const Migration& step : steps) {
    if (step.version > version) CACS_TRY(take_step(connection, step));
  }
  return {};
}

}  // namespace cacs::database
