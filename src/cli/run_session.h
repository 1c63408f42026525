#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/log_follower.h"
#include "cli/signals.h"

namespace cacs::cli {

/// What `cacs run` was asked for.
struct RunRequest {
  std::vector<std::string> command;
  std::string name;
  std::vector<std::string> env;  ///< NAME=VALUE, or NAME for the value it has here
  std::string workdir;           ///< empty: the current directory
  std::string user;
  std::string cloud;
  std::string interval;
  bool no_checkpoint = false;
  int keep = 0;   ///< 0: the server's default
  int pods = 0;   ///< 0: one
  int nodes = 0;  ///< 0: one
  double cpus = 0;
  std::string memory;
  std::vector<std::string> mounts;  ///< SRC:DST[:ro]
  std::string time_limit;
};

/// The ASR for it. kInvalidArgument names what is wrong.
Result<JsonObject> make_asr(const RunRequest& request);

/// Follows an application that was submitted, until it ends or the user leaves. One thread.
class RunSession {
 public:
  RunSession(Context& context, Api& api, SignalWatcher& signals, std::string id, std::string name)
      : context_(context), api_(api), signals_(signals), id_(std::move(id)), name_(std::move(name)) {}

  /// The exit code of `cacs run`.
  Result<int> run();

 private:
  Result<int> ended();
  Result<int> suspended(const JsonObject& application);
  Result<int> detach(bool may_ask);
  Result<int> ask_and_delete();
  Result<ApiDocument> save_now();
  /// A checkpoint before the end of the job; nullopt: the application has ended instead.
  Result<std::optional<int>> save_and_leave();
  Result<bool> read_yes();

  Context& context_;
  Api& api_;
  SignalWatcher& signals_;
  std::string id_;
  std::string name_;
  std::unique_ptr<LogFollower> follower_;
};

}  // namespace cacs::cli
