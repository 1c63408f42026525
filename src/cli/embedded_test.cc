#include "cli/embedded.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "cli/privileges.h"
#include "cli/test_server.h"

namespace cacs::cli {
namespace {

class EmbeddedTest : public ::testing::Test {
 protected:
  void TearDown() override {
    const auto pid = read_text_file(state() / "pid", 32);
    if (pid) ::kill(std::stoi(*pid), SIGTERM);
  }
  [[nodiscard]] std::filesystem::path state() const { return dir_.path() / "state"; }
  Captured run(std::vector<std::string> arguments) {
    Command command;
    command.argv = {CACS_FIXTURE};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.env = std::vector<std::string>{"PATH=/usr/bin:/bin", "HOME=" + dir_.path().string(),
                                           "CACS_STATE=" + state().string()};
    auto ran = run_command(command, std::chrono::seconds(30));
    EXPECT_TRUE(ran.ok());
    return ran ? *std::move(ran) : Captured{};
  }
  ScratchDir dir_;
};

TEST_F(EmbeddedTest, StartsOneServerAndFindsItAgain) {
  SpawnedServer server(CACS_FIXTURE);
  const auto first = server.ensure_running(state());
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  EXPECT_EQ(first->address, "unix:" + (state() / "server.sock").string());
  EXPECT_EQ(first->token, "secret");
  const std::string pid = read_text_file(state() / "pid").value();
  EXPECT_TRUE(server.ensure_running(state()).ok());
  EXPECT_EQ(read_text_file(state() / "pid").value(), pid);
  // In a session of its own: it does not end with this terminal.
  EXPECT_EQ(::getsid(std::stoi(pid)), std::stoi(pid));
}

TEST_F(EmbeddedTest, AServerThatFailsIsToldWithItsLastWords) {
  ASSERT_TRUE(make_directories(state()).ok());
  ASSERT_TRUE(write_file_durably(state() / "fail", "").ok());
  const auto started = SpawnedServer(CACS_FIXTURE).ensure_running(state());
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().message,
            "start an embedded server: it ended with exit code 3 before it was ready; it said: the database is broken");
  EXPECT_NE(started.error().hint.find("server.log"), std::string::npos);
}

TEST_F(EmbeddedTest, AServerThatNeverGetsReadyIsKilled) {
  const auto program = dir_.path() / "never-ready";
  ASSERT_TRUE(
      write_file_durably(program, "#!/bin/sh\necho $$ > '" + dir_.path().string() + "/pid'\nexec sleep 60\n", 0755)
          .ok());
  const auto started = SpawnedServer(program, std::chrono::milliseconds(1000)).ensure_running(state());
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().message.find("not ready after 1s"), std::string::npos) << started.error().message;
  EXPECT_EQ(::kill(std::stoi(read_text_file(dir_.path() / "pid").value()), 0), -1);
}

TEST_F(EmbeddedTest, AMissingProgramAndALongPathAreErrors) {
  EXPECT_FALSE(SpawnedServer(dir_.path() / "none").ensure_running(state()).ok());
  const auto deep = dir_.path() / std::string(120, 'd');
  const auto started = SpawnedServer(CACS_FIXTURE).ensure_running(deep);
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().hint.find("--state"), std::string::npos);
}

TEST_F(EmbeddedTest, RunStartsItAndEndsWithTheApplicationsExitCode) {
  if (!check_privileges(read_privileges().value()).ok()) {
    const Captured refused = run({"run", "--", "prog"});
    EXPECT_EQ(refused.status.value, 6);
    EXPECT_NE(refused.err.find("lacking: "), std::string::npos);
    return;
  }
  EXPECT_EQ(run({"ls"}).status.value, 5);  // nothing has been started yet, and ls alone starts nothing
  const Captured ran = run({"run", "--", "prog"});
  EXPECT_EQ(ran.status.value, 5) << ran.err;
  EXPECT_NE(ran.err.find("p is application 0193a4f2"), std::string::npos) << ran.err;
  EXPECT_TRUE(run({"ls"}).status.success());
}

TEST_F(EmbeddedTest, CheckPrintsRowsAndSaysWhatToDo) {
  const Captured table = run({"check"});
  EXPECT_EQ(table.out,
            "      CHECK   FOUND\n"
            "ok    engine  criu 4.2\n"
            "FAIL  space   3 MiB\n"
            "\nTo do:\nspace: make room\n");
  EXPECT_EQ(table.status.value, 7);
  EXPECT_EQ(run({"check", "-o", "json"}).out,
            R"({"ok":false,"items":[{"name":"engine","ok":true,"detail":"criu 4.2","advice":""},)"
            R"({"name":"space","ok":false,"detail":"3 MiB","advice":"make room"}]})"
            "\n");
  EXPECT_NE(run({"agent"}).err.find("this build of cacs has no agent"), std::string::npos);
}

}  // namespace
}  // namespace cacs::cli
