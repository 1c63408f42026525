#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/command.h"
#include "cli/tree.h"

// Commands about the command line itself: completion, help.
namespace cacs::cli {

namespace {

struct HelpOptions {
  std::vector<std::string> topic;
  bool markdown = false;
};

Result<int> run_help(Context& context, const HelpOptions& options) {
  if (options.markdown) {
    context.terminal().out(render_markdown(read_tree(context.app())));
    return 0;
  }
  const CLI::App& app = context.app();
  if (options.topic.empty()) {
    // Not app.help(), which would explain the command that was chosen: this one.
    context.terminal().out(app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal));
    return 0;
  }
  const CLI::App* command = &app;
  std::string before;
  std::string name;
  for (const auto& word : options.topic) {
    before += (before.empty() ? "" : " ") + command->get_name();
    name += (name.empty() ? "" : " ") + word;
    const auto found = command->get_subcommands([&](const CLI::App* each) { return each->get_name() == word; });
    if (found.empty()) {
      return make_error(ErrorCode::kInvalidArgument, "there is no command '" + printable(name) + "'",
                        "`cacs help` lists them");
    }
    command = found.front();
  }
  context.terminal().out(command->help(before));
  return 0;
}

}  // namespace

CommandSpec make_completion_command() {
  auto shell = std::make_shared<std::string>();
  return {.name = "completion",
          .group = "Machine",
          .summary = "print the completion script for a shell",
          .example = "cacs completion bash > /etc/bash_completion.d/cacs",
          .notes = "It completes commands, options, and the ids and names of applications and checkpoints.",
          .setup =
              [shell](CLI::App& app) {
                app.add_option("SHELL", *shell, "bash, zsh or fish")
                    ->required()
                    ->check(CLI::IsMember({"bash", "zsh", "fish"}));
              },
          .run = [shell](Context& context) -> Result<int> {
            context.terminal().out(render_completion(read_tree(context.app()), *shell));
            return 0;
          }};
}

CommandSpec make_help_command() {
  auto options = std::make_shared<HelpOptions>();
  return {.name = "help",
          .group = "Machine",
          .summary = "explain a command, or all of them",
          .example = "cacs help run",
          .setup =
              [options](CLI::App& app) {
                app.add_option("TOPIC", options->topic, "the command: one word, or more")->expected(1, 3);
                app.add_flag("--markdown", options->markdown, "everything, as it stands in docs/cli.md");
              },
          .run = [options](Context& context) { return run_help(context, *options); }};
}

}  // namespace cacs::cli
