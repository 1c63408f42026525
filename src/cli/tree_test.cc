#include "cli/tree.h"

#include <CLI/CLI.hpp>
#include <gtest/gtest.h>

#include "base/io.h"
#include "base/process.h"
#include "cli/app.h"

namespace cacs::cli {
namespace {

/// Every flag of every command and every command's name must be in the script.
void expect_complete(const std::string& script, const CommandTree& tree, const std::string& shell) {
  const auto expect_flags = [&](const std::vector<TreeOption>& options) {
    for (const auto& option : options) {
      for (const auto& flag : option.flags) {
        const bool is_long = flag.starts_with("--");
        const std::string fish = is_long ? " -l " + flag.substr(2) : " -s " + flag.substr(1);
        EXPECT_NE(script.find(shell == "fish" ? fish : flag), std::string::npos) << shell << " lacks " << flag;
      }
    }
  };
  expect_flags(tree.options);
  for (const auto& command : tree.commands) {
    EXPECT_NE(script.find(command.name), std::string::npos) << shell << " lacks " << command.name;
    expect_flags(command.options);
  }
}

TEST(Completion, EveryCommandAndFlagIsInEveryScript) {
  const CommandLine line;
  const CommandTree tree = read_tree(line.app());
  ASSERT_EQ(tree.commands.size(), all_commands().size());
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = render_completion(tree, shell);
    expect_complete(script, tree, shell);
    EXPECT_NE(script.find("ls --names"), std::string::npos);
  }
  EXPECT_EQ(render_completion(tree, "tcsh"), "");
}

/// What bash itself offers for a command line, with the script sourced and `cacs` a function of canned names.
std::string offered_by(const std::string& completion, const std::string& words, int index) {
  const std::string script = completion +
                             "\ncacs() { case \"$1\" in ls) echo 'lj-melt 0193a4f2' ;; checkpoints) echo \"of-$2\" ;; "
                             "esac; }\nCOMP_WORDS=(" +
                             words + ")\nCOMP_CWORD=" + std::to_string(index) +
                             "\n_cacs\nprintf '%s ' \"${COMPREPLY[@]}\"\n";
  const auto ran = run_command({.argv = {"bash", "--norc", "-u", "-c", script}});
  EXPECT_TRUE(ran.ok());
  if (!ran.ok()) return {};
  EXPECT_EQ(ran->err, "");
  EXPECT_TRUE(ran->status.success());
  return ran->out;
}

std::string complete_in_bash(const std::string& words, int index) {
  const CommandLine line;
  return offered_by(render_completion(read_tree(line.app()), "bash"), words, index);
}

TEST(Completion, BashOffersWhatFits) {
  EXPECT_EQ(complete_in_bash("cacs expl", 1), "explain ");
  EXPECT_EQ(complete_in_bash("cacs checkpoint", 1), "checkpoints checkpoint ");
  EXPECT_EQ(complete_in_bash("cacs show lj", 2), "lj-melt ");
  EXPECT_EQ(complete_in_bash("cacs restart lj-melt ''", 3), "latest of-lj-melt ");
  EXPECT_EQ(complete_in_bash("cacs -o json restart lj-melt of", 5), "of-lj-melt ");
  EXPECT_EQ(complete_in_bash("cacs logs --fol", 2), "--follow ");
  EXPECT_EQ(complete_in_bash("cacs logs --stream std", 3), "stdout stderr ");
  EXPECT_EQ(complete_in_bash("cacs -o ''", 2), "table json ");
  EXPECT_EQ(complete_in_bash("cacs completion f", 2), "fish ");
  EXPECT_EQ(complete_in_bash("cacs help vers", 2), "version ");
  EXPECT_EQ(complete_in_bash("cacs run -- prin", 3).find("explain"), std::string::npos);
  EXPECT_NE(complete_in_bash("cacs run -- prin", 3).find("printf"), std::string::npos);
}

std::vector<CommandSpec> nested(std::string* ran) {
  auto note = [ran](std::string what) {
    return [ran, what = std::move(what)](Context&) -> Result<int> {
      *ran = what;
      return 0;
    };
  };
  auto word = std::make_shared<std::string>();
  return {
      {.name = "store", .group = "Act", .summary = "stores", .example = "cacs store open x", .setup = {}, .run = {}},
      {.name = "store open",
       .group = "",
       .summary = "open one",
       .example = "cacs store open x",
       .setup =
           [word](CLI::App& app) {
             app.add_option("WHAT", *word, "which");
             app.add_option("--colour", *word, "how")->check(CLI::IsMember({"red", "green"}));
           },
       .run = note("store open")},
      {.name = "store deep",
       .group = "",
       .summary = "go down",
       .example = "cacs store deep er",
       .setup = {},
       .run = {}},
      {.name = "store deep er",
       .group = "",
       .summary = "go further",
       .example = "cacs store deep er",
       .setup = [word](CLI::App& app) { app.add_option("--far", *word, "how far"); },
       .run = note("store deep er")},
      {.name = "checkpoint diff",
       .group = "",
       .summary = "compare two",
       .example = "cacs checkpoint diff a b",
       .setup = [word](CLI::App& app) { app.add_option("CHECKPOINT", *word, "which")->required(); },
       .run = [word, note](Context& context) { return note("checkpoint diff " + *word)(context); }}};
}

/// What was run, or the exit code of what was refused.
std::string run_nested(const std::vector<std::string>& arguments) {
  std::string ran;
  CommandLine line(nested(&ran));
  const int code = line.run(arguments, {}, {});
  return ran.empty() ? "exit " + std::to_string(code) : ran;
}

TEST(Nesting, TheSecondWordChoosesTheCommand) {
  EXPECT_EQ(run_nested({"store", "open"}), "store open");
  EXPECT_EQ(run_nested({"-q", "store", "open", "diff", "--utc"}), "store open");
  EXPECT_EQ(run_nested({"checkpoint", "diff", "a"}), "checkpoint diff a");
  EXPECT_EQ(run_nested({"checkpoint", "diff", "diff"}), "checkpoint diff diff");
  EXPECT_EQ(run_nested({"store", "deep", "er", "--far", "1", "-q"}), "store deep er");
  EXPECT_EQ(run_nested({"store", "open", "--help"}), "exit 0");
  EXPECT_EQ(run_nested({"help", "store", "open"}), "exit 0");
}

TEST(Nesting, WhatIsNotThereOrBelongsToTheParentIsRefused) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"store"},
                                             {"store", "opn"},
                                             {"store", "deep"},
                                             {"store", "deep", "es"},
                                             {"store", "--colour", "red", "open"},
                                             {"open"},
                                             {"help", "store", "opn"},
                                             {"checkpoint"},
                                             {"checkpoint", "diff"},
                                             {"checkpoint", "diff", "a", "b"},
                                             {"checkpoint", "--wait", "diff", "a"},
                                             {"checkpoint", "diff", "a", "--wait"},
                                             {"checkpoint", "melt", "diff", "a"}}) {
    EXPECT_EQ(run_nested(arguments), "exit 2") << ::testing::PrintToString(arguments);
  }
  // An application's name is none of a subcommand: it is looked for, at a server that is not there.
  EXPECT_EQ(run_nested({"checkpoint", "melt", "--server", "unix:/nonexistent/cacs.sock"}), "exit 5");
}

TEST(Nesting, HelpAndCompletionKnowBothWords) {
  std::string ran;
  const CommandLine line(nested(&ran));
  const CommandTree tree = read_tree(line.app());
  EXPECT_NE(render_markdown(tree).find("## cacs store open\n\nopen one.\n\n```\ncacs store open [OPTIONS] [WHAT]"),
            std::string::npos);
  EXPECT_NE(render_markdown(tree).find("```\ncacs store {open|deep}\n```"), std::string::npos);
  EXPECT_EQ(line.app().help().find("open one"), std::string::npos);
  const std::string bash = render_completion(tree, "bash");
  EXPECT_EQ(offered_by(bash, "cacs sto", 1), "store ");
  EXPECT_EQ(offered_by(bash, "cacs store ''", 2), "open deep ");
  EXPECT_EQ(offered_by(bash, "cacs -o json store open --col", 5), "--colour ");
  EXPECT_EQ(offered_by(bash, "cacs store open --colour gr", 4), "green ");
  EXPECT_EQ(offered_by(bash, "cacs store deep ''", 3), "er ");
  EXPECT_EQ(offered_by(bash, "cacs store deep er --fa", 4), "--far ");
  EXPECT_EQ(offered_by(bash, "cacs checkpoint ''", 2), "lj-melt 0193a4f2 diff ");
  EXPECT_EQ(offered_by(bash, "cacs checkpoint lj-melt --wa", 3), "--wait ");
  EXPECT_NE(render_completion(tree, "fish").find("-n '__fish_seen_subcommand_from store' -a deep"), std::string::npos);
  EXPECT_NE(render_completion(tree, "zsh").find("compadd -- open deep"), std::string::npos);
}

/// CACS_UPDATE_GOLDEN=1 writes the files instead; then look at the difference before committing it.
void expect_golden(const std::string& relative, const std::string& text) {
  const std::filesystem::path path = std::filesystem::path(CACS_SOURCE_DIR) / relative;
  if (::getenv("CACS_UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(write_file_durably(path, text, 0644).ok());
    return;
  }
  const auto golden = read_text_file(path);
  ASSERT_TRUE(golden.ok()) << golden.error().to_string();
  EXPECT_EQ(*golden, text) << "run this test with CACS_UPDATE_GOLDEN=1 if the change is meant";
}

TEST(Help, Golden) {
  const CommandLine line;
  expect_golden("src/cli/testdata/help-run.txt", line.app().get_subcommand("run")->help("cacs"));
}

TEST(Help, EveryCommandHasAnExampleOfItself) {
  const CommandLine line;
  for (const auto& command : all_commands()) {
    EXPECT_TRUE(command.example.starts_with("cacs " + command.name)) << command.name;
    EXPECT_NE(line.app().get_subcommand(command.name)->help().find(command.example), std::string::npos) << command.name;
    EXPECT_FALSE(command.summary.empty() || command.summary.ends_with('.')) << command.name;
  }
}

}  // namespace
}  // namespace cacs::cli
