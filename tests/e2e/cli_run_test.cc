// `cacs run` with no server configured: what a laptop's user does, on a real terminal, with the real server and engine.

#include <sys/mount.h>

#include <csignal>
#include <set>

#include "base/text.h"
#include "cli/test_terminal.h"
#include "e2e/cli.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

using cli::OnTerminal;
using namespace std::chrono_literals;

std::vector<std::string> run_of(std::vector<std::string> options, const std::string& script) {
  options.insert(options.begin(), "run");
  options.insert(options.end(), {"--", "sh", "-c", script});
  return options;
}

const std::string kCounter = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done";

class RunTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    std::string pattern = "/tmp/cacs-run-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    // As long as a state directory gets: no socket's path below it fits into an address.
    const auto home = dir_ / "home/somebody-with-a-long-name";
    ASSERT_TRUE(make_directories(home).ok());
    user_.emplace(home);
  }

  void TearDown() override {
    if (!user_) return;
    if (std::filesystem::exists(state())) delete_everything();
    EXPECT_TRUE(remove_tree(dir_).ok());
  }

  void delete_everything() const {
    const JsonObject list = user_->json({"ls"});
    const JsonArray* items = json_find_array(list, "items");
    for (std::size_t i = 0; items != nullptr && i < items->size(); ++i) {
      static_cast<void>(user_->must({"delete", json_string_or((*items)[i].as_object(), "id", ""), "--wait"}));
    }
    expect_server_ends();
    if (HasFailure()) {
      for (const char* log : {"server.log", "nodes/local-0/agent.log"}) {
        if (const auto text = read_text_file(state() / log)) std::printf("--- %s\n%s\n", log, text->c_str());
      }
    }
    ::umount2((state() / "nodes/local-0/delta").c_str(), MNT_DETACH);
  }

  [[nodiscard]] std::filesystem::path state() const { return user_->home() / ".local/state/cacs"; }

  /// It ends by itself a few seconds after its last application, with its agent, and nothing is left.
  void expect_server_ends() const {
    EXPECT_TRUE(wait_for([&] { return processes_below(dir_).empty(); })) << "the server does not end by itself";
    expect_nothing_left(dir_);
  }

  std::filesystem::path dir_;
  std::optional<CommandLineUser> user_;
};

TEST_F(RunTest, TheProgramsOutputAndExitCodeAreThoseOfRun) {
  const Captured ran = user_->run(run_of({}, "echo hello; pwd; exit 7"));
  EXPECT_EQ(ran.status.value, 7);
  EXPECT_EQ(ran.out, "hello\n" + user_->home().string() + "\n");
  EXPECT_NE(ran.err.find("cacs: sh ended with exit 7\n"), std::string::npos) << ran.err;
  EXPECT_EQ(user_->run(run_of({}, "kill -TERM $$; sleep 9")).status.value, 128 + SIGTERM);
  EXPECT_TRUE(std::filesystem::exists(state() / "server.log"));
  expect_server_ends();
  // What it did is there to be looked at afterwards.
  const JsonObject list = user_->json({"ls"});
  ASSERT_EQ(json_find_array(list, "items")->size(), 2U);
  std::set<std::string> outputs;
  for (const auto& item : *json_find_array(list, "items")) {
    outputs.insert(user_->must({"logs", json_string_or(item.as_object(), "id", "")}));
  }
  EXPECT_TRUE(outputs.contains(ran.out));
}

TEST_F(RunTest, OutputIsSeenWhileTheProgramRuns) {
  OnTerminal terminal(user_->command(run_of({}, "echo first; sleep 2; echo second")), 80);
  ASSERT_TRUE(terminal.read_until("first\r\n")) << terminal.text();
  EXPECT_EQ(terminal.text().find("second"), std::string::npos);
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_NE(terminal.text().find("second\r\n"), std::string::npos) << terminal.text();
}

TEST_F(RunTest, CtrlCDetachesAndTheServerStaysAsLongAsTheApplication) {
  OnTerminal terminal(user_->command(run_of({"--name", "ten"}, "for i in $(seq 100); do echo $i; sleep 0.1; done")),
                      80);
  ASSERT_TRUE(terminal.read_until("\n3\r\n")) << terminal.text();
  terminal.type("\x03");
  ASSERT_TRUE(terminal.read_until("detached; ten runs on"));
  EXPECT_EQ(terminal.exit_code(), 76);
  EXPECT_EQ(user_->state_of("ten"), "RUNNING");
  // Nobody asks it for anything now: it stays, because its application runs.
  EXPECT_TRUE(wait_for([&] { return processes_below(dir_).empty(); }));
  expect_nothing_left(dir_);
  EXPECT_EQ(user_->state_of("ten"), "COMPLETED");
  EXPECT_TRUE(user_->must({"logs", "ten"}).ends_with("99\n100\n"));
}

TEST_F(RunTest, ASecondCtrlCAsksWhetherToDelete) {
  for (const bool yes : {false, true}) {
    OnTerminal terminal(user_->command(run_of({"--name", yes ? "gone" : "kept"}, kCounter)), 80);
    ASSERT_TRUE(terminal.read_until("line 3\r\n")) << terminal.text();
    terminal.type("\x03");
    ASSERT_TRUE(terminal.read_until("asks whether to delete it"));
    terminal.type("\x03");
    ASSERT_TRUE(terminal.read_until("[y/N] "));
    terminal.type(yes ? "y\n" : "\n");
    EXPECT_EQ(terminal.exit_code(), 76);
    EXPECT_NE(terminal.text().find(yes ? "deleted gone" : "kept; `cacs delete"), std::string::npos) << terminal.text();
  }
  EXPECT_EQ(user_->state_of("kept"), "RUNNING");
  EXPECT_EQ(user_->run({"show", "gone"}).status.value, 3);
}

TEST_F(RunTest, SigtermSavesAndLeaves) {
  for (const bool at_once : {true, false}) {
    const std::string name = at_once ? "early" : "later";
    OnTerminal terminal(user_->command(run_of({"--name", name}, kCounter)), 80);
    // Even one that comes while the application is only being made.
    ASSERT_TRUE(terminal.read_until(at_once ? "Ctrl-C detaches" : "line 5\r\n")) << terminal.text();
    ASSERT_EQ(::kill(terminal.pid(), SIGTERM), 0);
    EXPECT_EQ(terminal.exit_code(), 75) << terminal.text();
    EXPECT_NE(terminal.text().find("is committed"), std::string::npos) << terminal.text();
    const JsonObject list = user_->json({"checkpoints", name});
    ASSERT_EQ(json_find_array(list, "items")->size(), 1U);
    EXPECT_EQ(json_string_or(json_find_array(list, "items")->at(0).as_object(), "state", ""), "AVAILABLE");
    EXPECT_EQ(user_->state_of(name), "RUNNING");
  }
}

// What a batch system does: SIGTERM, and a little later SIGKILL for all that is left of the job.
TEST_F(RunTest, ABatchJobGoesOnInTheNext) {
  OnTerminal terminal(
      user_->command(run_of({"--name", "job"}, "for i in $(seq 60); do echo $i; sleep 0.1; done; echo done")), 80);
  ASSERT_TRUE(terminal.read_until("\n20\r\n")) << terminal.text();
  ASSERT_EQ(::kill(terminal.pid(), SIGTERM), 0);
  ASSERT_EQ(terminal.exit_code(), 75) << terminal.text();
  const std::string mark = "CACS_APPLICATION=" + json_string_or(user_->json({"show", "job"}), "id", "");
  for (const pid_t pid : processes_below(dir_)) ::kill(pid, SIGKILL);
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto environment = read_text_file(entry.path() / "environ", 65536);
    if (!environment || environment->find(mark) == std::string::npos) continue;
    ::kill(static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10)), SIGKILL);
  }
  ASSERT_TRUE(user_->wait_state("job", "COMPLETED")) << user_->must({"show", "job"});
  const JsonObject view = user_->json({"show", "job"});
  EXPECT_EQ(json_int_or(view, "incarnation", 0), 2);
  std::string expected;
  for (int i = 1; i <= 60; ++i) expected += std::to_string(i) + "\n";
  EXPECT_EQ(user_->must({"logs", "job"}), expected + "done\n");
}

TEST_F(RunTest, ATimeLimitIsReachedWithACheckpoint) {
  OnTerminal terminal(user_->command(run_of({"--name", "limited", "--time-limit", "6s"}, kCounter)), 80);
  EXPECT_EQ(terminal.exit_code(), 75) << terminal.text();
  EXPECT_NE(terminal.text().find("limited was ended (time limit); checkpoint "), std::string::npos) << terminal.text();
  const JsonObject view = user_->json({"show", "limited"});
  EXPECT_EQ(json_string_or(view, "state", ""), "SUSPENDED");
  // Half of so short a limit is there to work in.
  EXPECT_NE(terminal.text().find("line 20\r\n"), std::string::npos) << terminal.text();
  EXPECT_EQ(terminal.text().find("line 60\r\n"), std::string::npos) << user_->must({"checkpoints", "limited"});
  // It goes on where it was saved, with the whole time again.
  static_cast<void>(user_->must({"restart", "limited", "--wait"}));
  EXPECT_TRUE(user_->wait_state("limited", "SUSPENDED"));
  EXPECT_EQ(json_find_array(user_->json({"checkpoints", "limited"}), "items")->size(), 2U);
}

TEST_F(RunTest, WithoutRightsItSaysWhatIsLacking) {
  user_->set("XDG_CONFIG_HOME", "/nowhere");
  Command command = user_->command({"run", "--state", "/tmp/cacs-nowhere-to-be-made", "--", "true"});
  command.argv.insert(command.argv.begin(), {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"});
  command.cwd = "/";
  const auto ran = run_command(command);
  ASSERT_TRUE(ran.ok());
  EXPECT_EQ(ran->status.value, 6);
  EXPECT_NE(ran->err.find("lacking: root (this is user 65534), CAP_CHOWN, "), std::string::npos) << ran->err;
  EXPECT_NE(ran->err.find("CAP_SYS_ADMIN"), std::string::npos) << ran->err;
  EXPECT_NE(ran->err.find("hint: run it as root (sudo cacs run ...)"), std::string::npos) << ran->err;
  EXPECT_FALSE(std::filesystem::exists("/tmp/cacs-nowhere-to-be-made"));
  command.argv[1] = "--bounding-set=-mknod";
  command.argv.erase(command.argv.begin() + 2, command.argv.begin() + 4);
  const auto contained = run_command(command);
  ASSERT_TRUE(contained.ok());
  EXPECT_NE(contained->err.find("lacking: CAP_MKNOD\n"), std::string::npos) << contained->err;
}

}  // namespace
}  // namespace cacs::e2e
