#include <gtest/gtest.h>

#include "cli/test_server.h"

// Every command, as its own process, against a real HTTP server.
namespace cacs::cli {
namespace {

const std::string kAppPath = std::string("/v1/coordinators/") + kApp;
const std::string kOperationPath = std::string("/v1/operations/") + kOperation;

std::string app_json(const std::string& name = "lj-melt") {
  return std::string(R"({"id":")") + kApp + R"(","name":")" + name +
         R"(","state":"RUNNING","reason":"","cloud":"local","engine":"criu","incarnation":3,"attempts":1,)"
         R"("created_at":"2026-11-20T12:00:00.000Z","started_at":"2026-11-20T12:00:01.000Z","ended_at":null,)"
         R"("pods":[{"pod":"pod-0","node":"local-0","state":"RUNNING","exit":null}],"nodes":["local-0"],)"
         R"("health":"unknown","exit":null,"last_checkpoint":{"id":")" +
         kCheckpoint +
         R"(","created_at":"2026-11-20T12:30:00.000Z","state":"AVAILABLE","levels":["local"]},"checkpoint_count":4,)"
         R"("asr":{"command":["lmp","-in","in.melt"]},"events":[{"id":17,"time":"2026-11-20T12:00:00Z",)"
         R"("kind":"application.state","message":"RUNNING\u001b[2J"}]})";
}

std::string operation_json(const std::string& state, const std::string& more = R"(,"problem":null)") {
  return std::string(R"({"id":")") + kOperation + R"(","kind":"checkpoint","checkpoint":")" + kCheckpoint +
         R"(","state":")" + state + R"(","phase":"storing","bytes_done":1,"bytes_total":2)" + more + "}";
}

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    server_.answer("GET /v1/coordinators", 200, R"({"items":[)" + app_json() + R"(],"next_cursor":null})");
    server_.answer("GET " + kAppPath, 200, app_json());
    server_.answer("GET " + kAppPath + "/checkpoints", 200, checkpoints_);
  }

  const std::string checkpoints_ =
      std::string(R"({"items":[{"id":")") + kCheckpoint +
      R"(","state":"AVAILABLE","reason":"periodic","problem":null,"created_at":"2026-11-20T12:30:00Z",)"
      R"("size_bytes":536870912,"stored_bytes":1048576,"levels":["local","remote"],"timings":{"frozen_ms":120}}],)"
      R"("next_cursor":null})";
  TestServer server_;
};

TEST_F(CommandsTest, LsPrintsATableWithoutEscapes) {
  const Captured ran = server_.run({"ls", "--utc", "--state", "RUNNING"});
  EXPECT_EQ(ran.out,
            "ID        NAME     STATE    CLOUD  CREATED                   LAST CHECKPOINT           CHECKPOINTS\n"
            "0193a4f2  lj-melt  RUNNING  local  2026-11-20T12:00:00.000Z  2026-11-20T12:30:00.000Z  4\n");
  EXPECT_EQ(ran.err, "");
  EXPECT_TRUE(ran.status.success());
  EXPECT_EQ(server_.requests().back(), "GET /v1/coordinators?state=RUNNING");
  EXPECT_NE(server_.run({"ls"}).out.find(" ago"), std::string::npos);
}

TEST_F(CommandsTest, LsFollowsPagesAndJsonIsTheAnswerUnchanged) {
  const std::string first = R"({"items": [{"id":"a1","name":"one"}],   "next_cursor":"a1"})";
  server_.answers("GET /v1/coordinators", {first, first, R"({"items":[{"id":"b2","name":"two"}],"next_cursor":null})"});
  EXPECT_EQ(server_.run({"-o", "json", "ls"}).out, first + "\n");
  EXPECT_EQ(server_.run({"ls", "--names"}).out, "a1\none\nb2\ntwo\n");
  EXPECT_EQ(server_.requests().back(), "GET /v1/coordinators?cursor=a1");
}

TEST_F(CommandsTest, ShowMakesControlBytesVisible) {
  const Captured ran = server_.run({"show", "lj-melt", "--utc"});
  EXPECT_NE(ran.out.find("state:            RUNNING\n"), std::string::npos);
  EXPECT_NE(ran.out.find("command:          lmp -in in.melt\n"), std::string::npos);
  EXPECT_NE(ran.out.find("pod-0  local-0  RUNNING  -\n"), std::string::npos);
  EXPECT_NE(ran.out.find("RUNNING\\x1b[2J"), std::string::npos);
  EXPECT_EQ(ran.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(server_.run({"show", "0193a", "-o", "json"}).out, app_json() + "\n");
}

TEST_F(CommandsTest, ExplainNamesTheObstacles) {
  server_.answer("GET " + kAppPath + "/explain", 200,
                 R"json({"savable":false,"obstacles":[{"kind":"device","process":"x (12)",)json"
                 R"json("what":"/dev/kvm is open","hint":"close it"}],"warnings":[]})json");
  const Captured ran = server_.run({"explain", kApp});
  EXPECT_EQ(ran.out,
            "It cannot be saved:\n  obstacle: device: /dev/kvm is open (process x (12))\n    hint: close it\n");
  EXPECT_EQ(ran.status.value, 1);
}

TEST_F(CommandsTest, CheckpointsAreListed) {
  EXPECT_EQ(server_.run({"checkpoints", "lj-melt", "--utc"}).out,
            "ID        STATE      TAKEN                 REASON    SIZE     STORED  FROZEN  LEVELS         PROBLEM\n"
            "0193a4f2  AVAILABLE  2026-11-20T12:30:00Z  periodic  512 MiB  1 MiB   120 ms  local, remote\n");
  EXPECT_EQ(server_.run({"checkpoints", "lj-melt", "-o", "json"}).out, checkpoints_ + "\n");
  EXPECT_EQ(server_.run({"checkpoints", "lj-melt", "--names"}).out, std::string(kCheckpoint) + "\n");
}

TEST_F(CommandsTest, CheckpointWaitsForTheCommit) {
  server_.answer("POST " + kAppPath + "/checkpoints", 202, operation_json("RUNNING"), kOperationPath);
  EXPECT_EQ(server_.run({"checkpoint", "lj-melt"}).out, std::string("started operation ") + kOperation + "\n");
  server_.answers("GET " + kOperationPath,
                  {operation_json("RUNNING"), operation_json("RUNNING"), operation_json("SUCCEEDED")});
  const Captured ran = server_.run({"checkpoint", "lj-melt", "--wait"});
  EXPECT_EQ(ran.out, std::string("committed checkpoint ") + kCheckpoint + "\n");
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(server_.last("POST").headers.get("idempotency-key").size(), 36U);
}

TEST_F(CommandsTest, AFailedOperationTellsItsProblem) {
  server_.answer("POST " + kAppPath + "/checkpoints", 202, operation_json("RUNNING"), "http://proxy" + kOperationPath);
  server_.answer(
      "GET " + kOperationPath, 200,
      operation_json(
          "FAILED",
          R"(,"problem":{"type":"urn:cacs:problem:no-space","status":507,"detail":"disk full","hint":"make room"})"));
  const Captured ran = server_.run({"checkpoint", "lj-melt", "--wait"});
  EXPECT_EQ(ran.err, "cacs: checkpoint: disk full\n  hint: make room\n");
  EXPECT_EQ(ran.status.value, 1);
}

TEST_F(CommandsTest, RestartTakesTheLatestOrTheOneNamed) {
  server_.answer("POST " + kAppPath + "/checkpoints/latest", 202, operation_json("RUNNING"), kOperationPath);
  server_.answer(
      "POST " + kAppPath + "/checkpoints/" + kCheckpoint, 409,
      R"({"type":"urn:cacs:problem:conflict","status":409,"detail":"a restart is under way","hint":"wait for it"})");
  EXPECT_TRUE(server_.run({"restart", "lj-melt"}).status.success());
  const Captured second = server_.run({"restart", "lj-melt", "0193a4f2"});
  EXPECT_EQ(second.err, "cacs: a restart is under way\n  hint: wait for it\n");
  EXPECT_EQ(second.status.value, 4);
}

TEST_F(CommandsTest, DeleteRemovesAnApplicationOrOneCheckpoint) {
  server_.answer("DELETE " + kAppPath, 202, operation_json("RUNNING"), kOperationPath);
  server_.answer("DELETE " + kAppPath + "/checkpoints/" + kCheckpoint, 202, operation_json("RUNNING"), kOperationPath);
  server_.answer("GET " + kOperationPath, 200, operation_json("SUCCEEDED"));
  EXPECT_TRUE(server_.run({"delete", "lj-melt", "--wait"}).status.success());
  EXPECT_EQ(server_.last("DELETE").path, kAppPath);
  EXPECT_TRUE(server_.run({"delete", "lj-melt", "0193a4f2"}).status.success());
  EXPECT_EQ(server_.last("DELETE").path, kAppPath + "/checkpoints/" + kCheckpoint);
}

TEST_F(CommandsTest, ExecPassesBytesAndExitCode) {
  server_.answer("POST " + kAppPath + "/exec", 200,
                 R"({"exit":{"kind":"exited","code":7},"stdout":"AAEbCg==","stderr":"ZXJyCg=="})");
  const Captured ran = server_.run({"exec", "lj-melt", "--env", "A=1", "--", "ps", "-o", "pid", "--help"});
  EXPECT_EQ(ran.out, std::string("\0\x01\x1b\n", 4));
  EXPECT_EQ(ran.err, "err\n");
  EXPECT_EQ(ran.status.value, 7);
  EXPECT_EQ(server_.last("POST").body, R"({"command":["ps","-o","pid","--help"],"env":{"A":"1"}})");
  EXPECT_EQ(server_.run({"exec", "lj-melt"}).status.value, 2);
}

TEST_F(CommandsTest, SubmitSendsTheFileAsItIs) {
  server_.answer("POST /v1/coordinators", 201, app_json());
  const auto file = server_.dir() / "asr.json";
  ASSERT_TRUE(write_file_durably(file, R"({ "command": ["x"] })").ok());
  EXPECT_EQ(server_.run({"submit", "-f", file.string()}).out, std::string(kApp) + "\n");
  EXPECT_EQ(server_.last("POST").body, R"({ "command": ["x"] })");
  ASSERT_TRUE(write_file_durably(file, "{").ok());
  EXPECT_EQ(server_.run({"submit", "-f", file.string()}).status.value, 2);
  EXPECT_EQ(server_.run({"submit", "-f", "/nonexistent"}).status.value, 3);
  EXPECT_EQ(server_.run({"submit"}).status.value, 2);
}

TEST_F(CommandsTest, LogsPrintWhatIsThereEachStreamToItsOwn) {
  const Captured ran = server_.run({"logs", "lj-melt"});
  EXPECT_EQ(ran.out, "plain stdout \x1b[1m\n");
  EXPECT_EQ(ran.err, "plain stderr \x1b[1m\n");
}

TEST_F(CommandsTest, LogsFollowOverARollbackAndALostConnection) {
  // "one\ntwo\nthree\n", back to 4, "two\nTHREE\nfour\n"
  const std::string one_two_three = output_event(0, "b25lCnR3bwp0aHJlZQo=");
  const std::string again = with_id("stdout:2:14,stderr:0:0", output_event(4, "dHdvClRIUkVFCg=="));
  server_.logs({{one_two_three, rollback_event(4),
                 again},  // and then the connection is lost
                          // One that does not know where its reader was repeats itself; the reader does not.
                {output_event(0, "b25lCnR3bwpUSFJFRQpmb3VyCg=="), end_event(R"({"kind":"exited","code":0})")}});
  const Captured ran = server_.run({"logs", "-f", "lj-melt"});
  EXPECT_EQ(ran.out, "one\ntwo\nthree\nTHREE\nfour\n");
  EXPECT_EQ(ran.err,
            "cacs: --- restored: stdout went back by 10 B to byte 4; what was shown already is not repeated ---\n");
  EXPECT_TRUE(ran.status.success());
  EXPECT_EQ(server_.last("GET " + kAppPath + "/logs").headers.get("last-event-id"), "stdout:2:14,stderr:0:0");
}

TEST_F(CommandsTest, AStreamThatEndsWithAProblemIsAFailure) {
  server_.logs(
      {{output_event(0, "aGkK"),
        "event: error\ndata: {\"type\":\"urn:cacs:problem:internal\",\"status\":500,\"detail\":\"it broke\"}\n\n"}});
  const Captured ran = server_.run({"logs", "-f", "lj-melt"});
  EXPECT_EQ(ran.out, "hi\n");
  EXPECT_NE(ran.err.find("it broke"), std::string::npos) << ran.err;
  EXPECT_FALSE(ran.status.success());
}

TEST_F(CommandsTest, RunEndsWithTheApplicationsExitCode) {
  server_.answer("POST /v1/coordinators", 201, app_json());
  server_.logs({{output_event(0, "aGkK"), output_event(0, "ZXJyCg==", "stderr"),
                 end_event(R"({"kind":"signaled","signal":15})")}});
  const Captured ran = server_.run({"run", "--name", "n", "--workdir", "/", "--", "prog", "--flag"});
  EXPECT_EQ(ran.out, "hi\n");
  EXPECT_NE(ran.err.find("err\n"), std::string::npos);
  EXPECT_NE(ran.err.find("signal 15 (Terminated)"), std::string::npos);
  EXPECT_EQ(ran.status.value, 143);
  EXPECT_EQ(server_.last("POST").body,
            R"({"name":"n","command":["prog","--flag"],"workdir":"/","checkpoint":{"interval":"5m"}})");
  EXPECT_EQ(server_.run({"-q", "run", "--", "prog"}).err, "err\n");
  EXPECT_EQ(server_.run({"run"}).status.value, 2);
  // A program or an application may have the name of a command.
  EXPECT_EQ(server_.run({"run", "ls", "show"}).status.value, 143);
  EXPECT_NE(server_.last("POST").body.find(R"("command":["ls","show"])"), std::string::npos);
  EXPECT_NE(server_.run({"show", "ls"}).err.find("there is no application 'ls'"), std::string::npos);
}

TEST_F(CommandsTest, SigtermSavesAndEndsWith75) {
  server_.answer("POST /v1/coordinators", 201, app_json());
  server_.answer("POST " + kAppPath + "/checkpoints", 202, operation_json("RUNNING"), kOperationPath);
  server_.answers("GET " + kOperationPath, {operation_json("RUNNING"), operation_json("SUCCEEDED")});
  server_.hold_logs();
  auto child = spawn(server_.command({"run", "--", "prog"}));
  ASSERT_TRUE(child.ok());
  ASSERT_TRUE(server_.wait_for("GET " + kAppPath + "/logs"));
  ASSERT_TRUE(child->signal(SIGTERM).ok());
  const auto ended = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(ended->value, 75);
  EXPECT_FALSE(ended->signaled);
  EXPECT_EQ(server_.last("POST").path, kAppPath + "/checkpoints");
}

TEST_F(CommandsTest, SigtermAfterAFailedCheckpointIsAFailure) {
  server_.answer("POST /v1/coordinators", 201, app_json());
  server_.answer("POST " + kAppPath + "/checkpoints", 507,
                 R"({"type":"urn:cacs:problem:no-space","detail":"disk full"})");
  server_.hold_logs();
  auto child = spawn(server_.command({"run", "--", "prog"}));
  ASSERT_TRUE(child.ok());
  ASSERT_TRUE(server_.wait_for("GET " + kAppPath + "/logs"));
  ASSERT_TRUE(child->signal(SIGTERM).ok());
  const auto ended = child->wait(std::chrono::seconds(20));
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(ended->value, 1);
}

TEST_F(CommandsTest, ExitCodesTellFailuresApart) {
  server_.answer("GET /v1/coordinators", 401, R"({"type":"urn:cacs:problem:unauthenticated","detail":"wrong token"})");
  const Captured refused = server_.run({"ls"}, {"CACS_TOKEN=x"});
  EXPECT_EQ(refused.status.value, 6);
  EXPECT_NE(refused.err.find("hint: give the server's token"), std::string::npos);
  EXPECT_EQ(server_.last("GET").headers.get("authorization"), "Bearer x");
  EXPECT_EQ(server_.run({"show", "0193a4f2-7c3e-7000-8000-000000000009"}).status.value, 3);
  const Captured nobody = server_.run({"ls", "--server", "unix:/nonexistent/cacs.sock"});
  EXPECT_EQ(nobody.status.value, 5);
  EXPECT_TRUE(nobody.err.starts_with("cacs: server unix:/nonexistent/cacs.sock: ")) << nobody.err;
  EXPECT_EQ(server_.run({"lss"}).status.value, 2);
  EXPECT_EQ(server_.run({"ls", "--server", "ftp://x"}).status.value, 2);
  EXPECT_EQ(server_.run({"ls"}, {"CACS_SERVER="}).status.value, 5);
}

TEST_F(CommandsTest, TheTokenBesideTheSocketIsUsed) {
  ASSERT_TRUE(write_file_durably(server_.dir() / "token", "beside\n").ok());
  EXPECT_TRUE(server_.run({"ls"}).status.success());
  EXPECT_EQ(server_.last("GET").headers.get("authorization"), "Bearer beside");
}

TEST_F(CommandsTest, VersionNeedsNoServer) {
  EXPECT_EQ(server_.run({"version"}, {"CACS_SERVER=unix:/nonexistent.sock"}).out, "cacs " CACS_VERSION "\n");
  server_.answer("GET /version", 200, R"({"version":"9.9"})");
  EXPECT_EQ(server_.run({"version", "-o", "json"}).out,
            "{\"version\":\"" CACS_VERSION "\",\"server\":{\"version\":\"9.9\"}}\n");
}

TEST_F(CommandsTest, HelpIsPrintedAndNamesTheCommand) {
  EXPECT_NE(server_.run({"ls", "--help"}).out.find("Usage: cacs ls [OPTIONS]"), std::string::npos);
  EXPECT_EQ(server_.run({"help", "ls"}).out, server_.run({"ls", "--help"}).out);
  EXPECT_NE(server_.run({"help"}).out.find("Exit codes:"), std::string::npos);
  EXPECT_EQ(server_.run({"help"}).out, server_.run({"--help"}).out);
  EXPECT_EQ(server_.run({"help", "lss"}).status.value, 2);
  EXPECT_TRUE(server_.run({"completion", "bash"}).out.find("complete -F _cacs cacs") != std::string::npos);
  EXPECT_EQ(server_.run({"completion", "tcsh"}).status.value, 2);
}

}  // namespace
}  // namespace cacs::cli
