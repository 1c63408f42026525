#include "cli/tree.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/exit_codes.h"
#include "cli/settings.h"

namespace cacs::cli {

namespace {

/// CLI11 describes an IsMember check as "{a,b,c}".
std::vector<std::string> choices_of(const std::string& type_name) {
  const std::size_t open = type_name.find('{');
  const std::size_t close = type_name.rfind('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  return split(std::string_view(type_name).substr(open + 1, close - open - 1), ',');
}

TreeOption read_option(const CLI::Option& option) {
  TreeOption out;
  for (const auto& name : option.get_snames()) out.flags.push_back("-" + name);
  for (const auto& name : option.get_lnames()) out.flags.push_back("--" + name);
  if (out.flags.empty()) out.name = option.get_name();
  const std::string type = option.get_type_name();
  out.choices = choices_of(type);
  if (option.get_items_expected_max() > 0) out.value = type.substr(0, type.find_first_of(":{ "));
  out.help = option.get_description();
  out.required = option.get_required();
  out.many = option.get_items_expected_max() > 1;
  return out;
}

std::vector<TreeOption> read_options(const CLI::App& app) {
  std::vector<TreeOption> options;
  for (const CLI::Option* option : app.get_options()) options.push_back(read_option(*option));
  return options;
}

std::string synopsis(const TreeCommand& command) {
  if (!command.runs) return fmt::format("cacs {} {{{}}}", command.name, fmt::join(command.below, "|"));
  std::string text = "cacs " + command.name + " [OPTIONS]";
  for (const auto& option : command.options) {
    if (!option.flags.empty()) continue;
    const std::string name = option.many ? option.name + "..." : option.name;
    text += option.required ? " " + name : " [" + name + "]";
  }
  return text;
}

std::string option_table(const std::vector<TreeOption>& options) {
  std::string text = "| option | meaning |\n| --- | --- |\n";
  for (const auto& option : options) {
    std::string flags = option.flags.empty() ? "`" + option.name + "`" : "";
    for (const auto& flag : option.flags) flags += fmt::format("{}`{}`", flags.empty() ? "" : ", ", flag);
    if (!option.flags.empty() && !option.value.empty()) flags += " " + option.value;
    text += fmt::format("| {} | {} |\n", flags, option.help);
  }
  return text;
}

std::string settings_section() {
  std::string text =
      "## Configuration\n\nOptions stand over the environment, the environment over "
      "`$XDG_CONFIG_HOME/cacs/config.toml` "
      "(default `~/.config`), and that over `/etc/cacs/config.toml`. A key that is not known is an error.\n\n"
      "| key | variable | meaning |\n| --- | --- | --- |\n";
  for (const auto& key : config_keys()) {
    const std::string variable = key.variable.empty() ? "" : fmt::format("`{}`", key.variable);
    text += fmt::format("| `{}` | {} | {} |\n", key.name, variable, key.meaning);
  }
  return text +
         "\n`run.interval` is written as `interval` below a line `[run]`, or as `run.interval = \"5m\"`. "
         "`NO_COLOR` turns colours off.\n\n";
}

std::string exit_section() {
  std::string text = "## Exit codes\n\n| code | meaning |\n| --- | --- |\n";
  for (const auto& [code, meaning] : kExitCodes) text += fmt::format("| {} | {} |\n", code, meaning);
  return text +
         "\n`run` and `exec` end with the program's own exit code, or 128 and the number of the signal that ended "
         "it.\n";
}

}  // namespace

namespace {

void read_commands(const CLI::App& app, const std::string& parent, std::vector<TreeCommand>& out) {
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    TreeCommand command{.name = parent + sub->get_name(),
                        .group = sub->get_group(),
                        .summary = sub->get_description(),
                        .footer = sub->get_footer(),
                        .options = read_options(*sub),
                        .runs = sub->get_require_subcommand_min() == 0};
    for (const CLI::App* below : sub->get_subcommands([](const CLI::App*) { return true; })) {
      command.below.push_back(below->get_name());
    }
    const std::string prefix = command.name + " ";
    out.push_back(std::move(command));
    read_commands(*sub, prefix, out);
  }
}

}  // namespace

CommandTree read_tree(const CLI::App& app) {
  CommandTree tree;
  tree.options = read_options(app);
  read_commands(app, "", tree.commands);
  return tree;
}

std::string render_markdown(const CommandTree& tree) {
  std::string text =
      "# The command line\n\n"
      "Made by `cacs help --markdown`; a test holds this file to it.\n\n"
      "`APP` is an application's id, a unique beginning of its id (at least 4 hexadecimal digits), or its name where "
      "only one has it. `CHECKPOINT` is an id, a unique beginning of one, or `latest`. Errors go to standard error as "
      "`cacs: WHAT: WHY` with a line `hint: ...` below. Progress is shown only on a terminal, colours only there and "
      "without `NO_COLOR`.\n\n## Options of every command\n\n";
  text += option_table(tree.options) + "\n";
  for (const auto& command : tree.commands) {
    text += fmt::format("## cacs {}\n\n{}.\n\n```\n{}\n```\n\n", command.name, command.summary, synopsis(command));
    if (!command.options.empty()) text += option_table(command.options) + "\n";
    text += command.footer + "\n\n";
  }
  text += settings_section() + exit_section();
  return text;
}

}  // namespace cacs::cli
