// The commands against a configured server, over a unix socket and over TCP with its token.

#include "base/io.h"
#include "base/text.h"
#include "base/uuid.h"
#include "e2e/cli.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

const std::string kTicks = R"({"name": "ticks", "env": {"COLOUR": "green"},
  "command": ["sh", "-c", "echo complaint >&2; i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done"]})";

class CommandTest : public ServiceTest, public testing::WithParamInterface<bool> {
 protected:
  CommandTest() { more_addresses_ = {"http://127.0.0.1:0"}; }

  void SetUp() override {
    ServiceTest::SetUp();
    if (dir_.empty() || HasFatalFailure()) return;
    const auto home = dir_ / "home";
    ASSERT_TRUE(make_directories(home).ok());
    user_.emplace(home);
    const bool tcp = GetParam();
    user_->set("CACS_SERVER", tcp ? tcp_address() : "unix:" + (dir_ / "api.sock").string());
    if (tcp) user_->set("CACS_TOKEN_FILE", dir_ / "state/token");
  }

  /// The port is the kernel's choice: the log tells it.
  std::string tcp_address() {
    const std::string log = read_text_file(dir_ / "server.log").value();
    const std::size_t at = log.find("http://127.0.0.1:");
    EXPECT_NE(at, std::string::npos) << log;
    return std::string(trim(log.substr(at, log.find('\n', at) - at)));
  }

  std::string submit_ticks() {
    EXPECT_TRUE(write_file_durably(dir_ / "ticks.json", kTicks).ok());
    std::string id(trim(user_->must({"submit", "-f", dir_ / "ticks.json"})));
    EXPECT_TRUE(is_uuid(id)) << id;
    EXPECT_TRUE(user_->wait_logs("ticks", "tick 5\n"));
    return id;
  }

  /// What the API itself answers: -o json prints exactly that, and a line end.
  std::string api(const std::string& target) { return request("GET", target)->body + "\n"; }

  /// A command that must fail with this code and say all of these.
  void expect_error(std::vector<std::string> arguments, int code, const std::vector<std::string>& words) {
    const std::string line = [&] {
      std::string text = "cacs";
      for (const auto& argument : arguments) text += " " + argument;
      return text;
    }();
    const Captured ran = user_->run(std::move(arguments));
    EXPECT_EQ(ran.status.value, code) << line << "\n" << ran.err;
    EXPECT_TRUE(ran.err.starts_with("cacs: ")) << line << "\n" << ran.err;
    for (const auto& word : words) EXPECT_NE(ran.err.find(word), std::string::npos) << line << "\n" << ran.err;
  }

  std::optional<CommandLineUser> user_;
};

TEST_P(CommandTest, AnApplicationsWholeLife) {
  const std::string id = submit_ticks();
  const std::string application = "/coordinators/" + id;
  EXPECT_NE(user_->must({"ls"}).find(" ticks  RUNNING  local "), std::string::npos);
  EXPECT_EQ(json_find_array(user_->json({"ls", "--state", "COMPLETED"}), "items")->size(), 0U);
  const std::string shown = user_->must({"show", id.substr(0, 13)});
  EXPECT_NE(shown.find("state:            RUNNING\n"), std::string::npos) << shown;
  EXPECT_NE(shown.find("pod-0  local-0  RUNNING"), std::string::npos) << shown;
  EXPECT_EQ(user_->must({"explain", "ticks"}), "It can be saved.\n");
  const Captured logs = user_->run({"logs", "ticks"});
  EXPECT_TRUE(logs.out.starts_with("tick 1\ntick 2\n")) << logs.out;
  EXPECT_EQ(logs.err, "complaint\n");
  EXPECT_EQ(user_->must({"logs", "ticks", "--stream", "stderr"}), "complaint\n");

  const Captured exec = user_->run({"exec", "ticks", "--env", "MORE=1", "--workdir", "/tmp", "--", "sh", "-c",
                                    "echo $COLOUR $MORE $PWD; echo bad >&2; exit 3"});
  EXPECT_EQ(exec.status.value, 3);
  EXPECT_EQ(exec.out, "green 1 /tmp\n");
  EXPECT_EQ(exec.err, "bad\n");
  EXPECT_EQ(user_->run({"exec", "ticks", "--", "sh", "-c", "kill -9 $$"}).status.value, 137);
  std::string bytes = "not text: ";
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(user_->run({"exec", "ticks", "-i", "--", "cat"}, std::chrono::seconds(30), bytes).out, bytes);
  EXPECT_EQ(user_->run({"exec", "ticks", "--", "cat"}, std::chrono::seconds(30), bytes).out, "");
  EXPECT_EQ(user_->must({"exec", "ticks", "--", "ls", "/.cacs/exec"}).find(".in"), std::string::npos);

  EXPECT_TRUE(user_->must({"checkpoint", "ticks", "--wait"}).starts_with("committed checkpoint "));
  ASSERT_TRUE(user_->wait_logs("ticks", "tick 40\n"));
  static_cast<void>(user_->must({"checkpoint", "ticks", "--wait"}));
  const auto both = checkpoints(id);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(user_->must({"checkpoints", "ticks", "-o", "json"}), api(application + "/checkpoints"));
  const std::string table = user_->must({"checkpoints", "ticks"});
  EXPECT_EQ(split(trim(table), '\n').size(), 3U) << table;

  const auto oldest = std::min_element(both.begin(), both.end(), [](const JsonObject& a, const JsonObject& b) {
    return json_string_or(a, "created_at", "") < json_string_or(b, "created_at", "");
  });
  const std::string first = json_string_or(*oldest, "id", "");
  EXPECT_EQ(user_->must({"restart", "ticks", first, "--wait"}), "restarted from checkpoint " + first + "\n");
  const JsonObject view = user_->json({"show", "ticks"});
  EXPECT_EQ(json_string_or(view, "restored_from", ""), first);
  EXPECT_EQ(json_int_or(view, "incarnation", 0), 2);
  static_cast<void>(user_->must({"restart", "ticks", "--wait"}));
  EXPECT_NE(json_string_or(user_->json({"show", "ticks"}), "restored_from", first), first);

  static_cast<void>(user_->must({"delete", "ticks", first, "--wait"}));
  EXPECT_EQ(checkpoints(id).size(), 1U);
  EXPECT_EQ(user_->must({"delete", "ticks", "--wait"}), "deleted the application\n");
  EXPECT_EQ(request("GET", application)->status, 404);
  EXPECT_EQ(user_->must({"ls", "-o", "json"}), api("/coordinators"));
}

TEST_P(CommandTest, VersionIsTheServersToo) {
  const std::string text = user_->must({"version"});
  EXPECT_EQ(text, "cacs " CACS_VERSION "\nserver  " CACS_VERSION "\n");
  const JsonObject document = user_->json({"version"});
  EXPECT_EQ(boost::json::serialize(*json_find_object(document, "server")) + "\n", api("/version"));
}

TEST_P(CommandTest, WhatIsAskedForWronglyIsNamed) {
  const auto asr = [&](const std::string& text) {
    EXPECT_TRUE(write_file_durably(dir_ / "bad.json", text).ok());
    return std::vector<std::string>{"submit", "-f", dir_ / "bad.json"};
  };
  expect_error(asr(R"({"comand": ["true"]})"), 2, {"comand", "command"});
  expect_error(asr(R"({"command": ["true"], "checkpoint": {"intervall": "1m"}})"), 2, {"intervall", "interval"});
  expect_error(asr(R"({"command": ["true"], "resources": {"memory": "lots"}})"), 2, {"resources.memory", "2GiB"});
  expect_error(asr(R"({"command": "true"})"), 2, {"command"});
  expect_error(asr("{"), 2, {"bad.json"});
  expect_error({"submit", "-f", dir_ / "none.json"}, 3, {"none.json"});
  expect_error({"show", new_uuid()}, 3, {"hint: "});
  expect_error({"show", "tics"}, 3, {"there is no application 'tics'", "`cacs ls` lists them"});
  expect_error({"shwo", "x"}, 2, {"there is no command 'shwo'", "did you mean 'show'?"});
  expect_error({"ls", "--stat", "RUNNING"}, 2, {"--stat", "did you mean --state?"});
  expect_error({"checkpoint"}, 2, {"APP", "`cacs checkpoint --help` explains it"});
  // What only the node can know: the program that runs says it, and `run` hands it on.
  expect_error({"run", "--", "no-such-program-here"}, 1, {"no-such-program-here"});
  expect_error({"run", "--workdir", "/no/such/dir", "--", "true"}, 1, {"/no/such/dir"});
  EXPECT_EQ(user_->state_of("true"), "ERROR");
}

TEST_P(CommandTest, WhatCannotBeDoneNowIsAConflict) {
  const std::string id = submit_ticks();
  expect_error({"show", "tick"}, 3, {"did you mean 'ticks'?"});
  expect_error({"restart", "ticks"}, 3, {"no checkpoint", "hint: "});
  expect_error({"restart", "ticks", new_uuid()}, 3, {"checkpoint"});
  static_cast<void>(user_->must({"checkpoint", "ticks", "--wait"}));
  // Two restarts at once: one goes on, the other is told.
  auto one = spawn(user_->command({"restart", "ticks", "--wait"}));
  ASSERT_TRUE(one.ok());
  Captured other;
  ASSERT_TRUE(wait_for([&] {
    other = user_->run({"restart", "ticks", "-q"});
    return !other.status.success();
  }));
  EXPECT_EQ(other.status.value, 4);
  // Its checkpoint is being read, or it restarts already: in both cases it says what to do.
  EXPECT_NE(other.err.find("hint: wait until this has ended, then ask again"), std::string::npos) << other.err;
  EXPECT_TRUE(one->wait(std::chrono::seconds(60)).ok());
  EXPECT_TRUE(user_->wait_state("ticks", "RUNNING"));
}

INSTANTIATE_TEST_SUITE_P(Transports, CommandTest, testing::Bool(),
                         [](const auto& chosen) { return std::string(chosen.param ? "Tcp" : "Unix"); });

using TokenTest = CommandTest;

TEST_P(TokenTest, AWrongTokenOrServerIsToldApart) {
  user_->set("CACS_TOKEN_FILE", dir_ / "none");
  expect_error({"ls"}, 3, {"read the token", "CACS_TOKEN_FILE"});
  ASSERT_TRUE(write_file_durably(dir_ / "wrong", std::string(64, '0') + "\n", 0600).ok());
  user_->set("CACS_TOKEN_FILE", dir_ / "wrong");
  expect_error({"ls"}, 6, {"token"});
  user_->set("CACS_SERVER", "unix:" + (dir_ / "nobody.sock").string());
  expect_error({"ls"}, 5, {"nobody.sock: No such file or directory", "CACS_SERVER"});
  expect_error({"run", "--", "true"}, 5, {"nobody.sock"});
  user_->set("CACS_SERVER", "tcp://x");
  expect_error({"ls"}, 2, {"'tcp://x' is no server address", "http://host:port or unix:/path"});
}

INSTANTIATE_TEST_SUITE_P(Tcp, TokenTest, testing::Values(true));

}  // namespace
}  // namespace cacs::e2e
