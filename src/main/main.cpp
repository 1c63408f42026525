// The one program: user's commands, server, agent and shim. Here everything is wired together, and nothing else is
// done.

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/log.h"
#include "cli/app.h"
#include "main/node_roles.h"
#include "main/paths.h"
#include "main/server_role.h"
#include "tools/commands.h"

namespace {

/// Roles that only CACS itself starts skip the command line's parser: a shim stays small.
int run_node_role(cacs::Result<int> (*role)(const std::vector<std::string>&),
                  const std::vector<std::string>& arguments) {
  const auto result = role(arguments);
  if (result) return *result;
  [[maybe_unused]] const auto written = cacs::write_full(2, "cacs: " + result.error().to_string() + "\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that went away is an error of write(2), not a death: `cacs logs | head` ends in order.
  std::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool flags_follow = arguments.size() > 1 && arguments[1].starts_with("--") && arguments[1] != "--help";
  if (flags_follow && arguments[0] == "shim") {
    return run_node_role(cacs::main::run_shim_role, {arguments.begin() + 1, arguments.end()});
  }
  if (flags_follow && arguments[0] == "agent") {
    return run_node_role(cacs::main::run_agent_role, {arguments.begin() + 1, arguments.end()});
  }
  // Not on standard output, which is a command's answer; the server's role names itself.
  cacs::init_logging("cacs", "warn");
  cacs::cli::Roles roles;
  roles.server = cacs::main::run_server_role;
  roles.check = cacs::main::check_machine;
  const auto program = cacs::main::own_program();
  cacs::cli::CommandLine line(cacs::tools::commands());
  return line.run(arguments, roles, program ? *program : std::filesystem::path());
}
