#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/format.h"
#include "cli/tree.h"

// Completion scripts. They know the commands and flags by heart, and ask `cacs` itself for applications and
// checkpoints.
namespace cacs::cli {

namespace {

/// What a value or argument is completed with.
enum class Completer { kNothing, kFiles, kDirectories, kApplications, kCheckpoints, kCommands, kProgram, kChoices };

Completer completer_of(const TreeOption& option) {
  if (!option.choices.empty()) return Completer::kChoices;
  if (option.value == "FILE" || option.value == "ADDRESS") return Completer::kFiles;
  if (option.value == "DIR" || option.value == "SRC") return Completer::kDirectories;
  if (option.name == "APP") return Completer::kApplications;
  if (option.name == "CHECKPOINT") return Completer::kCheckpoints;
  if (option.name == "TOPIC") return Completer::kCommands;
  if (option.name == "PROGRAM" || option.name == "COMMAND") return Completer::kProgram;
  return Completer::kNothing;
}

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

/// First words: the commands that are not below another.
std::vector<std::string> command_names(const CommandTree& tree) {
  std::vector<std::string> names;
  for (const auto& command : tree.commands) {
    if (command.name.find(' ') == std::string::npos) names.push_back(command.name);
  }
  return names;
}

/// A command's name as one word of a pattern in `case`.
std::string pattern_of(const TreeCommand& command) {
  return fmt::format("{}", fmt::join(split(command.name, ' '), "\\ "));
}

std::vector<std::string> flags_of(const std::vector<TreeOption>& options) {
  std::vector<std::string> flags;
  for (const auto& option : options) flags.insert(flags.end(), option.flags.begin(), option.flags.end());
  return flags;
}

std::string bash_reply(Completer completer, const TreeOption& option, const CommandTree& tree) {
  switch (completer) {
    case Completer::kChoices:
      return fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))", shell_quoted(joined(option.choices, " ")));
    case Completer::kFiles:
      return "COMPREPLY=($(compgen -f -- \"$cur\"))";
    case Completer::kDirectories:
      return "COMPREPLY=($(compgen -d -- \"$cur\"))";
    case Completer::kApplications:
      return "_cacs_words \"$(\"$program\" ls --names 2>/dev/null)\"";
    case Completer::kCheckpoints:
      return "_cacs_words \"latest $(\"$program\" checkpoints \"${positional[0]}\" --names 2>/dev/null)\"";
    case Completer::kCommands:
      return fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))", shell_quoted(joined(command_names(tree), " ")));
    case Completer::kProgram:
      return "COMPREPLY=($(compgen -c -f -- \"$cur\"))";
    case Completer::kNothing:
      break;
  }
  return "COMPREPLY=()";
}

/// The cases of "$command $previous" whose word is the value of a flag.
std::string bash_values(const CommandTree& tree) {
  std::string text;
  const auto add = [&](const std::string& command, const std::vector<TreeOption>& options) {
    for (const auto& option : options) {
      if (option.value.empty() || option.flags.empty()) continue;
      std::vector<std::string> patterns;
      for (const auto& flag : option.flags) patterns.push_back(command + "\\ " + flag);
      text +=
          fmt::format("    {}) {}; return ;;\n", joined(patterns, "|"), bash_reply(completer_of(option), option, tree));
    }
  };
  for (const auto& command : tree.commands) add(pattern_of(command), command.options);
  add("*", tree.options);
  return text;
}

std::string bash_positionals(const TreeCommand& command, const CommandTree& tree) {
  std::string text;
  std::size_t index = 0;
  for (const auto& option : command.options) {
    if (!option.flags.empty()) continue;
    const bool first = index == 0;
    const std::string pattern = option.many ? "*" : std::to_string(index++);
    text += fmt::format("        {}) {} ;;\n", pattern, bash_reply(completer_of(option), option, tree));
    if (!first || command.below.empty()) continue;
    text.resize(text.size() - std::string_view(" ;;\n").size());
    text += fmt::format("; COMPREPLY+=($(compgen -W {} -- \"$cur\")) ;;\n", shell_quoted(joined(command.below, " ")));
  }
  if (!command.runs) {
    text += fmt::format("        0) COMPREPLY=($(compgen -W {} -- \"$cur\")) ;;\n",
                        shell_quoted(joined(command.below, " ")));
  }
  return text.empty() ? "" : "      case ${#positional[@]} in\n" + text + "      esac\n";
}

/// Flags that take a value: the word after them is no argument of the command.
std::string bash_value_flags(const CommandTree& tree) {
  std::string text;
  for (const auto& command : tree.commands) {
    for (const auto& option : command.options) {
      if (option.value.empty()) continue;
      for (const auto& flag : option.flags) text += fmt::format("{}\\ {}|", pattern_of(command), flag);
    }
  }
  for (const auto& option : tree.options) {
    if (option.value.empty()) continue;
    for (const auto& flag : option.flags) text += fmt::format("*\\ {}|", flag);
  }
  if (!text.empty()) text.pop_back();
  return text;
}

/// The word after a parent's name may be part of the command's name.
std::string bash_words(const CommandTree& tree) {
  std::vector<std::string> nested;
  for (const auto& command : tree.commands) {
    if (pattern_of(command) != command.name) nested.push_back(pattern_of(command));
  }
  std::string text = "    if [[ -z $command ]]; then command=$word; continue; fi\n";
  if (!nested.empty()) {
    text += fmt::format(
        "    if ((${{#positional[@]}} == 0)); then\n"
        "      case \"$command $word\" in {}) command=\"$command $word\"; continue ;; esac\n"
        "    fi\n",
        joined(nested, "|"));
  }
  return text + "    positional+=(\"$word\")\n";
}

std::string render_bash(const CommandTree& tree) {
  std::string text =
      "# bash completion for cacs; made by `cacs completion bash`.\n"
      "_cacs_words() {\n"
      "  local IFS=$' \\n\\t'\n"
      "  COMPREPLY=($(compgen -W \"$1\" -- \"$cur\"))\n"
      "}\n\n"
      "_cacs() {\n"
      "  local program=${COMP_WORDS[0]} cur=${COMP_WORDS[COMP_CWORD]} command='' previous='' word i\n"
      "  local -a positional=()\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    if [[ $word == -- ]]; then COMPREPLY=($(compgen -c -f -- \"$cur\")); return; fi\n"
      "    case \"$command $word\" in\n";
  text += "      " + bash_value_flags(tree) + ") i=$((i + 1)); previous=$word; continue ;;\n";
  text +=
      "    esac\n"
      "    previous=''\n"
      "    if [[ $word == -* ]]; then continue; fi\n" +
      bash_words(tree) +
      "  done\n"
      "  if ((i == COMP_CWORD)); then previous=''; fi\n"
      "  case \"$command $previous\" in\n";
  text += bash_values(tree);
  text += "  esac\n  case \"$command\" in\n";
  text += fmt::format("    '') COMPREPLY=($(compgen -W {} -- \"$cur\")) ;;\n",
                      shell_quoted(joined(command_names(tree), " ") + " " + joined(flags_of(tree.options), " ")));
  for (const auto& command : tree.commands) {
    text += fmt::format("    {})\n      if [[ $cur == -* ]]; then\n", pattern_of(command));
    text +=
        fmt::format("        COMPREPLY=($(compgen -W {} -- \"$cur\")); return\n      fi\n",
                    shell_quoted(joined(flags_of(command.options), " ") + " " + joined(flags_of(tree.options), " ")));
    text += bash_positionals(command, tree) + "      ;;\n";
  }
  return text + "  esac\n}\ncomplete -F _cacs cacs\n";
}

std::string zsh_action(const TreeOption& option, const CommandTree& tree) {
  switch (completer_of(option)) {
    case Completer::kChoices:
      return "(" + joined(option.choices, " ") + ")";
    case Completer::kFiles:
      return "_files";
    case Completer::kDirectories:
      return "_files -/";
    case Completer::kApplications:
      return "_cacs_applications";
    case Completer::kCheckpoints:
      return "_cacs_checkpoints";
    case Completer::kCommands:
      return "(" + joined(command_names(tree), " ") + ")";
    case Completer::kProgram:
      return "_normal";
    case Completer::kNothing:
      break;
  }
  return " ";
}

/// A description inside an _arguments specification: brackets and colons have a meaning there.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_arguments(const std::vector<TreeOption>& options, const CommandTree& tree) {
  std::string text;
  for (const auto& option : options) {
    const std::string action = zsh_action(option, tree);
    for (const auto& flag : option.flags) {
      std::string spec = "*" + flag + "[" + zsh_text(option.help) + "]";
      if (!option.value.empty()) spec += ":" + zsh_text(option.value) + ":" + action;
      text += " \\\n        " + shell_quoted(spec);
    }
    if (!option.flags.empty()) continue;
    const std::string place = option.many ? "*" : "";
    text += " \\\n        " + shell_quoted(place + ":" + zsh_text(option.name) + ":" + action);
  }
  return text;
}

/// What follows a command's name. The next word may be that of a command below: then the rest is completed as if that
/// were the first.
std::string zsh_rest(const TreeCommand& command, const CommandTree& tree) {
  std::string own = "_arguments" + zsh_arguments(command.options, tree) + zsh_arguments(tree.options, tree);
  if (command.below.empty()) return own;
  std::string text = fmt::format("if (( CURRENT == 2 )); then compadd -- {}; fi\n        case ${{words[2]}} in\n",
                                 joined(command.below, " "));
  for (const auto& word : command.below) {
    const auto below = std::ranges::find(tree.commands, command.name + " " + word, &TreeCommand::name);
    text += fmt::format("        ({}) if (( CURRENT > 2 )); then shift words; (( CURRENT-- )); fi; {} ;;\n", word,
                        zsh_rest(*below, tree));
  }
  return text + "        (*) " + own + " ;;\n        esac";
}

std::string render_zsh(const CommandTree& tree) {
  std::string text =
      "#compdef cacs\n"
      "# zsh completion for cacs; made by `cacs completion zsh`.\n"
      "_cacs_applications() { compadd -- ${(f)\"$(${words_all[1]:-cacs} ls --names 2>/dev/null)\"} }\n"
      "_cacs_checkpoints() {\n"
      "  compadd -- latest ${(f)\"$(${words_all[1]:-cacs} checkpoints ${words[2]} --names 2>/dev/null)\"}\n"
      "}\n"
      "_cacs() {\n"
      "  local -a commands words_all\n"
      "  local state line\n"
      "  words_all=($words)\n"
      "  commands=(\n";
  for (const auto& command : tree.commands) {
    if (command.name.find(' ') != std::string::npos) continue;
    text += "    " + shell_quoted(command.name + ":" + zsh_text(command.summary)) + "\n";
  }
  text += "  )\n  _arguments -C" + zsh_arguments(tree.options, tree) +
          " \\\n        '1:command:->command' '*::argument:->argument'\n"
          "  case $state in\n"
          "    command) _describe command commands ;;\n"
          "    argument)\n"
          "      case ${words[1]} in\n";
  for (const auto& command : tree.commands) {
    if (command.name.find(' ') != std::string::npos) continue;
    text += fmt::format("      {}) {} ;;\n", command.name, zsh_rest(command, tree));
  }
  // Autoloaded from a directory of $fpath the file itself is the function; sourced, it only declares it.
  return text +
         "      esac ;;\n  esac\n}\n"
         "if [[ $funcstack[1] == _cacs ]]; then _cacs \"$@\"; else compdef _cacs cacs; fi\n";
}

std::string fish_option(const std::string& condition, const TreeOption& option, const CommandTree& tree) {
  if (option.flags.empty() && option.name.empty()) return {};
  std::string line = "complete -c cacs" + (condition.empty() ? "" : " -n " + shell_quoted(condition));
  for (const auto& flag : option.flags) {
    line += flag.starts_with("--") ? " -l " + flag.substr(2) : " -s " + flag.substr(1);
  }
  const bool takes = option.flags.empty() || !option.value.empty();
  const Completer completer = completer_of(option);
  if (takes && completer == Completer::kChoices) line += " -x -a " + shell_quoted(joined(option.choices, " "));
  if (takes && completer == Completer::kCommands) line += " -x -a " + shell_quoted(joined(command_names(tree), " "));
  if (takes && completer == Completer::kApplications) line += " -f -a '(cacs ls --names 2>/dev/null)'";
  if (takes && completer == Completer::kCheckpoints) line += " -f -a '(__cacs_checkpoints)'";
  if (takes && completer == Completer::kDirectories) line += " -x -a '(__fish_complete_directories)'";
  if (takes && (completer == Completer::kFiles || completer == Completer::kProgram)) line += " -r -F";
  if (takes && completer == Completer::kNothing) line += option.flags.empty() ? " -f" : " -x";
  return line + " -d " + shell_quoted(option.help) + "\n";
}

std::string render_fish(const CommandTree& tree) {
  std::string text =
      "# fish completion for cacs; made by `cacs completion fish`.\n"
      "function __cacs_checkpoints\n"
      "    set -l words (commandline -opc)\n"
      "    echo latest\n"
      "    test (count $words) -ge 3; and cacs checkpoints $words[3] --names 2>/dev/null\n"
      "end\n"
      "complete -c cacs -f\n";
  for (const auto& option : tree.options) text += fish_option("", option, tree);
  for (const auto& command : tree.commands) {
    std::vector<std::string> seen;
    for (const auto& each : split(command.name, ' ')) seen.push_back("__fish_seen_subcommand_from " + each);
    const std::string condition = joined(seen, "; and ");
    seen.pop_back();
    const std::string when = seen.empty() ? "__fish_use_subcommand" : shell_quoted(joined(seen, "; and "));
    text += fmt::format("complete -c cacs -n {} -a {} -d {}\n", when, command.name.substr(command.name.rfind(' ') + 1),
                        shell_quoted(command.summary));
    for (const auto& option : command.options) text += fish_option(condition, option, tree);
  }
  return text;
}

}  // namespace

std::string render_completion(const CommandTree& tree, const std::string& shell) {
  if (shell == "bash") return render_bash(tree);
  if (shell == "zsh") return render_zsh(tree);
  if (shell == "fish") return render_fish(tree);
  return {};
}

}  // namespace cacs::cli
