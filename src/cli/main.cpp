#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/app.h"

int main(int argc, char** argv) {
  // A reader that went away is an error of write(2), not a death: `cacs logs | head` ends in order.
  std::signal(SIGPIPE, SIG_IGN);
  std::error_code ignored;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const cacs::cli::Roles roles;
  cacs::cli::CommandLine line;
  return line.run(std::vector<std::string>(argv + 1, argv + argc), roles, program);
}
