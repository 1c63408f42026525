// Unmodified programs, saved while they run, killed, and brought back by the service itself: their results must be
// those of an undisturbed run.

#include <sys/wait.h>

#include "base/io.h"
#include "base/text.h"
#include "e2e/melt.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

class ProgramsTest : public ServiceTest {
 protected:
  /// Saves at `save_at` in its output, kills `comm` at `kill_at`, waits for the end; the whole output.
  std::string disturb(const JsonObject& asr, const std::string& save_at, const std::string& kill_at,
                      const std::string& comm) {
    const std::string id = submit(asr);
    EXPECT_TRUE(wait_output(id, save_at)) << output(id) << output(id, "stderr");
    checkpoint(id);
    EXPECT_TRUE(wait_output(id, kill_at)) << output(id) << output(id, "stderr");
    EXPECT_GT(kill_program(id, comm), 0);
    wait_state(id, "COMPLETED");
    EXPECT_GE(json_int_or(application(id), "incarnation", 0), 2) << "it was never restored";
    return output(id);
  }

  static std::string undisturbed(const std::vector<std::string>& argv) {
    auto result = run_command({.argv = argv, .cwd = "/tmp"}, std::chrono::seconds(120));
    EXPECT_TRUE(result.ok() && result->status.success());
    return result ? result->out : "";
  }
};

TEST_F(ProgramsTest, AWorkerThatChecksItsOwnArithmeticAndFiles) {
  const std::string reference = undisturbed({program("worker"), "150", (dir_ / "w").string(), "0"});
  EXPECT_EQ(
      disturb({{"command", JsonArray{program("worker"), "150", "/work", "20"}}}, "round 30 ", "round 70 ", "worker"),
      reference);
}

TEST_F(ProgramsTest, AStaticBinary) {
  const std::string reference = undisturbed({program("static_worker"), "120"});
  EXPECT_EQ(
      disturb({{"command", JsonArray{program("static_worker"), "120"}}}, "round 20 ", "round 60 ", "static_worker"),
      reference);
}

TEST_F(ProgramsTest, ThreadsEpollTimersSharedMemoryAndTcpToItself) {
  const std::string out =
      disturb({{"command", JsonArray{program("features"), "6"}}}, "beat 10\n", "beat 30\n", "features");
  EXPECT_NE(out.find("result ok 1"), std::string::npos) << out;
}

TEST_F(ProgramsTest, TimersWhoseExpiryIsUnreadAndOnesThatHaveFired) {
  const std::string out =
      disturb({{"command", JsonArray{program("timers"), "80"}}}, "round 20 ", "round 40 ", "timers");
  EXPECT_NE(out.find("result ok"), std::string::npos) << out;
}

TEST_F(ProgramsTest, PythonWithThreadsAndAPipeToAChild) {
  const std::string script =
      "import subprocess, threading, time, hashlib, sys\n"
      "child = subprocess.Popen(['sed', '-u', 's/^/got /'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, "
      "bufsize=1)\n"
      "total = [0]\n"
      "lock = threading.Lock()\n"
      "def work(k):\n"
      "    for i in range(240):\n"
      "        with lock:\n"
      "            total[0] += k * i\n"
      "        time.sleep(0.04)\n"
      "threads = [threading.Thread(target=work, args=(k,)) for k in (1, 2, 3)]\n"
      "[t.start() for t in threads]\n"
      "seen = hashlib.sha256()\n"
      "for i in range(240):\n"
      "    child.stdin.write('line %d\\n' % i); child.stdin.flush()\n"
      "    answer = child.stdout.readline()\n"
      "    assert answer == 'got line %d\\n' % i, answer\n"
      "    seen.update(answer.encode())\n"
      "    print('step', i, flush=True)\n"
      "    time.sleep(0.04)\n"
      "[t.join() for t in threads]\n"
      "print('result', total[0], seen.hexdigest())\n";
  const std::string reference = undisturbed({"python3", "-c", script});
  EXPECT_EQ(disturb({{"command", JsonArray{"python3", "-c", script}}}, "step 15\n", "step 40\n", "python3"), reference);
}

TEST_F(ProgramsTest, BashRunningAPipeline) {
  const std::string script =
      "seq 1 2000000 | while read -r n; do if (( n % 100 == 0 )); then echo $n; fi; (( n >= 6000 )) && break; "
      "(( n % 20 == 0 )) && sleep 0.01; done | sed -u 's/^/n=/' | tee /tmp/pipeline.out; md5sum < /tmp/pipeline.out";
  const std::string reference = undisturbed({"bash", "-c", script});
  ::unlink("/tmp/pipeline.out");
  EXPECT_EQ(disturb({{"command", JsonArray{"bash", "-c", script}}}, "n=1500\n", "n=3000\n", "bash"), reference);
}

TEST_F(ProgramsTest, AnNs3Simulation) {
  if (!std::filesystem::exists(program("network_simulation"))) GTEST_SKIP() << "built without ns-3 (libns3-dev)";
  const std::string reference = undisturbed({program("network_simulation"), "100"});
  EXPECT_NE(reference.find("result "), std::string::npos);
  EXPECT_EQ(disturb({{"command", JsonArray{program("network_simulation"), "100"}}}, "\nt 200 ", "\nt 500 ",
                    "network_simulation"),
            reference);
}

TEST_F(ProgramsTest, Lammps) {
  const std::string input = melt_input(8000);
  ASSERT_TRUE(write_file_durably(dir_ / "in.melt", input).ok());
  const std::string reference =
      undisturbed({"env", "OMP_NUM_THREADS=1", "lmp", "-in", (dir_ / "in.melt").string(), "-log", "none"});
  JsonObject asr{{"command", JsonArray{"lmp", "-in", "/job/in.melt", "-log", "none"}},
                 {"env", JsonObject{{"OMP_NUM_THREADS", "1"}}},
                 {"files", JsonArray{JsonObject{{"path", "/job/in.melt"}, {"content", input}}}},
                 {"workdir", "/job"}};
  const std::string id = submit(asr);
  ASSERT_TRUE(wait_output(id, "\n     500 ") || wait_output(id, "\n       500 ", std::chrono::seconds(1)))
      << output(id);
  checkpoint(id);
  EXPECT_GT(kill_program(id, "lmp"), 0);
  wait_state(id, "COMPLETED");
  EXPECT_EQ(thermo(output(id)), thermo(reference));
  EXPECT_GT(thermo(reference).size(), 1000U);
}

}  // namespace
}  // namespace cacs::e2e
