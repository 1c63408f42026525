#include "cli/app.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "cli/exit_codes.h"
#include "cli/tree.h"

namespace cacs::cli {

struct CommandLine::Globals {
  SettingsLayer flags;
  std::optional<std::string> config;
  bool utc = false;
  bool quiet = false;
};

namespace {

/// Wraps notes at 100 columns, so that --help reads well.
std::string wrapped(const std::string& text) {
  constexpr std::size_t kColumns = 100;
  std::string out;
  std::size_t column = 0;
  for (const auto& word : split(text, ' ')) {
    if (column > 0 && column + 1 + word.size() > kColumns) {
      out += '\n';
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

/// Arguments that a command wants which has others below it. While the parser holds them for required it takes a
/// subcommand's name for one of them; so for its time they are not, and check_parents() looks for them.
class EasedArguments {
 public:
  explicit EasedArguments(CLI::App& app) {
    for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
      if (command->get_subcommands([](CLI::App*) { return true; }).empty()) continue;
      for (CLI::Option* option : command->get_options([](CLI::Option* each) { return each->get_required(); })) {
        option->required(false);
        options_.push_back(option);
      }
    }
  }
  EasedArguments(const EasedArguments&) = delete;
  EasedArguments& operator=(const EasedArguments&) = delete;
  ~EasedArguments() {
    for (CLI::Option* option : options_) option->required(true);
  }

 private:
  std::vector<CLI::Option*> options_;
};

std::string footer_of(const CommandSpec& command) {
  std::string text = command.notes.empty() ? "" : wrapped(command.notes) + "\n\n";
  return text + "Example:\n\n    " + command.example;
}

}  // namespace

std::vector<CommandSpec> all_commands() {
  std::vector<CommandSpec> commands;
  for (auto make : {make_run_command, make_submit_command, make_ls_command, make_show_command, make_explain_command,
                    make_logs_command, make_checkpoints_command, make_checkpoint_command, make_restart_command,
                    make_exec_command, make_delete_command, make_check_command, make_server_command, make_agent_command,
                    make_shim_command, make_version_command, make_completion_command, make_help_command}) {
    commands.push_back(make());
  }
  return commands;
}

CommandLine::CommandLine(std::vector<CommandSpec> more)
    : app_(std::make_unique<CLI::App>(
          "CACS runs long programs, saves them while they run, and brings them back after a failure.", "cacs")),
      globals_(std::make_unique<Globals>()),
      commands_(all_commands()) {
  SettingsLayer& flags = globals_->flags;
  app_->add_option("--server", flags.server, "the server: http://host:port or unix:/path")->type_name("ADDRESS");
  app_->add_option("--token-file", flags.token_file, "a file whose first line is the token")->type_name("FILE");
  app_->add_option("--state", flags.state, "state directory of a server on this machine")->type_name("DIR");
  app_->add_option("--config", globals_->config, "read only this configuration file")->type_name("FILE");
  app_->add_option("-o,--output", flags.output, "table, or json: the API's own answer")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json"}));
  app_->add_flag("--utc", globals_->utc, "exact times in tables");
  app_->add_flag("-q,--quiet", globals_->quiet, "no progress and no remarks");
  app_->footer(exit_codes_help() + "\nExample:\n\n    cacs run -- lmp -in in.melt\n");
  commands_.insert(commands_.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  for (const auto& command : commands_) add(command);
  // One command at most: in `cacs show ls` the second word is an application's name.
  app_->require_subcommand(0, 1);
}

CommandLine::~CommandLine() = default;

void CommandLine::add(const CommandSpec& command) {
  CLI::App* parent = app_.get();
  std::vector<std::string> words = split(command.name, ' ');
  for (; words.size() > 1; words.erase(words.begin())) parent = parent->get_subcommand(words.front());
  CLI::App* sub = parent->add_subcommand(words.front(), command.summary);
  sub->group(command.group);
  sub->fallthrough();
  sub->footer(footer_of(command));
  if (command.setup) command.setup(*sub);
  if (!command.run) sub->require_subcommand(1, 1);
  if (parent != app_.get() && parent->get_require_subcommand_min() == 0) parent->require_subcommand(0, 1);
}

const CommandSpec* CommandLine::chosen() const {
  std::string name;
  for (auto chosen = app_->get_subcommands(); !chosen.empty(); chosen = chosen.front()->get_subcommands()) {
    name += (name.empty() ? "" : " ") + chosen.front()->get_name();
  }
  const auto found = std::find_if(commands_.begin(), commands_.end(),
                                  [&](const CommandSpec& command) { return command.name == name; });
  return found == commands_.end() ? nullptr : &*found;
}

Status CommandLine::check_parents() const {
  const CLI::App* app = app_.get();
  while (!app->get_subcommands().empty()) {
    const CLI::App* below = app->get_subcommands().front();
    for (const CLI::Option* option : app->get_options()) {
      if (app == app_.get() || option->count() == 0) continue;
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{} {}: {} belongs to `cacs {}` alone", app->get_name(), below->get_name(),
                                    option->get_name(), app->get_name()),
                        fmt::format("`cacs {} {} --help` explains it", app->get_name(), below->get_name()));
    }
    app = below;
  }
  for (const CLI::Option* option : app->get_options()) {
    if (!option->get_required() || option->count() > 0) continue;
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{}: {} is required", app->get_name(), option->get_name()),
                      fmt::format("`cacs {} --help` explains it", app->get_name()));
  }
  return {};
}

std::optional<Error> CommandLine::unknown_command(const std::vector<std::string>& arguments) const {
  std::string parent;
  for (const auto& word : arguments) {
    if (word.starts_with('-')) return std::nullopt;
    std::vector<std::string_view> names;
    const CommandSpec* match = nullptr;
    for (const auto& command : commands_) {
      if (!command.name.starts_with(parent)) continue;
      const std::string_view name = std::string_view(command.name).substr(parent.size());
      if (name.find(' ') == std::string_view::npos) names.push_back(name);
      if (name == word) match = &command;
    }
    if (match == nullptr) {
      const auto near = nearest_name(word, names);
      return make_error(
          ErrorCode::kInvalidArgument, "there is no command '" + parent + printable(word) + "'",
          near ? "did you mean '" + parent + *near + "'?" : "`cacs " + parent + "--help` lists the commands");
    }
    if (match->run) return std::nullopt;
    parent = match->name + " ";
  }
  return std::nullopt;
}

Error CommandLine::explain_usage(const std::string& message, const std::vector<std::string>& arguments) const {
  const CommandTree tree = read_tree(*app_);
  std::vector<std::string> flags;
  const auto add_flags = [&flags](const std::vector<TreeOption>& options) {
    for (const auto& option : options) flags.insert(flags.end(), option.flags.begin(), option.flags.end());
  };
  add_flags(tree.options);
  const CommandSpec* command = chosen();
  for (const auto& candidate : tree.commands) {
    if (command != nullptr && candidate.name == command->name) add_flags(candidate.options);
  }
  for (const auto& argument : arguments) {
    const std::string flag = argument.substr(0, argument.find('='));
    if (!flag.starts_with("--") || std::find(flags.begin(), flags.end(), flag) != flags.end()) continue;
    const std::vector<std::string_view> views(flags.begin(), flags.end());
    const auto near = nearest_name(flag, views);
    return make_error(ErrorCode::kInvalidArgument, "there is no option " + printable(flag),
                      near ? "did you mean " + *near + "?"
                           : fmt::format("`cacs {}{}--help` lists them; put -- before a program's own arguments",
                                         command == nullptr ? "" : command->name, command == nullptr ? "" : " "));
  }
  const std::string where = command == nullptr ? "cacs" : command->name;
  return make_error(
      ErrorCode::kInvalidArgument, where + ": " + message,
      command == nullptr ? "`cacs --help` lists the commands" : "`cacs " + where + " --help` explains it");
}

std::optional<int> CommandLine::parse(std::vector<std::string> arguments, Terminal& terminal) {
  const std::vector<std::string> given = arguments;
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the end
  try {
    const EasedArguments eased(*app_);
    app_->parse(arguments);
  } catch (const CLI::Success& asked) {
    const auto chosen = app_->get_subcommands();
    terminal.out(chosen.empty() ? app_->help() : chosen.front()->help(app_->get_name()));
    return kExitOk;
  } catch (const CLI::ParseError& problem) {
    terminal.error(explain_usage(problem.what(), given));
    return kExitUsage;
  }
  if (const Status status = check_parents(); !status) {
    terminal.error(status.error());
    return kExitUsage;
  }
  if (chosen() != nullptr) return std::nullopt;
  terminal.error(make_error(ErrorCode::kInvalidArgument, "no command given", "`cacs --help` lists the commands"));
  return kExitUsage;
}

int CommandLine::run(const std::vector<std::string>& arguments, const Roles& roles,
                     const std::filesystem::path& program) {
  const Environment environment = process_environment();
  Terminal terminal(STDOUT_FILENO, STDERR_FILENO, environment);
  // What follows `--` belongs to another program: this parser never sees it.
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  std::vector<std::string> trailing;
  if (dashes != arguments.end()) trailing.assign(dashes + 1, arguments.end());
  const std::vector<std::string> own(arguments.begin(), dashes);

  if (const auto unknown = unknown_command(own)) {
    terminal.error(*unknown);
    return kExitUsage;
  }
  if (const auto code = parse(own, terminal)) return *code;
  const CommandSpec& command = *chosen();
  if (globals_->utc) globals_->flags.utc = true;
  if (globals_->quiet) globals_->flags.quiet = true;
  std::optional<std::filesystem::path> config;
  if (globals_->config) config = *globals_->config;
  auto settings = load_settings(globals_->flags, environment, config);
  if (!settings) {
    terminal.error(settings.error());
    return exit_code_for(settings.error()) == kExitNotFound ? kExitNotFound : kExitUsage;
  }
  terminal.set_quiet(settings->quiet);
  SpawnedServer embedded(program);
  Context context({.settings = *std::move(settings),
                   .environment = environment,
                   .terminal = terminal,
                   .roles = roles,
                   .app = *app_,
                   .trailing = std::move(trailing),
                   .embedded = embedded});
  const Result<int> code = command.run(context);
  if (code) return *code;
  if (!terminal.out_failed()) terminal.error(code.error());
  return exit_code_for(code.error());
}

}  // namespace cacs::cli
