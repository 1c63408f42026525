#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"

/// SQLite behind RAII and Result. Private to this folder: nothing else includes sqlite3.h.
namespace cacs::database {

struct CloseConnection {
  void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }
};

/// One use of a prepared statement: bind in the order of its '?', then step, then read columns. Its end resets it.
class Statement {
 public:
  Statement(sqlite3* connection, sqlite3_stmt* handle) : connection_(connection), handle_(handle) {}
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  /// What is bound must live until the last step.
  Statement& bind(std::string_view text);
  Statement& bind(std::int64_t number);
  Statement& bind(std::uint64_t number);
  Statement& bind(WallTime time);

  /// True: a row is there to be read. False: done.
  Result<bool> step();
  /// For statements without rows; returns how many rows they changed.
  Result<int> run();

  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] std::uint64_t unsigned_number(int column) const;
  [[nodiscard]] WallTime time(int column) const;
  /// A column that holds a JSON object; kCorrupt, naming `what`, when it does not.
  [[nodiscard]] Result<JsonObject> json(int column, std::string_view what) const;

 private:
  sqlite3* connection_;
  sqlite3_stmt* handle_;
  int bound_ = 0;
  int bind_result_ = SQLITE_OK;
};

/// One connection. One thread at a time.
class Connection {
 public:
  static Result<Connection> open(const std::filesystem::path& path, std::chrono::milliseconds busy_timeout);

  /// `sql` must be a string literal: statements are kept by its address for the life of the connection.
  Result<Statement> prepare(std::string_view sql);
  /// Statements without parameters or results, of any number.
  Status execute(const std::string& sql);
  /// The one number that a query answers with.
  Result<std::int64_t> query_number(std::string_view sql);

  /// False when SQLite has rolled the transaction back by itself (disk full, I/O error).
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }
  [[nodiscard]] int extended_error() const { return sqlite3_extended_errcode(handle_.get()); }

 private:
  Connection(std::unique_ptr<sqlite3, CloseConnection> handle) : handle_(std::move(handle)) {}

  std::unique_ptr<sqlite3, CloseConnection> handle_;
  std::map<std::string_view, std::unique_ptr<sqlite3_stmt, FinalizeStatement>> statements_;
};

/// The latest error of a connection as an Error.
Error sqlite_error(sqlite3* handle, std::string_view doing);

}  // namespace cacs::database
