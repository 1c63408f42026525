#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/json.h"
#include "base/result.h"
#include "cli/api_client.h"
#include "cli/log_printer.h"
#include "cli/terminal.h"

namespace cacs::cli {

/// What of an application's output to follow, and how to show it.
struct FollowOptions {
  std::string target;                          ///< path and query of the log stream
  bool json = false;                           ///< print the records as they come, a line each, instead of the bytes
  std::chrono::milliseconds patience{60'000};  ///< how long a server that went away is waited for
};

/// Follows the output of an application, in a thread of its own, to its end: bytes of stdout go to standard output, of
/// stderr to standard error. When the server goes away or the connection breaks it connects again and goes on, in each
/// stream, after the last byte that came: none is lost or comes twice. A rollback prints one line to standard error.
class LogFollower {
 public:
  static Result<std::unique_ptr<LogFollower>> start(std::unique_ptr<ApiClient> client, Terminal& terminal,
                                                    FollowOptions options);
  LogFollower(const LogFollower&) = delete;
  LogFollower& operator=(const LogFollower&) = delete;
  ~LogFollower();  ///< cancel()

  /// Readable when it has ended.
  [[nodiscard]] int done_fd() const { return done_.get(); }
  /// Stops printing and following. Returns when the thread has ended.
  void cancel();
  /// Waits for the end: data of the `end` event, or why there was none.
  Result<JsonObject> result();

 private:
  LogFollower(std::unique_ptr<ApiClient> client, Terminal& terminal, FollowOptions options, UniqueFd done);
  void run();
  Status follow();
  Status connect_once();
  Status take(const std::string& name, const std::string& data);
  Status take_record(const std::string& name, const JsonObject& record);
  bool pause(std::chrono::milliseconds span);

  std::unique_ptr<ApiClient> client_;
  Terminal& terminal_;
  FollowOptions options_;
  UniqueFd done_;
  LogPrinter out_;
  LogPrinter err_;
  std::string last_id_;  ///< of the last event taken: where to go on
  bool progressed_ = false;
  std::optional<JsonObject> end_;  ///< written by the thread, read after it has ended
  Status status_;                  ///< the same
  std::mutex mutex_;
  std::condition_variable wake_;
  bool cancelled_ = false;
  std::thread thread_;
};

}  // namespace cacs::cli
