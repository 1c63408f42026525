#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"

namespace CLI {
class App;
}

namespace cacs::cli {

/// The command line as a whole: parser, table of commands, and what the options that all of them take were set to.
class CommandLine {
 public:
  /// `more` are commands of other components, after all_commands(); their parents may be among those.
  explicit CommandLine(std::vector<CommandSpec> more = {});
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;
  ~CommandLine();

  /// Parses and runs. Returns the exit code. `program` is this program's own file, for starting an embedded server.
  int run(const std::vector<std::string>& arguments, const Roles& roles, const std::filesystem::path& program);

  [[nodiscard]] const CLI::App& app() const { return *app_; }

 private:
  struct Globals;
  void add(const CommandSpec& command);
  std::optional<int> parse(std::vector<std::string> arguments, Terminal& terminal);
  [[nodiscard]] std::optional<Error> unknown_command(const std::vector<std::string>& arguments) const;
  [[nodiscard]] Status check_parents() const;
  Error explain_usage(const std::string& message, const std::vector<std::string>& arguments) const;
  [[nodiscard]] const CommandSpec* chosen() const;

  std::unique_ptr<CLI::App> app_;
  std::unique_ptr<Globals> globals_;
  std::vector<CommandSpec> commands_;
};

}  // namespace cacs::cli
