#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/io.h"
#include "database/database.h"
#include "database/schema.h"
#include "database/sqlite_connection.h"
#include "database/sqlite_writes.h"

namespace cacs::database {
namespace {

// One fsync for at most so many callers: bounds how long the first of them waits for the others' writes.
constexpr std::size_t kMaxGroup = 64;

/// Takes the lock file beside the database for this process, or says who has it. The kernel drops the lock with the
/// process; the pid in the file is only there to be read.
Result<UniqueFd> lock_database(const std::filesystem::path& path) {
  std::filesystem::path lock_path = path;
  lock_path += ".lock";
  CACS_ASSIGN(UniqueFd fd, open_file(lock_path, O_RDWR | O_CREAT, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_error(errno, fmt::format("lock {}", lock_path.string()));
    std::array<std::byte, 32> bytes{};
    CACS_ASSIGN(const std::size_t size, pread_full(fd.get(), bytes, 0));
    const std::string holder(reinterpret_cast<const char*>(bytes.data()), size);
    return make_error(ErrorCode::kConflict,
                      fmt::format("the database {} is in use by process {}", path.string(),
                                  holder.empty() ? "(unknown)" : holder),
                      "stop that server first, or give this one another state directory")
        .with_type("database-in-use");
  }
  if (::ftruncate(fd.get(), 0) != 0) return errno_error(errno, fmt::format("write {}", lock_path.string()));
  CACS_TRY(pwrite_full(fd.get(), as_bytes(std::to_string(::getpid())), 0));
  return fd;
}

/// An empty file of mode 0600, which SQLite takes for a new database and whose mode its side files inherit.
Status make_file(const std::filesystem::path& path) {
  CACS_TRY(open_file(path, O_RDWR | O_CREAT, 0600));
  return sync_directory(path.parent_path().empty() ? "." : path.parent_path());
}

Status check_integrity(Connection& connection) {
  CACS_ASSIGN(Statement check, connection.prepare("PRAGMA quick_check(1)"));
  CACS_ASSIGN(const bool row, check.step());
  const std::string verdict = row ? check.text(0) : "no answer";
  if (verdict == "ok") return {};
  return make_error(ErrorCode::kCorrupt, "the file is damaged: " + verdict,
                    "restore the database from a copy, or move the file away to begin with an empty one; checkpoints "
                    "are kept in the repository, not here");
}

Status prepare_database(Connection& connection) {
  // The bound keeps the log from staying as large as the largest batch ever made it.
  CACS_TRY(connection.execute("PRAGMA journal_mode=WAL; PRAGMA journal_size_limit=16777216;"));
  CACS_TRY(check_integrity(connection));
  return migrate(connection, migrations());
}

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(UniqueFd lock, Connection writer, Connection reader, Options options)
      : lock_(std::move(lock)), writer_(std::move(writer)), reader_(std::move(reader)), options_(options) {}

  Status apply(std::vector<Write> writes) override;
  Result<std::vector<ApplicationRow>> load_applications() override;
  Result<ApplicationRow> find_application(std::string_view id) override;
  Result<std::vector<CheckpointRow>> load_checkpoints(std::string_view application) override;
  Result<std::vector<OperationRow>> load_operations() override;
  Result<std::vector<EventRow>> load_events(std::string_view application, std::uint64_t after,
                                            std::size_t limit) override;
  Result<std::uint64_t> last_event_id() override;
  Result<IdempotencyKeyRow> find_idempotency_key(std::string_view tenant, std::string_view key, WallTime now) override;
  Result<std::vector<NodeRow>> load_nodes(std::string_view cloud) override;
  Result<std::string> find_setting(std::string_view key) override;
  Status health() override;

 private:
  struct Pending {
    std::vector<Write> writes;
    Status outcome;
    bool done = false;
  };

  void commit_group(const std::vector<Pending*>& group);
  Status commit_together(const std::vector<Pending*>& group);
  Status make_savepoint_writes(Pending& pending);
  void note_health(const Status& outcome);

  template <typename Row>
  Result<std::vector<Row>> read_rows(Statement& query, const std::function<Result<Row>(Statement&)>& read);

  UniqueFd lock_;

  // The calls queue here; the first that finds nobody committing does it for all who wait.
  std::mutex queue_mutex_;
  std::condition_variable turn_;
  std::deque<Pending*> queue_;
  bool committing_ = false;
  Status health_;  // under queue_mutex_
  Status broken_;  // used by who commits

  Connection writer_;  // used by who commits

  std::mutex reader_mutex_;
  Connection reader_;

  Options options_;
};

Status SqliteDatabase::apply(std::vector<Write> writes) {
  Pending mine{.writes = std::move(writes), .outcome = {}};
  std::unique_lock lock(queue_mutex_);
  queue_.push_back(&mine);
  while (!mine.done) {
    if (committing_) {
      turn_.wait(lock);
      continue;
    }
    committing_ = true;
    const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), kMaxGroup));
    const std::vector<Pending*> group(queue_.begin(), end);
    queue_.erase(queue_.begin(), end);
    lock.unlock();
    commit_group(group);
    lock.lock();
    committing_ = false;
    for (Pending* pending : group) {
      pending->done = true;
      note_health(pending->outcome);
    }
    turn_.notify_all();
  }
  return mine.outcome;
}

void SqliteDatabase::note_health(const Status& outcome) {
  if (outcome.ok()) {
    health_ = {};
    return;
  }
  const ErrorCode code = outcome.error().code;
  // The others tell of the batch, not of the database.
  if (code == ErrorCode::kNoSpace || code == ErrorCode::kIo || code == ErrorCode::kCorrupt) health_ = outcome;
}

void SqliteDatabase::commit_group(const std::vector<Pending*>& group) {
  const Status together = commit_together(group);
  if (together.ok()) return;
  if (group.size() == 1) {
    group.front()->outcome = together;
    return;
  }
  // One batch too large for the disk must not take the others with it.
  for (Pending* pending : group) {
    const Status alone = commit_together({pending});
    if (!alone.ok()) pending->outcome = alone;
  }
}

// Each batch's own failure goes into its outcome. An error returned is one of all: nothing of the group is there.
Status SqliteDatabase::commit_together(const std::vector<Pending*>& group) {
  if (!broken_.ok()) return broken_;
  CACS_TRY(writer_.execute("BEGIN IMMEDIATE"));
  Status result;
  for (Pending* pending : group) {
    result = make_savepoint_writes(*pending);
    if (!result.ok()) break;
  }
  if (result.ok()) {
    result = writer_.execute("COMMIT");
    if (!result.ok() && writer_.extended_error() == SQLITE_IOERR_FSYNC) {
      // What a failed fsync left on the disk is unknown, and a second one would claim success: only a new start, which
      // reads the disk, knows.
      broken_ =
          make_error(ErrorCode::kIo, "the database cannot be used since an fsync failed: " + result.error().message,
                     "check the disk, then restart the server");
    }
  }
  if (!result.ok() && writer_.in_transaction()) {
    const Status undone = writer_.execute("ROLLBACK");
    if (!undone.ok()) broken_ = Status(undone).context("roll a batch back");
  }
  return result;
}

Status SqliteDatabase::make_savepoint_writes(Pending& pending) {
  CACS_TRY(writer_.execute("SAVEPOINT batch"));
  pending.outcome = make_writes(writer_, options_, pending.writes);
  if (pending.outcome.ok()) return writer_.execute("RELEASE batch");
  // Out of space or worse, SQLite has ended the transaction by itself, or may be unable to go on with it.
  const ErrorCode code = pending.outcome.error().code;
  if (!writer_.in_transaction() || code == ErrorCode::kNoSpace || code == ErrorCode::kIo) return pending.outcome;
  return writer_.execute("ROLLBACK TO batch; RELEASE batch");
}

Status SqliteDatabase::health() {
  const std::scoped_lock lock(queue_mutex_);
  return health_;
}

template <typename Row>
Result<std::vector<Row>> SqliteDatabase::read_rows(Statement& query,
                                                   const std::function<Result<Row>(Statement&)>& read) {
  std::vector<Row> rows;
  while (true) {
    CACS_ASSIGN(const bool more, query.step());
    if (!more) return rows;
    CACS_ASSIGN(Row row, read(query));
    rows.push_back(std::move(row));
  }
}

Result<ApplicationRow> read_application(Statement& row) {
  CACS_ASSIGN(JsonObject state, row.json(4, "application " + row.text(0)));
  return ApplicationRow{.id = row.text(0),
                        .tenant = row.text(1),
                        .version = {.owner_epoch = row.unsigned_number(2), .version = row.unsigned_number(3)},
                        .state = std::move(state)};
}

Result<std::vector<ApplicationRow>> SqliteDatabase::load_applications() {
  const std::scoped_lock lock(reader_mutex_);
  CACS_ASSIGN(Statement query,
              reader_.prepare("SELECT id, tenant, owner_epoch, version, state FROM applications ORDER BY id"));
  return read_rows<ApplicationRow>(query, read_application);
}

Result<ApplicationRow> SqliteDatabase::find_application(std::string_view id) {
  const std::scoped_lock lock(reader_mutex_);
  CACS_ASSIGN(Statement query,
              reader_.prepare("SELECT id, tenant, owner_epoch, version, state FROM applications WHERE id=?"));
  CACS_ASSIGN(const bool there, query.bind(id).step());
  if (there) return read_application(query);
  return make_error(ErrorCode::kNotFound, fmt::format("there is no application {}", id));
}

Result<std::vector<CheckpointRow>> SqliteDatabase::load_checkpoints(std::string_view application) {
  const std::scoped_lock lock(reader_mutex_);
  CACS_ASSIGN(Statement query, reader_.prepare("SELECT id, application, tenant, created_at, body FROM checkpoints "
                                               "WHERE ?1='' OR application=?1 ORDER BY id"));
  return read_rows<CheckpointRow>(query.bind(application), [](Statement& row) -> Result<CheckpointRow> {
    CACS_ASSIGN(JsonObject body, row.json(4, "checkpoint " + row.text(0)));
    return CheckpointRow{.id = row.text(0),
                         .application = row.text(1),
                         .tenant = row.text(2),
                         .created_at = row.time(3),
                         .body = std::move(body)};
  });
}

Result<std::vector<OperationRow>> SqliteDatabase::load_operations() {
  const std::scoped_lock lock(reader_mutex_);
  CACS_ASSIGN(Statement query,
              reader_.prepare("SELECT id, application, tenant, updated_at, body FROM operations ORDER BY id"));
  return read_rows<OperationRow>(query, [](Statement& row) -> Result<OperationRow> {
    CACS_ASSIGN(JsonObject body, row.json(4, "operation " + row.text(0)));
    return OperationRow{.id = row.text(0),
                        .application = row.text(1),
                        .tenant = row.text(2),
                        .updated_at = row.time(3),
                        .body = std::move(body)};
  });
}

Result<std::vector<EventRow>> SqliteDatabase::load_events(std::string_view application, std::uint64_t after,
                                                          std::size_t limit) {
  constexpr std::uint64_t kMaxNumber = std::numeric_limits<std::int64_t>::max();
  const std::scoped_lock lock(reader_mutex_);
  // Two statements, so that each has its index.
  CACS_ASSIGN(Statement query,
              reader_.prepare(application.empty() ? "SELECT id, application, tenant, time, kind, body FROM events "
                                                    "WHERE id>?2 AND ?1='' ORDER BY id LIMIT ?3"
                                                  : "SELECT id, application, tenant, time, kind, body FROM events "
                                                    "WHERE application=?1 AND id>?2 ORDER BY id LIMIT ?3"));
  query.bind(application).bind(std::min(after, kMaxNumber)).bind(std::min<std::uint64_t>(limit, kMaxNumber));
  return read_rows<EventRow>(query, [](Statement& row) -> Result<EventRow> {
    CACS_ASSIGN(JsonObject body, row.json(5, "event " + row.text(0)));
    return EventRow{.id = row.unsigned_number(0),
                    .application = row.text(1),
                    .tenant = row.text(2),
                    .time = row.time(3),
                    .kind = row.text(4),
                    .body = std::move(body)};
  });
}

Result<std::uint64_t> SqliteDatabase::last_event_id() {
  const std::scoped_lock lock(reader_mutex_);
  CACS_ASSIGN(const std::int64_t id,
              reader_.query_number("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name='events'), 0)"));
  return static_cast<std::uint64_t>(id);
}

Result<IdempotencyKeyRow> SqliteDatabase::find_idempotency_key(std::string_view tenant, std::string_view key,
                                                               WallTime now) {
  const std::scoped_lock lock(reader_mutex_);
  CACS_ASSIGN(Statement query, reader_.prepare("SELECT tenant, key, digest, answer, created_at FROM idempotency_keys "
                                               "WHERE tenant=? AND key=? AND created_at>?"));
  CACS_ASSIGN(const bool there, query.bind(tenant).bind(key).bind(WallTime{now - kIdempotencyKeyLife}).step());
  if (!there) return make_error(ErrorCode::kNotFound, "the idempotency key has not been used");
  CACS_ASSIGN(JsonObject answer, query.json(3, "an idempotency key"));
  return IdempotencyKeyRow{.tenant = query.text(0),
                           .key = query.text(1),
                           .digest = query.text(2),
                           .answer = std::move(answer),
                           .created_at = query.time(4)};
}

Result<std::vector<NodeRow>> SqliteDatabase::load_nodes(std::string_view cloud) {
  const std::scoped_lock lock(reader_mutex_);
  CACS_ASSIGN(Statement query,
              reader_.prepare("SELECT cloud, claim, node, tenant, body FROM nodes WHERE cloud=? ORDER BY node"));
  return read_rows<NodeRow>(query.bind(cloud), [](Statement& row) -> Result<NodeRow> {
    CACS_ASSIGN(JsonObject body, row.json(4, "node " + row.text(2)));
    return NodeRow{.cloud = row.text(0),
                   .claim = row.text(1),
                   .node = row.text(2),
                   .tenant = row.text(3),
                   .body = std::move(body)};
  });
}

Result<std::string> SqliteDatabase::find_setting(std::string_view key) {
  const std::scoped_lock lock(reader_mutex_);
  CACS_ASSIGN(Statement query, reader_.prepare("SELECT value FROM settings WHERE key=?"));
  CACS_ASSIGN(const bool there, query.bind(key).step());
  if (there) return query.text(0);
  return make_error(ErrorCode::kNotFound, fmt::format("there is no setting {}", key));
}

Result<std::unique_ptr<Database>> open_locked(const std::filesystem::path& path, const Options& options) {
  CACS_TRY(make_directories(path.parent_path().empty() ? "." : path.parent_path(), 0700));
  CACS_ASSIGN(UniqueFd lock, lock_database(path));
  CACS_TRY(make_file(path));
  CACS_ASSIGN(Connection writer, Connection::open(path, options.busy_timeout));
  CACS_TRY(prepare_database(writer));
  CACS_ASSIGN(Connection reader, Connection::open(path, options.busy_timeout));
  return std::unique_ptr<Database>(
      std::make_unique<SqliteDatabase>(std::move(lock), std::move(writer), std::move(reader), options));
}

}  // namespace

Result<std::unique_ptr<Database>> open_sqlite(const std::filesystem::path& path, const Options& options) {
  Result<std::unique_ptr<Database>> opened = open_locked(path, options);
  if (!opened.ok() && opened.error().type == "database-in-use") return opened;
  return std::move(opened).context(fmt::format("open the database {}", path.string()));
}

}  // namespace cacs::database
