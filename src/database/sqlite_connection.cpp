#include "database/sqlite_connection.h"

#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace cacs::database {
namespace {

constexpr const char* kCorruptHint =
    "restore the database from a copy, or move the file away to begin with an empty one; checkpoints are kept in the "
    "repository, not here";

ErrorCode code_of(int sqlite_code, int os_errno) {
  // EFBIG: a limit on the file's size, by the file system or RLIMIT_FSIZE, is as full a disk as any.
  if (os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EFBIG) return ErrorCode::kNoSpace;
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
      return ErrorCode::kNoSpace;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::kCorrupt;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::kUnavailable;
    case SQLITE_CONSTRAINT:
      return ErrorCode::kConflict;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return ErrorCode::kPermission;
    case SQLITE_TOOBIG:
      return ErrorCode::kTooLarge;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

Error sqlite_error(sqlite3* handle, std::string_view doing) {
  const int code = sqlite3_extended_errcode(handle);
  const int primary = code & 0xff;
  // The errno of the connection stays from earlier calls: it only says something of these.
  const bool has_errno = primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_FULL;
  const int os_errno = has_errno ? sqlite3_system_errno(handle) : 0;
  Error error = make_error(code_of(code, os_errno), fmt::format("{}: {}", doing, sqlite3_errmsg(handle)));
  if (os_errno != 0) error.message += fmt::format(" ({})", std::generic_category().message(os_errno));
  error.os_errno = os_errno;
  if (error.code == ErrorCode::kNoSpace) error.hint = "free space on the disk that holds the database, then try again";
  if (error.code == ErrorCode::kCorrupt) error.hint = kCorruptHint;
  return error;
}

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_),
      handle_(std::exchange(other.handle_, nullptr)),
      bound_(other.bound_),
      bind_result_(other.bind_result_) {}

Statement::~Statement() {
  if (handle_ == nullptr) return;
  // Reset repeats the error of the last step, which its caller has seen.
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
}

Statement& Statement::bind(std::string_view text) {
  // An empty view may have no data pointer, and SQLite takes a null pointer for NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  const int result = sqlite3_bind_text64(handle_, ++bound_, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

Statement& Statement::bind(std::int64_t number) {
  const int result = sqlite3_bind_int64(handle_, ++bound_, number);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

Statement& Statement::bind(std::uint64_t number) { return bind(static_cast<std::int64_t>(number)); }

Statement& Statement::bind(WallTime time) { return bind(std::int64_t{time.time_since_epoch().count()}); }

Result<bool> Statement::step() {
  if (bind_result_ != SQLITE_OK) return sqlite_error(connection_, "database: bind a value");
  const int result = sqlite3_step(handle_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return sqlite_error(connection_, "database");
}

Result<int> Statement::run() {
  CACS_ASSIGN(const bool row, step());
  if (row) return make_error(ErrorCode::kInternal, "database: a statement that should have no rows has one");
  return sqlite3_changes(connection_);
}

std::string Statement::text(int column) const {
  const auto* data = sqlite3_column_text(handle_, column);
  if (data == nullptr) return {};
  return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

std::int64_t Statement::number(int column) const { return sqlite3_column_int64(handle_, column); }

std::uint64_t Statement::unsigned_number(int column) const { return static_cast<std::uint64_t>(number(column)); }

WallTime Statement::time(int column) const { return WallTime(std::chrono::milliseconds(number(column))); }

Result<JsonObject> Statement::json(int column, std::string_view what) const {
  // What was written came through bounds of its own; here it only has to come back, whatever bytes its strings hold.
  boost::json::parse_options options;
  options.max_depth = 512;
  options.allow_invalid_utf8 = true;
  boost::system::error_code failure;
  Json value = boost::json::parse(text(column), failure, {}, options);
  if (failure || !value.is_object()) {
    return make_error(ErrorCode::kCorrupt, fmt::format("database: the body of {} is not a JSON object", what),
                      kCorruptHint);
  }
  return std::move(value.as_object());
}

Result<Connection> Connection::open(const std::filesystem::path& path, std::chrono::milliseconds busy_timeout) {
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int result = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Connection connection{std::unique_ptr<sqlite3, CloseConnection>(raw)};
  if (raw == nullptr) return make_error(ErrorCode::kInternal, "open the database: out of memory");
  if (result != SQLITE_OK) return sqlite_error(raw, fmt::format("open the database {}", path.string()));
  sqlite3_busy_timeout(raw, static_cast<int>(busy_timeout.count()));
  CACS_TRY(connection.execute("PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA synchronous=FULL;"));
  return connection;
}

Result<Statement> Connection::prepare(std::string_view sql) {
  auto& cached = statements_[sql];
  if (!cached) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw,
                           nullptr) != SQLITE_OK) {
      return sqlite_error(handle_.get(), "database: prepare a statement");
    }
    cached.reset(raw);
  }
  return Statement(handle_.get(), cached.get());
}

Status Connection::execute(const std::string& sql) {
  if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return sqlite_error(handle_.get(), "database");
}

Result<std::int64_t> Connection::query_number(std::string_view sql) {
  CACS_ASSIGN(auto query, prepare(sql));
  CACS_ASSIGN(const bool row, query.step());
  if (!row) return make_error(ErrorCode::kInternal, fmt::format("database: no answer to {}", sql));
  return query.number(0);
}

}  // namespace cacs::database
