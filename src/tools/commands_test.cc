#include "tools/commands.h"

#include <CLI/CLI.hpp>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "base/io.h"
#include "cli/app.h"
#include "cli/tree.h"

// The command line of the program as a whole: those commands and these.
namespace cacs::tools {
namespace {

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

TEST(Help, TheDocumentationIsWhatTheProgramSays) {
  const cli::CommandLine line(commands());
  expect_golden("docs/cli.md", cli::render_markdown(cli::read_tree(line.app())));
}

TEST(Help, Golden) {
  const cli::CommandLine line(commands());
  expect_golden("src/tools/testdata/help.txt", line.app().help());
}

TEST(Help, EveryCommandHasAnExampleOfItself) {
  std::set<std::string> names;
  for (const auto& command : cli::all_commands()) names.insert(command.name);
  for (const auto& command : commands()) {
    EXPECT_TRUE(names.insert(command.name).second) << command.name;
    EXPECT_TRUE(command.example.starts_with("cacs " + command.name)) << command.name;
    EXPECT_FALSE(command.summary.empty() || command.summary.ends_with('.')) << command.name;
    const std::size_t space = command.name.rfind(' ');
    EXPECT_TRUE(space == std::string::npos || names.contains(command.name.substr(0, space)))
        << command.name << " has no parent";
  }
}

}  // namespace
}  // namespace cacs::tools
