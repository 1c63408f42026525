#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/api.h"
#include "cli/embedded.h"
#include "cli/roles.h"
#include "cli/settings.h"
#include "cli/terminal.h"

namespace CLI {
class App;
}

namespace cacs::cli {

/// Whether a command that finds no server configured may start one of the user's own.
enum class StartServer {
  kNever,   ///< use one that runs, else say that there is none
  kIfUsed,  ///< start it where there is state of an earlier one: its applications are to be seen
  kAlways,  ///< start it, if this user may
};

/// What a command runs with.
class Context {
 public:
  struct Parts {
    Settings settings;
    Environment environment;
    Terminal& terminal;
    const Roles& roles;
    const CLI::App& app;
    std::vector<std::string> trailing;  ///< the arguments after `--`
    EmbeddedServer& embedded;
  };
  explicit Context(Parts parts) : parts_(std::move(parts)) {}

  [[nodiscard]] const Settings& settings() const { return parts_.settings; }
  [[nodiscard]] const Environment& environment() const { return parts_.environment; }
  [[nodiscard]] Terminal& terminal() const { return parts_.terminal; }
  [[nodiscard]] const Roles& roles() const { return parts_.roles; }
  [[nodiscard]] const CLI::App& app() const { return parts_.app; }
  [[nodiscard]] const std::vector<std::string>& trailing() const { return parts_.trailing; }
  /// The state directory where somebody named one; empty: a role takes its own default.
  [[nodiscard]] std::filesystem::path explicit_state() const {
    return settings().state_given ? settings().state : std::filesystem::path();
  }
  [[nodiscard]] bool json() const { return parts_.settings.output == OutputFormat::kJson; }

  /// The server's API; finds or starts the server at the first call.
  Result<Api*> connect(StartServer when = StartServer::kIfUsed);
  /// One more connection to the same server, for another thread.
  Result<std::unique_ptr<ApiClient>> another_client() const;

  /// The API's answer as it came, with a line end.
  void print_raw(const std::string& raw) const;

 private:
  Result<ServerEndpoint> find_server(StartServer when);

  Parts parts_;
  ServerEndpoint endpoint_;
  std::unique_ptr<ApiClient> client_;
  std::unique_ptr<Api> api_;
};

/// One command of the table that main's command line is made of. `setup` declares its options; `run` does it and
/// returns the exit code. Both see the same options, which the maker of the command binds into them.
///
/// A name of several words ("repo init", "repo key add") is a subcommand of the one of all but its last word, which
/// stands before it in the table. A command
/// without `run` is nothing but the parent of others. One that has both ("checkpoint APP", "checkpoint diff") takes an
/// argument that is a subcommand's name for the subcommand.
struct CommandSpec {
  std::string name;
  std::string group;
  std::string summary;                   ///< one line
  std::string example;                   ///< a whole command line
  std::string notes;                     ///< more for --help and the documentation; may be empty
  std::function<void(CLI::App&)> setup;  ///< may be empty
  std::function<Result<int>(Context&)> run;
};

/// The table, in the order of --help.
std::vector<CommandSpec> all_commands();

// The makers of its entries, one for each command.
CommandSpec make_run_command();
CommandSpec make_submit_command();
CommandSpec make_ls_command();
CommandSpec make_show_command();
CommandSpec make_explain_command();
CommandSpec make_logs_command();
CommandSpec make_exec_command();
CommandSpec make_checkpoint_command();
CommandSpec make_checkpoints_command();
CommandSpec make_restart_command();
CommandSpec make_delete_command();
CommandSpec make_check_command();
CommandSpec make_server_command();
CommandSpec make_agent_command();
CommandSpec make_shim_command();
CommandSpec make_version_command();
CommandSpec make_completion_command();
CommandSpec make_help_command();

}  // namespace cacs::cli
