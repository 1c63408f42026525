#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/test_server.h"

// What happens on a terminal: progress, colours, Ctrl-C.
namespace cacs::cli {
namespace {

const std::string kAppPath = std::string("/v1/coordinators/") + kApp;
const std::string kOperationPath = std::string("/v1/operations/") + kOperation;

std::string operation(const std::string& state, int mebibytes) {
  return std::string(R"({"id":")") + kOperation + R"(","kind":"checkpoint","checkpoint":")" + kCheckpoint +
         R"(","state":")" + state + R"(","phase":"storing","bytes_done":)" + std::to_string(mebibytes << 20) +
         R"(,"bytes_total":104857600,"problem":null})";
}

/// A program on a terminal of its own. Its destructor kills and reaps it.
class OnTerminal {
 public:
  OnTerminal(const Command& command, unsigned columns) {
    std::vector<std::string> argv_text = command.argv;
    std::vector<std::string> env_text = *command.env;
    std::vector<char*> argv;
    std::vector<char*> env;
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
      ::execve(argv[0], argv.data(), env.data());
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

class PtyTest : public ::testing::Test {
 protected:
  PtyTest() {
    const std::string app = std::string(R"({"id":")") + kApp + R"(","name":"melt","state":"RUNNING"})";
    server_.answer("GET /v1/coordinators", 200, R"({"items":[)" + app + R"(],"next_cursor":null})");
    server_.answer("POST /v1/coordinators", 201, app);
    server_.answer("POST " + kAppPath + "/checkpoints", 202, operation("RUNNING", 0), kOperationPath);
    server_.answer("DELETE " + kAppPath, 202, operation("RUNNING", 0), kOperationPath);
  }
  TestServer server_;
};

TEST_F(PtyTest, ProgressIsDrawnAfterASecondAndFitsTheTerminal) {
  for (const unsigned columns : {20U, 60U, 120U}) {
    server_.answer("GET " + kOperationPath, 200, operation("RUNNING", 50));
    OnTerminal terminal(server_.command({"checkpoint", "melt", "--wait"}), columns);
    ASSERT_TRUE(terminal.read_until("storing  ", 2)) << terminal.text();
    server_.answer("GET " + kOperationPath, 200, operation("SUCCEEDED", 100));
    EXPECT_EQ(terminal.exit_code(), 0);
    EXPECT_NE(terminal.text().find("50%"), std::string::npos);
    EXPECT_EQ(terminal.text().find("50 MiB of 100 MiB") != std::string::npos, columns >= 60) << terminal.text();
    EXPECT_EQ(terminal.text().find("[###") != std::string::npos, columns >= 60) << terminal.text();
    // Every drawing starts at the left, clears the line, and leaves the last column free.
    std::size_t at = 0;
    while ((at = terminal.text().find("\x1b[K", at)) != std::string::npos) {
      at += 3;
      if (terminal.text().compare(at, 9, "committed") == 0) break;
      EXPECT_LT(terminal.text().find_first_of("\r\n", at) - at, columns);
    }
    EXPECT_NE(terminal.text().find("\r\x1b[Kcommitted checkpoint"), std::string::npos) << terminal.text();
  }
}

TEST_F(PtyTest, QuietDrawsNothing) {
  server_.answer("GET " + kOperationPath, 200, operation("RUNNING", 50));
  OnTerminal terminal(server_.command({"-q", "checkpoint", "melt", "--wait"}), 80);
  ASSERT_TRUE(server_.wait_for("GET " + kOperationPath, 10));  // for well over a second
  server_.answer("GET " + kOperationPath, 200, operation("SUCCEEDED", 100));
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_EQ(terminal.text().find('\x1b'), std::string::npos) << terminal.text();
}

TEST_F(PtyTest, ColoursOnlyWithoutNoColor) {
  OnTerminal coloured(server_.command({"ls"}), 80);
  EXPECT_EQ(coloured.exit_code(), 0);
  EXPECT_TRUE(coloured.text().starts_with("\x1b[1mID")) << coloured.text();
  OnTerminal plain(server_.command({"ls"}, {"NO_COLOR=1"}), 80);
  EXPECT_EQ(plain.exit_code(), 0);
  EXPECT_EQ(plain.text().find('\x1b'), std::string::npos);
}

TEST_F(PtyTest, CtrlCDetaches) {
  server_.hold_logs();
  server_.logs({{output_event(0, "aGVsbG8K")}});
  OnTerminal terminal(server_.command({"run", "--", "prog"}), 80);
  ASSERT_TRUE(terminal.read_until("hello"));
  terminal.type("\x03");
  ASSERT_TRUE(terminal.read_until("detached; melt runs on"));
  EXPECT_EQ(terminal.exit_code(), 76);
  for (const auto& request : server_.requests()) EXPECT_FALSE(request.starts_with("DELETE")) << request;
}

TEST_F(PtyTest, ASecondCtrlCAsksAndNoKeeps) {
  server_.hold_logs();
  OnTerminal terminal(server_.command({"run", "--", "prog"}), 80);
  ASSERT_TRUE(server_.wait_for("GET " + kAppPath + "/logs"));
  terminal.type("\x03");
  ASSERT_TRUE(terminal.read_until("asks whether to delete it"));
  terminal.type("\x03");
  ASSERT_TRUE(terminal.read_until("[y/N] "));
  terminal.type("\n");
  EXPECT_EQ(terminal.exit_code(), 76);
  for (const auto& request : server_.requests()) EXPECT_FALSE(request.starts_with("DELETE")) << request;
}

TEST_F(PtyTest, ASecondCtrlCAndYesDeletes) {
  server_.hold_logs();
  server_.answer("GET " + kOperationPath, 200, operation("SUCCEEDED", 100));
  OnTerminal terminal(server_.command({"run", "--", "prog"}), 80);
  ASSERT_TRUE(server_.wait_for("GET " + kAppPath + "/logs"));
  terminal.type("\x03");
  ASSERT_TRUE(terminal.read_until("asks whether to delete it"));
  terminal.type("\x03");
  ASSERT_TRUE(terminal.read_until("[y/N] "));
  terminal.type("y\n");
  ASSERT_TRUE(terminal.read_until("deleted melt"));
  EXPECT_EQ(terminal.exit_code(), 76);
  EXPECT_EQ(server_.last("DELETE").path, kAppPath);
}

}  // namespace
}  // namespace cacs::cli
