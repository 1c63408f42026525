#include <gtest/gtest.h>

#include "cli/test_server.h"
#include "cli/test_terminal.h"

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
