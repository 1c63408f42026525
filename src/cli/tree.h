#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cacs::cli {

/// One option or argument of a command, as completion and documentation need it.
struct TreeOption {
  std::vector<std::string> flags;    ///< "--name", "-n"; empty: a positional argument
  std::string name;                  ///< of a positional argument ("APP")
  std::string value;                 ///< name of the value it takes; empty: none
  std::vector<std::string> choices;  ///< the only values, where they are few
  std::string help;
  bool required = false;
  bool many = false;
};

struct TreeCommand {
  std::string name;  ///< several words ("repo init") where it is below another
  std::string group;
  std::string summary;
  std::string footer;  ///< example and notes
  std::vector<TreeOption> options;
  std::vector<std::string> below;  ///< last words of the commands right below it
  bool runs = true;                ///< it does something by itself
};

struct CommandTree {
  std::vector<TreeOption> options;    ///< those that every command takes
  std::vector<TreeCommand> commands;  ///< those below another one right behind it
};

/// What the command line was built as: read from the parser itself, so that it cannot differ from it.
CommandTree read_tree(const CLI::App& app);

/// Documentation of every command (docs/cli.md).
std::string render_markdown(const CommandTree& tree);

/// The completion script for "bash", "zsh" or "fish"; empty for another shell.
std::string render_completion(const CommandTree& tree, const std::string& shell);

}  // namespace cacs::cli
