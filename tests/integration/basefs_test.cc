// A shared library, a module that is imported late and a data file are replaced on the machine while the program runs,
// and between checkpoint and restore: the result is the one of a run that nobody disturbed, or the restore is refused
// by name. With a real agent, shim and engine. Needs root.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "agent/agent.h"
#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "base/uuid.h"
#include "engine/criu.h"
#include "pod/shim.h"

namespace cacs::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kLibrary1 = "int linked(int x) { return x + 1; }\n";
constexpr const char* kLibrary2 = "int linked(int x) { return x + 2; }\nint more(void) { return 77; }\n";
constexpr const char* kPlugin1 = "int late(void) { return 100; }\n";
constexpr const char* kPlugin2 = "int late(void) { return 200; }\nint other[5000] = {1};\n";
// Uses its library, waits, then loads a plugin and uses the library again.
constexpr const char* kProgram = R"(
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int linked(int);
int main(int argc, char** argv) {
  (void)argc;
  printf("linked %d\n", linked(1)); fflush(stdout);
  while (access("/go", F_OK) != 0) usleep(20000);
  void* plugin = dlopen(argv[1], RTLD_NOW);
  int (*late)(void) = plugin ? (int (*)(void))dlsym(plugin, "late") : 0;
  printf("late %d linked %d\n", late ? late() : -1, linked(1));
  printf("end\n"); fflush(stdout);
  for (;;) usleep(100000);
}
)";
constexpr const char* kScript = R"(import os, sys, time
import early
print('early', early.VALUE, flush=True)
while not os.path.exists('/go'):
    time.sleep(0.02)
import late, package.inner
print('late', late.VALUE, package.inner.VALUE, open(sys.argv[1]).read().strip())
print('end', flush=True)
while True:
    time.sleep(0.1)
)";

enum class How { kRename, kInPlace };
enum class When { kNever, kWhileRunning, kWithoutRestore, kBeforeRestore };

std::filesystem::path own_program() { return std::filesystem::read_symlink("/proc/self/exe"); }
std::filesystem::path init_program() {
  return own_program().parent_path().parent_path().parent_path() / "bin/cacs-init";
}

class BaseFsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto criu = engine::find_criu();
    ASSERT_TRUE(criu.ok()) << criu.error().to_string();
    // On the machine's own root, where the base is: a mount below it would not be part of it.
    for (auto* path : {&state_, &app_}) {
      std::string pattern = "/var/tmp/cacs-base-XXXXXX";
      ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
      *path = pattern;
    }
    ::chmod(app_.c_str(), 0755);
    AgentOptions options;
    options.state_dir = state_;
    options.mask_dir = state_;
    options.program = own_program();
    options.init_program = init_program();
    options.criu = *criu;
    auto agent = Agent::start(options);
    ASSERT_TRUE(agent.ok()) << agent.error().to_string();
    agent_ = *std::move(agent);
    application_ = new_uuid();
  }

  void TearDown() override {
    if (agent_) {
      EXPECT_TRUE(agent_->delete_pod(uid(), 0).ok());
      agent_->leave();
    }
    agent_.reset();
    EXPECT_TRUE(remove_tree(state_).ok());
    EXPECT_TRUE(remove_tree(app_).ok());
  }

  std::string uid() const { return application_ + ".pod-0"; }
  std::string in_app(const std::string& name) const { return (app_ / name).string(); }

  static void write(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream out(path, std::ios::trunc);
    out << text;
    out.close();
    ASSERT_TRUE(out.good()) << path;
  }

  void compile(const std::string& source, const std::string& name, std::vector<std::string> more) {
    write(in_app("source.c"), source);
    std::vector<std::string> argv{"gcc", "-O1", "-o", in_app(name), in_app("source.c")};
    argv.insert(argv.end(), more.begin(), more.end());
    const auto result = run_command({.argv = argv});
    ASSERT_TRUE(result.ok() && result->status.success()) << (result ? result->err : result.error().to_string());
    std::filesystem::remove(in_app("source.c"));
  }

  static void replace(const std::string& path, const std::string& bytes, How how) {
    if (how == How::kInPlace) {
      write(path, bytes);
      return;
    }
    write(path + ".new", bytes);
    std::filesystem::permissions(path + ".new", std::filesystem::status(path).permissions());
    std::filesystem::rename(path + ".new", path);
  }

  Status put(const std::vector<std::string>& command, const std::string& checkpoint = {}) {
    JsonObject spec{{"application", application_},
                    {"pod", "pod-0"},
                    {"name", "base"},
                    {"incarnation", incarnation_ + 1},
                    {"command", JsonArray(command.begin(), command.end())},
                    {"workdir", app_.string()},
                    {"env", JsonObject{{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"PYTHONDONTWRITEBYTECODE", "1"}}},
                    {"network", JsonObject{{"address", "10.77.0.9"}, {"prefix", 16}, {"egress", false}}}};
    if (!checkpoint.empty()) spec["restore"] = JsonObject{{"checkpoint", checkpoint}};
    const auto answer = agent_->put_pod(uid(), spec);
    if (!answer) return answer.error();
    ++incarnation_;
    return {};
  }

  std::string output() {
    auto pod = agent_->find_pod(uid());
    if (!pod) return "(no pod)";
    const auto text = read_text_file((*pod)->layout().upper() / ".cacs/log/stdout");
    return text ? *text : "";
  }

  bool wait_for_output(const std::string& text, seconds limit = seconds(60)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < end) {
      if (output().find(text) != std::string::npos) return true;
      auto pod = agent_->find_pod(uid());
      if (pod && json_string_or((*pod)->view(), "state", "") == "FAILED") break;
      std::this_thread::sleep_for(milliseconds(50));
    }
    auto pod = agent_->find_pod(uid());
    ADD_FAILURE() << "no '" << text << "' in:\n"
                  << output() << (pod ? boost::json::serialize((*pod)->view()) : std::string());
    return false;
  }

  std::string checkpoint() {
    auto pod = agent_->find_pod(uid());
    EXPECT_TRUE(pod.ok());
    std::string id = new_uuid();
    const auto cut = (*pod)->begin_cut(id, {{"incarnation", incarnation_}, {"deadline_ms", 60000}});
    EXPECT_TRUE(cut.ok()) << cut.error().to_string();
    const auto thawed = (*pod)->thaw(id);
    EXPECT_TRUE(thawed.ok()) << thawed.error().to_string();
    JsonObject view = (*pod)->cut_view(id, milliseconds(0)).value();
    while (json_string_or(view, "phase", "") == "STORING") view = (*pod)->cut_view(id, seconds(30)).value();
    EXPECT_EQ(json_string_or(view, "phase", ""), "STORED") << boost::json::serialize(view);
    const auto committed = agent_->commit_checkpoint(
        id, {{"application", application_},
             {"incarnation", incarnation_},
             {"pods", JsonArray{JsonObject{{"uid", uid()}, {"piece", json_string_or(view, "piece", "")}}}}});
    EXPECT_TRUE(committed.ok()) << committed.error().to_string();
    return id;
  }

  /// Lets the program go on to what it does late.
  void go() {
    const auto pod = agent_->find_pod(uid());
    const auto done = (*pod)->exec({{"command", JsonArray{"touch", "/go"}}});
    ASSERT_TRUE(done.ok()) << done.error().to_string();
  }

  void wait_until_kept() {
    const auto keeper = (*agent_->find_pod(uid()))->base();
    ASSERT_NE(keeper, nullptr);
    ASSERT_TRUE(keeper->settle(seconds(120)));
  }

  /// Runs to the end with the replacement made at some time, and returns what it printed.
  std::string run(const std::vector<std::string>& command, const std::string& ready, When when,
                  const std::function<void()>& replacement) {
    const Status started = put(command);
    EXPECT_TRUE(started.ok());
    if (!wait_for_output(ready)) return "";
    wait_running();
    wait_until_kept();
    if (when == When::kWhileRunning) replacement();
    if (when == When::kWithoutRestore) {
      replacement();
      wait_until_kept();
      go();
      wait_for_output("end\n");
      return output();
    }
    const std::string saved = checkpoint();
    if (when == When::kBeforeRestore) {
      EXPECT_TRUE(agent_->delete_pod(uid(), 0).ok());
      replacement();
    }
    const Status restored = put(command, saved);
    EXPECT_TRUE(restored.ok()) << restored.error().to_string();
    if (!restored.ok() || !wait_for_output(ready)) return "";
    wait_running();
    go();
    wait_for_output("end\n");
    return output();
  }

  void wait_running() {
    const auto end = std::chrono::steady_clock::now() + seconds(60);
    std::string state;
    while (std::chrono::steady_clock::now() < end) {
      state = json_string_or((*agent_->find_pod(uid()))->view(), "state", "");
      if (state != "CREATING") break;
      std::this_thread::sleep_for(milliseconds(50));
    }
    ASSERT_EQ(state, "RUNNING") << boost::json::serialize((*agent_->find_pod(uid()))->view());
  }

  void make_program() {
    compile(kPlugin2, "plugin2.so", {"-shared", "-fPIC"});
    compile(kLibrary2, "lib2.so", {"-shared", "-fPIC"});
    plugin2_ = read_text_file(in_app("plugin2.so")).value();
    library2_ = read_text_file(in_app("lib2.so")).value();
    compile(kPlugin1, "libplugin.so", {"-shared", "-fPIC"});
    compile(kLibrary1, "libown.so", {"-shared", "-fPIC"});
    compile(kProgram, "program", {"-L" + app_.string(), "-lown", "-Wl,-rpath," + app_.string()});
  }

  void make_script() {
    write(in_app("main.py"), kScript);
    write(in_app("early.py"), "VALUE = 'e1'\n");
    write(in_app("late.py"), "VALUE = 'l1'\n");
    write(in_app("package/__init__.py"), "");
    write(in_app("package/inner.py"), "VALUE = 'i1'\n");
    write(in_app("data.txt"), "data one\n");
  }

  void replace_script(How how) {
    replace(in_app("late.py"), "VALUE = 'l2 other'\n", how);
    replace(in_app("package/inner.py"), "VALUE = 'i2'\n", how);
    replace(in_app("data.txt"), "data two, and more\n", how);
  }

  void check_program(When when, How how) {
    make_program();
    const std::string text = run({in_app("program"), in_app("libplugin.so")}, "linked 2\n", when, [&] {
      replace(in_app("libplugin.so"), plugin2_, how);
      // What is overwritten in place while it is mapped changes under any program: nothing can be promised then.
      if (how == How::kRename || when == When::kBeforeRestore) replace(in_app("libown.so"), library2_, how);
    });
    EXPECT_EQ(text, "linked 2\nlate 100 linked 2\nend\n");
  }

  void check_script(When when, How how) {
    make_script();
    const std::string text =
        run({"python3", in_app("main.py"), in_app("data.txt")}, "early e1\n", when, [&] { replace_script(how); });
    EXPECT_EQ(text, "early e1\nlate l1 i1 data one\nend\n");
  }

  std::filesystem::path state_;
  std::filesystem::path app_;
  std::string application_;
  int incarnation_ = 0;
  std::string plugin2_;
  std::string library2_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(BaseFsTest, UndisturbedProgram) { check_program(When::kNever, How::kRename); }
TEST_F(BaseFsTest, LibrariesReplacedWhileItRuns) { check_program(When::kWhileRunning, How::kRename); }
TEST_F(BaseFsTest, LibrariesReplacedAndLoadedInTheSameRun) { check_program(When::kWithoutRestore, How::kRename); }
TEST_F(BaseFsTest, LibraryOverwrittenWhileItRuns) { check_program(When::kWhileRunning, How::kInPlace); }
TEST_F(BaseFsTest, LibrariesReplacedBeforeTheRestore) { check_program(When::kBeforeRestore, How::kRename); }
TEST_F(BaseFsTest, LibrariesOverwrittenBeforeTheRestore) { check_program(When::kBeforeRestore, How::kInPlace); }
TEST_F(BaseFsTest, UndisturbedScript) { check_script(When::kNever, How::kRename); }
TEST_F(BaseFsTest, ModulesAndDataReplacedWhileItRuns) { check_script(When::kWhileRunning, How::kRename); }
TEST_F(BaseFsTest, ModulesAndDataReplacedAndReadInTheSameRun) { check_script(When::kWithoutRestore, How::kRename); }
TEST_F(BaseFsTest, ModulesAndDataOverwrittenAndReadInTheSameRun) { check_script(When::kWithoutRestore, How::kInPlace); }
TEST_F(BaseFsTest, ModulesAndDataOverwrittenWhileItRuns) { check_script(When::kWhileRunning, How::kInPlace); }
TEST_F(BaseFsTest, ModulesAndDataReplacedBeforeTheRestore) { check_script(When::kBeforeRestore, How::kRename); }
TEST_F(BaseFsTest, ModulesAndDataOverwrittenBeforeTheRestore) { check_script(When::kBeforeRestore, How::kInPlace); }

TEST_F(BaseFsTest, WhatWasNotKeptIsNamedWhenTheRestoreIsRefused) {
  // Larger than everything that is kept of one application's base: only its digest is known.
  const std::string large = in_app("large.dat");
  write(large, "begin\n");
  ASSERT_EQ(::truncate(large.c_str(), off_t{600} << 20U), 0);
  make_script();
  const std::vector<std::string> command{"python3", in_app("main.py"), large};
  ASSERT_TRUE(put(command).ok());
  ASSERT_TRUE(wait_for_output("early e1\n"));
  wait_running();
  const std::string saved = checkpoint();
  const auto explained = [&] {
    JsonObject object;
    (*agent_->find_pod(uid()))->add_base_warnings(object);
    return boost::json::serialize(object);
  }();
  EXPECT_NE(explained.find("large.dat"), std::string::npos) << explained;
  replace(large, "other\n", How::kRename);
  const Status refused = put(command, saved);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().type, "base-changed");
  EXPECT_NE(refused.error().message.find(large), std::string::npos) << refused.error().to_string();
  // Nothing was torn down.
  EXPECT_EQ(json_string_or((*agent_->find_pod(uid()))->view(), "state", ""), "RUNNING");
}

/// The shim is another process, with a program of its own: this one.
int shim_main(int argc, char** argv) {
  pod::ShimOptions options;
  for (int i = 2; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--adopt") {
      options.adopt = true;
      continue;
    }
    if (i + 1 >= argc) return 2;
    const std::string value = argv[++i];
    if (name == "--dir") options.layout.dir = value;
    if (name == "--delta") options.layout.delta = value;
    if (name == "--state") options.state_dir = value;
    if (name == "--init") options.init_program = value;
    if (name == "--criu") options.criu = value;
    if (name == "--mask") options.mask_dir = value;
  }
  return pod::run_shim(options);
}

}  // namespace
}  // namespace cacs::agent

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "shim") return cacs::agent::shim_main(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
