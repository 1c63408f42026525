// Programs that save themselves (the engine `app`): asked by each of the ways, killed, and started anew on what they
// saved. Their results must be those of an undisturbed run; one that does not answer is left alone.

#include <unistd.h>

#include <set>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "e2e/melt.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

class SelfSavingTest : public ServiceTest {
 protected:
  static JsonObject file(const std::string& path, const std::string& content) {
    return {{"path", path}, {"content", content}};
  }
  std::string story(const std::string& id) { return output(id) + output(id, "stderr"); }
  /// Of the process that the application's command became.
  static bool stands_still(pid_t pid) {
    const auto stat = read_text_file("/proc/" + std::to_string(pid) + "/cgroup", 4096);
    for (const auto& line : split(stat ? *stat : "", '\n')) {
      const std::size_t at = line.find(":freezer:");
      if (at == std::string::npos) continue;
      const auto state = read_text_file("/sys/fs/cgroup/freezer" + line.substr(at + 9) + "/freezer.state", 64);
      return state && trim(*state) != "THAWED";
    }
    return false;
  }
  void expect_runs_on(const std::string& id, const std::string& comm) {
    const std::string before = output(id);
    EXPECT_TRUE(wait_until([&] { return output(id).size() > before.size(); })) << "it does not run on";
    for (const pid_t pid : processes_of(id, comm)) EXPECT_FALSE(stands_still(pid));
  }
};

/// Counts in the file `count`, which it saves when the file `save` is there, and takes that away.
constexpr const char* kCounter = R"(cd /state
i=$(cat count 2>/dev/null || echo 0)
while [ $i -lt 150 ]; do
  i=$((i+1)); echo round $i
  if [ -e save ]; then echo $i > new; mv new count; rm save; fi
  sleep 0.1
done
echo result $i of $CACS_POD, restarted ${CACS_RESTARTED:-no}
)";

/// LAMMPS as its users restart it: it writes its own restart file when it finds that it is to, and a second input goes
/// on from there.
TEST_F(SelfSavingTest, LammpsWithItsOwnRestartFile) {
  constexpr int kSteps = 3000;
  const auto blocks = [](const std::string& pause) {
    return "label again\nrun 100\n"
           "if \"$(is_file(/job/save))\" then \"write_restart /job/state.new\" \"shell mv /job/state.new /job/state\" "
           "\"shell rm /job/save\"\nshell sleep " +
           pause + "\nif \"$(step) < " + std::to_string(kSteps) + "\" then \"jump SELF again\"\n";
  };
  std::string begin = melt_input(0);
  begin.erase(begin.rfind("run "));
  const std::string go_on =
      "read_restart /job/state\nneighbor 0.3 bin\nneigh_modify every 20 delay 0 check no\nfix 1 all nve\nthermo 100\n"
      "thermo_modify flush yes\n";
  ASSERT_TRUE(write_file_durably(dir_ / "in.melt", begin + blocks("0")).ok());
  const auto reference = run_command(
      {.argv = {"env", "OMP_NUM_THREADS=1", "lmp", "-in", (dir_ / "in.melt").string(), "-log", "none"}, .cwd = "/tmp"},
      std::chrono::seconds(300));
  ASSERT_TRUE(reference.ok() && reference->status.success()) << (reference ? reference->err : "");

  const std::string id = submit(
      {{"command", JsonArray{"lmp", "-in", "/job/in.melt", "-log", "none"}},
       {"env", JsonObject{{"OMP_NUM_THREADS", "1"}}},
       {"files", JsonArray{file("/job/in.melt", begin + blocks("0.3")), file("/job/in.again", go_on + blocks("0.3"))}},
       {"workdir", "/job"},
       {"engine", "app"},
       {"engine_options", JsonObject{{"file", "/job/save"},
                                     {"files", JsonArray{"/job/state"}},
                                     {"restart_command", JsonArray{"lmp", "-in", "/job/in.again", "-log", "none"}}}}});
  ASSERT_TRUE(wait_output(id, "\n     300 ")) << story(id);
  checkpoint(id);
  ASSERT_TRUE(wait_output(id, "\n     900 ")) << story(id);
  const JsonObject saved = must("GET", "/coordinators/" + id + "/checkpoints/" + checkpoint(id));
  EXPECT_NE(boost::json::serialize(saved).find(R"("name":"app")"), std::string::npos) << boost::json::serialize(saved);
  EXPECT_EQ(kill_program(id, "lmp"), 1);
  wait_state(id, "COMPLETED", std::chrono::seconds(180));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 2) << "it was not restarted once";
  const std::string out = output(id);
  EXPECT_NE(out.find("Reading restart file"), std::string::npos) << out;
  // What it printed after it had saved is printed again: each line has to be one of the undisturbed run, and all be
  // there.
  const auto lines = [](const std::string& text) {
    std::set<std::string> found;
    for (const auto& line : split(thermo(text), '\n')) {
      // What it tells of the restart begins with numbers, too, but has words in it.
      if (!line.empty() && line.find_first_not_of("0123456789+-.e ") == std::string::npos) found.insert(line);
    }
    return found;
  };
  EXPECT_EQ(lines(out), lines(reference->out));
  EXPECT_EQ(lines(out).size(), 31U);
}

/// Two processes in two pods, which need each other to save themselves: neither may stand still before both have.
TEST_F(SelfSavingTest, TwoPodsThatNeedEachOtherToSave) {
  const std::string saver = program("saver");
  const auto script = [&](const std::string& launch, const std::string& host, const std::string& dir, int pause) {
    return launch + saver + " follow 7001 " + dir + " & exec " + saver + " lead " + host + " 7001 " + dir + " 300 " +
           std::to_string(pause);
  };
  ASSERT_TRUE(make_directories(dir_ / "reference").ok());
  const auto reference = run_command({.argv = {"sh", "-c", script("", "127.0.0.1", (dir_ / "reference").string(), 0)}});
  ASSERT_TRUE(reference.ok() && reference->status.success()) << (reference ? reference->out : "");
  const std::size_t at = reference->out.find("result ");
  const std::string result = reference->out.substr(at, reference->out.find('\n', at) - at);

  const std::string id =
      submit({{"command", JsonArray{"sh", "-c", script("/.cacs/cacs-rsh pod-1 ", "pod-1", "/state", 50)}},
              {"files", JsonArray{file("/state/in", "")}},
              {"pods", 2},
              {"engine", "app"},
              {"engine_options", JsonObject{{"signal", "USR1"},
                                            {"done", "/state/saved"},
                                            {"timeout", "30s"},
                                            {"files", JsonArray{"/state/lead", "/state/follow"}}}}});
  ASSERT_TRUE(wait_output(id, "round 20 ")) << story(id);
  checkpoint(id);
  ASSERT_TRUE(wait_output(id, "round 100 ")) << story(id);
  checkpoint(id);
  EXPECT_EQ(kill_program(id, "saver"), 2);
  wait_state(id, "COMPLETED", std::chrono::seconds(120));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 2);
  const std::string out = output(id);
  // From the second, not the first; and nothing of it was computed otherwise.
  const std::size_t again = out.find("restarted 1");
  ASSERT_NE(again, std::string::npos) << out;
  EXPECT_NE(out.find("begins at 1", again - 16), std::string::npos) << out;
  EXPECT_NE(out.find(result), std::string::npos) << out << reference->out;
  for (const auto& line : split(out, '\n')) {
    EXPECT_TRUE(!line.starts_with("round ") || reference->out.find(line + "\n") != std::string::npos) << line;
  }
}

TEST_F(SelfSavingTest, AFileInEveryPod) {
  const std::string id =
      submit({{"command", JsonArray{"sh", "-c", "/.cacs/cacs-rsh pod-1 sh /state/counter & sh /state/counter; wait"}},
              {"files", JsonArray{file("/state/counter", kCounter)}},
              {"pods", 2},
              {"engine", "app"},
              {"engine_options", JsonObject{{"file", "/state/save"}, {"files", JsonArray{"/state/c*t"}}}}});
  ASSERT_TRUE(wait_output(id, "round 10\n")) << story(id);
  checkpoint(id);
  ASSERT_TRUE(wait_output(id, "round 60\n")) << story(id);
  checkpoint(id);
  EXPECT_GE(kill_program(id, "cacs-init"), 2);
  wait_state(id, "COMPLETED", std::chrono::seconds(120));
  const std::string out = output(id);
  EXPECT_NE(out.find("result 150 of pod-0, restarted 1"), std::string::npos) << out;
  // That of pod-1 prints through its launch: both counted on from what they had, and neither from nothing.
  EXPECT_EQ(out.find("round 1\n", out.find("round 60\n")), std::string::npos) << out;
}

TEST_F(SelfSavingTest, ACommandThatSavesAndOneThatCannot) {
  const std::string id =
      submit({{"command", JsonArray{"sh", "/state/counter"}},
              {"files", JsonArray{file("/state/counter", kCounter),
                                  file("/state/save-now",
                                       "[ -e /state/broken ] && { echo no room >&2; exit 3; }\n"
                                       "touch /state/save; while [ -e /state/save ]; do sleep 0.05; done\n")}},
              {"engine", "app"},
              {"engine_options",
               JsonObject{{"command", JsonArray{"sh", "/state/save-now"}}, {"files", JsonArray{"/state/count"}}}}});
  ASSERT_TRUE(wait_output(id, "round 10\n")) << story(id);
  const JsonObject explained = must("GET", "/coordinators/" + id + "/explain");
  EXPECT_TRUE(json_bool_or(explained, "savable", false));
  EXPECT_NE(boost::json::serialize(explained).find("there is no such file yet"), std::string::npos);
  const std::string first = checkpoint(id);
  EXPECT_NE(boost::json::serialize(must("GET", "/coordinators/" + id + "/explain")).find("1 file"), std::string::npos);
  must("POST", "/coordinators/" + id + "/exec", R"({"command": ["touch", "/state/broken"]})");
  const JsonObject failed = try_checkpoint(id);
  EXPECT_EQ(json_string_or(failed, "state", ""), "FAILED");
  const std::string why = boost::json::serialize(failed);
  EXPECT_NE(why.find("exit code 3"), std::string::npos) << why;
  EXPECT_NE(why.find("no room"), std::string::npos) << why;
  expect_runs_on(id, "sh");
  EXPECT_EQ(kill_program(id, "sh"), 1);
  wait_state(id, "COMPLETED", std::chrono::seconds(120));
  EXPECT_NE(output(id).find("result 150 of pod-0, restarted 1"), std::string::npos) << output(id);
}

TEST_F(SelfSavingTest, AProgramThatNeverAnswersRunsOn) {
  const std::string loop = "i=0; while :; do i=$((i+1)); echo round $i; sleep 0.05; done";
  const std::string id = submit({{"command", JsonArray{"sh", "-c", loop}},
                                 {"files", JsonArray{file("/state/in", "")}},
                                 {"engine", "app"},
                                 {"engine_options", JsonObject{{"file", "/state/save"},
                                                               {"done", "/state/saved"},
                                                               {"timeout", "2s"},
                                                               {"files", JsonArray{"/state/own"}}}}});
  ASSERT_TRUE(wait_output(id, "round 3\n")) << story(id);
  for (int round = 0; round < 2; ++round) {
    const JsonObject failed = try_checkpoint(id);
    EXPECT_EQ(json_string_or(failed, "state", ""), "FAILED");
    const std::string why = boost::json::serialize(failed);
    EXPECT_NE(why.find("did not within 2s"), std::string::npos) << why;
    EXPECT_NE(why.find("there is no /state/saved"), std::string::npos) << why;
    expect_runs_on(id, "sh");
  }
  // It says that it has saved, and has not.
  must(
      "POST", "/coordinators/" + id + "/exec",
      R"({"command": ["sh", "-c", "(while ! [ -e /state/save ]; do sleep 0.1; done; touch /state/saved) >/dev/null 2>&1 &"]})");
  const std::string why = boost::json::serialize(try_checkpoint(id));
  EXPECT_NE(why.find("has written none of the files"), std::string::npos) << why;
  expect_runs_on(id, "sh");
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1);
}

TEST_F(SelfSavingTest, ASignalThatWouldEndTheProgramIsNotSent) {
  const std::string loop = "i=0; while :; do i=$((i+1)); echo round $i; sleep 0.05; done";
  const std::string id =
      submit({{"command", JsonArray{"sh", "-c", loop}},
              {"files", JsonArray{file("/state/in", "")}},
              {"engine", "app"},
              {"engine_options",
               JsonObject{{"signal", "USR2"}, {"done", "/state/saved"}, {"files", JsonArray{"/state/own"}}}}});
  ASSERT_TRUE(wait_output(id, "round 3\n")) << story(id);
  const JsonObject explained = must("GET", "/coordinators/" + id + "/explain");
  EXPECT_FALSE(json_bool_or(explained, "savable", true));
  const std::string why = boost::json::serialize(try_checkpoint(id));
  EXPECT_NE(why.find("does not handle signal 12"), std::string::npos) << why;
  expect_runs_on(id, "sh");
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1);
}

}  // namespace
}  // namespace cacs::e2e
