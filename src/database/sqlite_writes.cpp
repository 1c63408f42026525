#include "database/sqlite_writes.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <limits>
#include <string>
#include <utility>
#include <variant>

namespace cacs::database {
namespace {

constexpr std::size_t kMaxBodyBytes = std::size_t{64} << 20U;

class Writer {
 public:
  Writer(Connection& connection, const Options& options) : connection_(connection), options_(options) {}

  Status operator()(const CreateApplication& write);
  Status operator()(const UpdateApplication& write);
  Status operator()(const DeleteApplication& write);
  Status operator()(const RequireOwner& write);
  Status operator()(const PutCheckpoint& write);
  Status operator()(const DeleteCheckpoint& write);
  Status operator()(const PutOperation& write);
  Status operator()(const ExpireOperations& write);
  Status operator()(const AddEvent& write);
  Status operator()(const UseIdempotencyKey& write);
  Status operator()(const ExpireIdempotencyKeys& write);
  Status operator()(const PutNode& write);
  Status operator()(const DeleteNode& write);
  Status operator()(const PutSetting& write);
  Status operator()(const DeleteSetting& write);

 private:
  // Prepares `sql`, binds `values` in their order and runs it; returns the number of rows changed.
  template <typename... Values>
  Result<int> run(std::string_view sql, const Values&... values) {
    CACS_ASSIGN(Statement statement, connection_.prepare(sql));
    (statement.bind(values), ...);
    return statement.run();
  }
  Status trim_events(const EventRow& newest);

  Connection& connection_;
  const Options& options_;
};

Result<std::string> body_text(const JsonObject& body, std::string_view what) {
  std::string text = boost::json::serialize(body);
  if (text.size() <= kMaxBodyBytes) return text;
  return make_error(ErrorCode::kTooLarge,
                    fmt::format("database: the body of {} has {} bytes, more than the {} that are allowed", what,
                                text.size(), kMaxBodyBytes));
}

Error stale(std::string_view id, const RowVersion& expected) {
  return make_error(ErrorCode::kStale,
                    fmt::format("application {} is no longer at owner epoch {}, version {}", id, expected.owner_epoch,
                                expected.version),
                    "another writer changed it: load it again");
}

Status Writer::operator()(const CreateApplication& write) {
  const ApplicationRow& row = write.row;
  CACS_ASSIGN(const std::string state, body_text(row.state, "application " + row.id));
  CACS_ASSIGN(const int changed,
              run("INSERT INTO applications(id, tenant, owner_epoch, version, state) VALUES(?,?,?,?,?) "
                  "ON CONFLICT(id) DO NOTHING",
                  row.id, row.tenant, row.version.owner_epoch, row.version.version, state));
  if (changed == 1) return {};
  return make_error(ErrorCode::kConflict, fmt::format("application {} exists already", row.id));
}

Status Writer::operator()(const UpdateApplication& write) {
  CACS_ASSIGN(const std::string state, body_text(write.state, "application " + write.id));
  CACS_ASSIGN(const int changed,
              run("UPDATE applications SET owner_epoch=?, version=version+1, state=? "
                  "WHERE id=? AND owner_epoch=? AND version=?",
                  write.owner_epoch, state, write.id, write.expected.owner_epoch, write.expected.version));
  if (changed == 1) return {};
  return stale(write.id, write.expected);
}

Status Writer::operator()(const DeleteApplication& write) {
  CACS_ASSIGN(const int changed, run("DELETE FROM applications WHERE id=? AND owner_epoch=? AND version=?", write.id,
                                     write.expected.owner_epoch, write.expected.version));
  if (changed == 0) {
    CACS_ASSIGN(Statement query, connection_.prepare("SELECT 1 FROM applications WHERE id=?"));
    CACS_ASSIGN(const bool there, query.bind(write.id).step());
    if (there) return stale(write.id, write.expected);
  }
  CACS_TRY(run("DELETE FROM events WHERE application=?", write.id));
  return {};
}

Status Writer::operator()(const RequireOwner& write) {
  CACS_ASSIGN(Statement query, connection_.prepare("SELECT owner_epoch FROM applications WHERE id=?"));
  CACS_ASSIGN(const bool there, query.bind(write.application).step());
  if (there && query.unsigned_number(0) == write.owner_epoch) return {};
  return make_error(ErrorCode::kStale, fmt::format("application {} is {}", write.application,
                                                   there ? fmt::format("at owner epoch {}, not {}",
                                                                       query.unsigned_number(0), write.owner_epoch)
                                                         : std::string("gone")));
}

Status Writer::operator()(const PutCheckpoint& write) {
  const CheckpointRow& row = write.row;
  CACS_ASSIGN(const std::string body, body_text(row.body, "checkpoint " + row.id));
  Result<int> done = run(
      "INSERT INTO checkpoints(id, application, tenant, created_at, body) VALUES(?,?,?,?,?) ON CONFLICT(id) DO UPDATE "
      "SET application=excluded.application, tenant=excluded.tenant, created_at=excluded.created_at, "
      "body=excluded.body",
      row.id, row.application, row.tenant, row.created_at, body);
  if (done.ok()) return {};
  if (connection_.extended_error() == SQLITE_CONSTRAINT_FOREIGNKEY) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("checkpoint {}: its application {} does not exist", row.id, row.application));
  }
  return done.error();
}

Status Writer::operator()(const DeleteCheckpoint& write) {
  CACS_TRY(run("DELETE FROM checkpoints WHERE id=?", write.id));
  return {};
}

Status Writer::operator()(const PutOperation& write) {
  const OperationRow& row = write.row;
  CACS_ASSIGN(const std::string body, body_text(row.body, "operation " + row.id));
  CACS_TRY(run("INSERT OR REPLACE INTO operations(id, application, tenant, updated_at, body) VALUES(?,?,?,?,?)", row.id,
               row.application, row.tenant, row.updated_at, body));
  return {};
}

Status Writer::operator()(const ExpireOperations& write) {
  CACS_TRY(run("DELETE FROM operations WHERE updated_at<?", write.before));
  return {};
}

Status Writer::operator()(const AddEvent& write) {
  const EventRow& row = write.row;
  if (row.id == 0 || row.id > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{} is no id of an event", row.id));
  }
  CACS_ASSIGN(const std::string body, body_text(row.body, fmt::format("event {}", row.id)));
  CACS_ASSIGN(const int changed, run("INSERT INTO events(id, application, tenant, time, kind, body) "
                                     "VALUES(?,?,?,?,?,?) ON CONFLICT(id) DO NOTHING",
                                     row.id, row.application, row.tenant, row.time, row.kind, body));
  if (changed != 1) return make_error(ErrorCode::kConflict, fmt::format("there is an event {} already", row.id));
  return trim_events(row);
}

Status Writer::trim_events(const EventRow& newest) {
  // Ids rise, so the overall bound needs no count: what lies this far below the newest goes.
  if (newest.id > options_.max_events) {
    CACS_TRY(run("DELETE FROM events WHERE id<=?", std::uint64_t{newest.id - options_.max_events}));
  }
  CACS_TRY(
      run("DELETE FROM events WHERE application=?1 AND id<="
          "(SELECT id FROM events WHERE application=?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
          newest.application, std::uint64_t{options_.max_events_per_application}));
  return {};
}

Status Writer::operator()(const UseIdempotencyKey& write) {
  const IdempotencyKeyRow& row = write.row;
  CACS_ASSIGN(const std::string answer, body_text(row.answer, "an idempotency key"));
  CACS_ASSIGN(
      const int changed,
      run("INSERT INTO idempotency_keys(tenant, key, digest, answer, created_at) VALUES(?,?,?,?,?) "
          "ON CONFLICT(tenant, key) DO UPDATE SET digest=excluded.digest, answer=excluded.answer, "
          "created_at=excluded.created_at WHERE created_at<=?",
          row.tenant, row.key, row.digest, answer, row.created_at, WallTime{row.created_at - kIdempotencyKeyLife}));
  if (changed == 1) return {};
  return make_error(ErrorCode::kConflict, "the idempotency key was used before",
                    "repeat the same request with it, or take a new key")
      .with_type("idempotency-key-used");
}

Status Writer::operator()(const ExpireIdempotencyKeys& write) {
  CACS_TRY(run("DELETE FROM idempotency_keys WHERE created_at<=?", WallTime{write.now - kIdempotencyKeyLife}));
  return {};
}

Status Writer::operator()(const PutNode& write) {
  const NodeRow& row = write.row;
  CACS_ASSIGN(const std::string body, body_text(row.body, "node " + row.node));
  CACS_ASSIGN(const int changed,
              run("INSERT INTO nodes(cloud, node, claim, tenant, body) VALUES(?,?,?,?,?) ON CONFLICT(cloud, node) "
                  "DO UPDATE SET tenant=excluded.tenant, body=excluded.body WHERE claim=excluded.claim",
                  row.cloud, row.node, row.claim, row.tenant, body));
  if (changed == 1) return {};
  return make_error(ErrorCode::kConflict,
                    fmt::format("node {} of cloud {} belongs to another claim", row.node, row.cloud));
}

Status Writer::operator()(const DeleteNode& write) {
  CACS_TRY(run("DELETE FROM nodes WHERE cloud=? AND node=?", write.cloud, write.node));
  return {};
}

Status Writer::operator()(const PutSetting& write) {
  CACS_TRY(run("INSERT OR REPLACE INTO settings(key, value) VALUES(?,?)", write.key, write.value));
  return {};
}

Status Writer::operator()(const DeleteSetting& write) {
  CACS_TRY(run("DELETE FROM settings WHERE key=?", write.key));
  return {};
}

}  // namespace

Status make_writes(Connection& connection, const Options& options, const std::vector<Write>& writes) {
  Writer writer(connection, options);
  for (const Write& write : writes) CACS_TRY(std::visit(writer, write));
  return {};
}

}  // namespace cacs::database
