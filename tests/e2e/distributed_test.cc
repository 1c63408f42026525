// Applications of several pods: saved twice while they run, then killed in all their pods, and brought back from the
// second checkpoint into new namespaces. Their results must be those of an undisturbed run.

#include <unistd.h>

#include <algorithm>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "e2e/melt.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

/// Ranks that share two processors wait for each other most of the time.
constexpr std::chrono::seconds kLong{180};

class DistributedTest : public ServiceTest {
 protected:
  /// Saves at `first` and at `second` in its output, kills all in every pod, waits for the end; the whole output.
  std::string disturb(const JsonObject& asr, const std::string& first, const std::string& second) {
    const std::string id = submit(asr);
    EXPECT_TRUE(wait_output(id, first, kLong)) << story(id);
    checkpoint(id);
    EXPECT_TRUE(wait_output(id, second, kLong)) << story(id);
    const std::string newest = checkpoint(id);
    EXPECT_GE(kill_program(id, "cacs-init"), json_int_or(asr, "pods", 0));
    wait_state(id, "COMPLETED", kLong);
    EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 2) << "it was not restored once";
    return output(id);
  }
  std::string story(const std::string& id) { return output(id) + output(id, "stderr"); }
};

TEST_F(DistributedTest, AStreamWithFullBuffersBothWays) {
  const std::string stream = program("stream");
  const std::string command =
      "/.cacs/cacs-rsh pod-1 " + stream + " serve 7001 120 & " + stream + " connect pod-1 7001 120 && wait $!";
  const std::string out =
      disturb({{"command", JsonArray{"sh", "-c", command}}, {"pods", 2}}, "connect: 8 MiB\n", "connect: 24 MiB\n");
  EXPECT_NE(out.find("connect: result ok"), std::string::npos) << out;
  EXPECT_NE(out.find("serve: result ok"), std::string::npos) << out;
}

/// LAMMPS over four ranks, as its users start it.
class Melt : public DistributedTest, public testing::WithParamInterface<int> {};

TEST_P(Melt, OverSeveralPods) {
  constexpr int kBlocks = 60;
  const std::string input = melt_in_blocks(kBlocks, "0.5");
  const auto reference = run_melt(dir_ / "in.melt", kBlocks);
  ASSERT_TRUE(reference.ok()) << reference.error().to_string();
  const std::string out =
      disturb({{"command", JsonArray{"mpirun", "-np", "4", "lmp", "-in", "/job/in.melt", "-log", "none"}},
               {"env", JsonObject{{"OMP_NUM_THREADS", "1"}}},
               {"files", JsonArray{JsonObject{{"path", "/job/in.melt"}, {"content", input}}}},
               {"workdir", "/job"},
               {"pods", GetParam()}},
              "\n     100 ", "\n     300 ");
  EXPECT_EQ(thermo(out), thermo(*reference));
  EXPECT_GT(thermo(out).size(), 500U);
}

INSTANTIATE_TEST_SUITE_P(Distributed, Melt, testing::Values(2, 4),
                         [](const auto& kind) { return std::to_string(kind.param) + "Pods"; });

/// The lines of a text that begin with one of these.
std::string lines_with(const std::string& text, const std::vector<std::string>& beginnings) {
  std::string found;
  for (const auto& line : split(text, '\n')) {
    const std::string trimmed(trim(line));
    const auto begins = [&](const std::string& beginning) { return trimmed.starts_with(beginning); };
    if (std::ranges::any_of(beginnings, begins)) found += trimmed + "\n";
  }
  return found;
}

TEST_F(DistributedTest, TheHpcChallengeWithItsResiduals) {
  const std::string input = R"(HPLinpack benchmark input file
Innovative Computing Laboratory, University of Tennessee
HPL.out
8       device out
1       problem sizes
1200    Ns
1       NBs
80      NBs
0       PMAP
1       grids
1       Ps
2       Qs
16.0    threshold
1       panel fact
2       PFACTs
1       NBMINs
4       NBMINs
1       panels in recursion
2       NDIVs
1       recursive panel fact
1       RFACTs
1       broadcast
1       BCASTs
1       lookahead
1       DEPTHs
2       SWAP
64      swapping threshold
0       L1
0       U
1       equilibration
8       alignment
##### ignored ######
0       problem sizes for PTRANS
1200
0       blocking sizes for PTRANS
40
)";
  const std::vector<std::string> result = {
      "HPL_Rnorm", "HPL_Anorm", "HPL_Xnorm", "||Ax-b||", "PTRANS_residual", "MPIFFT_maxErr", "MPIRandomAccess_Errors",
      "Success"};
  const auto directory = dir_ / "hpcc";
  ASSERT_TRUE(make_directories(directory).ok());
  ASSERT_TRUE(write_file_durably(directory / "hpccinf.txt", input, 0644).ok());
  const auto reference =
      run_command({.argv = {"env", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMP_NUM_THREADS=1",
                            "OPENBLAS_NUM_THREADS=1", "mpirun", "--oversubscribe", "--mca", "btl", "tcp,self", "--mca",
                            "mpi_yield_when_idle", "1", "-np", "2", "hpcc"},
                   .cwd = directory},
                  std::chrono::seconds(300));
  ASSERT_TRUE(reference.ok() && reference->status.success()) << (reference ? reference->err : "");
  const std::string expected = lines_with(read_text_file(directory / "hpccoutf.txt").value(), result);
  ASSERT_NE(expected.find("Success=1"), std::string::npos) << expected;
  // It tells how far it is in a file.
  const std::string script =
      "touch hpccoutf.txt; tail ---disable-inotify -s 0.2 -n +1 -F hpccoutf.txt | grep --line-buffered ^Begin & "
      "mpirun -np 2 hpcc && cat hpccoutf.txt";
  const std::string out = disturb({{"command", JsonArray{"sh", "-c", script}},
                                   {"env", JsonObject{{"OMP_NUM_THREADS", "1"}, {"OPENBLAS_NUM_THREADS", "1"}}},
                                   {"files", JsonArray{JsonObject{{"path", "/job/hpccinf.txt"}, {"content", input}}}},
                                   {"workdir", "/job"},
                                   {"pods", 2}},
                                  "Begin of StarRandomAccess section", "Begin of StarDGEMM section");
  EXPECT_EQ(lines_with(out, result), expected);
}

TEST_F(DistributedTest, ARingOfTheOtherMpi) {
  const std::string ring = program("ring");
  if (!std::filesystem::exists(ring)) GTEST_SKIP() << "MPICH is not installed";
  const auto reference =
      run_command({.argv = {"mpiexec.mpich", "-np", "4", ring, "200", "0"}, .cwd = "/tmp"}, std::chrono::seconds(120));
  ASSERT_TRUE(reference.ok() && reference->status.success()) << (reference ? reference->err : "");
  const std::string out = disturb({{"command", JsonArray{"mpiexec.mpich", "-np", "4", ring, "200", "20"}}, {"pods", 4}},
                                  "round 20 ", "round 70 ");
  EXPECT_EQ(lines_with(out, {"round "}), reference->out);
}

TEST_F(DistributedTest, APairThatSharesASocketAndAFifo) {
  const std::string pair = program("pair");
  const auto script = [&](const std::string& dir, const std::string& pause) {
    return pair + " left " + dir + " 300 " + pause + " & " + pair + " right " + dir + " 300 " + pause + "; wait $!";
  };
  const auto directory = dir_ / "pair";
  ASSERT_TRUE(make_directories(directory).ok());
  const auto reference = run_command({.argv = {"sh", "-c", script(directory, "0")}}, std::chrono::seconds(120));
  EXPECT_TRUE(remove_tree(directory).ok());
  ASSERT_TRUE(reference.ok() && reference->status.success()) << (reference ? reference->err : "");
  const std::string out =
      disturb({{"command", JsonArray{"sh", "-c", script("/tmp", "20")}}, {"pods", 1}}, "round 30 ", "round 80 ");
  EXPECT_EQ(lines_with(out, {"round "}), lines_with(reference->out, {"round "}));
  EXPECT_EQ(lines_with(out, {"left result"}), lines_with(reference->out, {"left result"}));
  EXPECT_EQ(lines_with(out, {"right result"}), lines_with(reference->out, {"right result"}));
}

TEST_F(DistributedTest, CommandsAreLaunchedInOtherPods) {
  const std::string script = R"(
    rsh=/.cacs/cacs-rsh
    echo through | $rsh pod-1 cat
    $rsh pod-1 'exit 7'; echo status $?
    $rsh pod-1 'kill -9 $$'; echo status $?
    head -c 3000000 /dev/urandom > /tmp/r; $rsh pod-1 cat < /tmp/r | cmp - /tmp/r && echo same
    $rsh -n pod-1 'yes | head -c 3000000' | wc -c
    $rsh -n -l somebody -o 'Some Option' pod-1 hostname
    $rsh pod-1 'echo aside >&2' 2>&1 >/dev/null
    $rsh pod-9 true 2>/dev/null; echo status $?
    echo $CACS_POD of $CACS_PODS
  )";
  const std::string id = submit({{"command", JsonArray{"sh", "-c", script}}, {"pods", 2}});
  wait_state(id, "COMPLETED");
  EXPECT_EQ(output(id), "through\nstatus 7\nstatus 137\nsame\n3000000\npod-1\naside\nstatus 255\npod-0 of 2\n");
}

TEST_F(DistributedTest, PodsOfOneApplicationDoNotReachThoseOfAnother) {
  const std::string first = submit({{"command", JsonArray{"sleep", "1000"}}, {"pods", 2}});
  wait_state(first, "RUNNING");
  const std::string second =
      submit({{"command",
               JsonArray{"sh", "-c", "/.cacs/cacs-rsh pod-1 'echo $CACS_APPLICATION from $(hostname)'; sleep 1000"}},
              {"pods", 2}});
  EXPECT_TRUE(wait_output(second, second + " from pod-1\n")) << story(second);
}

}  // namespace
}  // namespace cacs::e2e
