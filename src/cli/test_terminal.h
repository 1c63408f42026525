#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/io.h"
#include "base/process.h"

namespace cacs::cli {

/// A program on a terminal of its own. Its destructor kills and reaps it.
class OnTerminal {
 public:
  OnTerminal(const Command& command, unsigned columns) {
    std::vector<std::string> argv_text = command.argv;
    std::vector<std::string> env_text = *command.env;
    std::vector<char*> argv;
    std::vector<char*> env;
    argv.reserve(argv_text.size() + 1);
    env.reserve(env_text.size() + 1);
    for (auto& text : argv_text) argv.push_back(text.data());
    for (auto& text : env_text) env.push_back(text.data());
    argv.push_back(nullptr);
    env.push_back(nullptr);
    winsize size{};
    size.ws_row = 24;
    size.ws_col = static_cast<unsigned short>(columns);
    int master = -1;
    pid_ = ::forkpty(&master, nullptr, nullptr, &size);
    if (pid_ == 0) {
      if (!command.cwd.empty() && ::chdir(command.cwd.c_str()) != 0) ::_exit(126);
      ::execvpe(argv[0], argv.data(), env.data());
      ::_exit(127);
    }
    master_ = UniqueFd(master);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;
  ~OnTerminal() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  /// Reads until `wanted` has been printed `times` times.
  bool read_until(const std::string& wanted, int times = 1) {
    while (count(wanted) < times) {
      if (!read_some()) return false;
    }
    return true;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void type(const std::string& text) { ASSERT_TRUE(write_full(master_.get(), text).ok()); }
  /// Reads to the end and returns the exit code, or -1.
  int exit_code() {
    while (read_some()) {
    }
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  [[nodiscard]] int count(const std::string& wanted) const {
    int found = 0;
    for (std::size_t at = text_.find(wanted); at != std::string::npos; at = text_.find(wanted, at + 1)) ++found;
    return found;
  }
  bool read_some() {
    pollfd waiting{master_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, 20'000) != 1) return false;
    std::array<char, 4096> block{};
    const ssize_t got = ::read(master_.get(), block.data(), block.size());
    if (got <= 0) return false;  // EIO: the other side is closed
    text_.append(block.data(), static_cast<std::size_t>(got));
    return true;
  }

  pid_t pid_ = -1;
  UniqueFd master_;
  std::string text_;
};

}  // namespace cacs::cli
