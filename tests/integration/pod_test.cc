// One pod with its shim, the real engine and real programs: start, save, kill, bring back. Needs root and an engine.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "base/uuid.h"
#include "engine/criu.h"
#include "pod/shim.h"
#include "pod/shim_client.h"

namespace cacs::pod {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Events of one shim, to be waited for.
class Events {
 public:
  void add(const JsonObject& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
  }
  /// The first event of this name that has not been taken yet.
  JsonObject take(const std::string& name, milliseconds limit = seconds(30)) {
    std::unique_lock lock(mutex_);
    JsonObject found;
    const bool came = changed_.wait_for(lock, limit, [&] {
      for (auto event = events_.begin(); event != events_.end(); ++event) {
        if (json_string_or(*event, "event", "") != name) continue;
        found = *event;
        events_.erase(event);
        return true;
      }
      return false;
    });
    EXPECT_TRUE(came) << "no event " << name;
    return found;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<JsonObject> events_;
};

const std::string kTicks =
    "for i in range(10000):\n"
    "    print('tick', i, flush=True)\n"
    "    time.sleep(0.05)\n";

class PodTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto criu = engine::find_criu();
    ASSERT_TRUE(criu.ok()) << criu.error().to_string();
    criu_ = *criu;
    std::string pattern = "/tmp/cacs-pod-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    state_ = pattern;
    spec_.application = new_uuid();
    spec_.pod = "pod-0";
    spec_.incarnation = 1;
    spec_.egress = false;
  }

  void TearDown() override {
    if (client_) {
      const auto destroyed = client_->call({{"op", "destroy"}});
      EXPECT_TRUE(destroyed.ok()) << destroyed.error().to_string();
    }
    client_.reset();
    EXPECT_TRUE(remove_tree(state_).ok());
  }

  PodLayout layout() const { return {state_ / "pods" / spec_.uid(), state_ / "delta" / spec_.uid()}; }

  void start_shim(bool adopt = false) {
    const PodLayout where = layout();
    for (const auto& dir : {where.dir, where.delta, where.staging(), where.dir / "images"}) {
      ASSERT_TRUE(make_directories(dir).ok());
    }
    std::error_code ignored;
    std::filesystem::remove(where.notify_program(), ignored);
    std::filesystem::create_symlink(init_program(), where.notify_program());
    ASSERT_TRUE(write_file_durably(where.spec(), boost::json::serialize(pod_spec_to_json(spec_))).ok());
    ASSERT_EQ(run_shim({where, state_, state_, init_program(), criu_, adopt}), 0);
    auto client = ShimClient::connect(where, [this](const JsonObject& event) { events_.add(event); });
    ASSERT_TRUE(client.ok()) << client.error().to_string();
    client_ = *std::move(client);
  }

  JsonObject call(JsonObject message, seconds limit = seconds(60)) {
    auto answer = client_->call(std::move(message), limit);
    EXPECT_TRUE(answer.ok()) << answer.error().to_string();
    return answer ? *answer : JsonObject{};
  }

  std::filesystem::path cut(const std::string& checkpoint, bool thaw = true) {
    const auto images = layout().images(checkpoint);
    EXPECT_TRUE(make_directories(images).ok());
    call({{"op", "cut"}, {"checkpoint", checkpoint}, {"images", images.string()}, {"deadline_ms", 60000}});
    events_.take("cut_frozen");
    events_.take("cut_prepared");
    // Stands in for the delta's capture, which has its own tests: a whole copy while everything is frozen.
    const auto copied = run_command({.argv = {"cp", "-a", layout().upper().string(), images.string() + ".upper"}});
    EXPECT_TRUE(copied.ok() && copied->status.success());
    call({{"op", thaw ? "thaw" : "abort"}});
    timings_ = events_.take(thaw ? "cut_done" : "cut_aborted");
    return images;
  }

  /// Of a cut that the engine refuses: why.
  std::string refused_cut(const std::string& checkpoint) {
    const auto images = layout().images(checkpoint);
    EXPECT_TRUE(make_directories(images).ok());
    call({{"op", "cut"}, {"checkpoint", checkpoint}, {"images", images.string()}, {"deadline_ms", 60000}});
    const JsonObject failed = events_.take("cut_failed");
    const JsonObject* const error = json_find_object(failed, "error");
    return error == nullptr ? boost::json::serialize(failed) : error_from_json(*error).to_string();
  }

  /// A new incarnation from what was cut.
  void restore(const std::filesystem::path& images) {
    call({{"op", "destroy"}});
    client_.reset();
    ASSERT_TRUE(remove_tree(layout().upper()).ok());
    ASSERT_TRUE(remove_tree(layout().work()).ok());
    const auto copied = run_command({.argv = {"cp", "-a", images.string() + ".upper", layout().upper().string()}});
    ASSERT_TRUE(copied.ok() && copied->status.success());
    spec_.incarnation++;
    spec_.restore_checkpoint = new_uuid();
    start_shim();
    call({{"op", "prepare"}});
    call({{"op", "restore"}, {"images", images.string()}});
  }

  std::string log_text() const { return read_text_file(layout().upper() / ".cacs/log/stdout").value(); }

  /// Waits until the program has printed `text` (its output file changes: no event for that from outside an overlay).
  bool wait_for_output(const std::string& text, seconds limit = seconds(20)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < end) {
      if (log_text().find(text) != std::string::npos) return true;
      ::usleep(20'000);
    }
    return false;
  }

  static std::filesystem::path init_program() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().parent_path() / "bin/cacs-init";
  }

  static std::string program(const std::string& name) {
    return init_program().parent_path().parent_path() / "programs" / name;
  }

  std::filesystem::path state_;
  std::filesystem::path criu_;
  PodSpec spec_;
  Events events_;
  JsonObject timings_;
  std::unique_ptr<ShimClient> client_;
};

TEST_F(PodTest, RunsAProgramAndKeepsItsExitCode) {
  spec_.command = {"sh", "-c", "echo hello; hostname; exit 7"};
  start_shim();
  call({{"op", "start"}});
  const auto exited = events_.take("exited");
  const auto exit = PodExit::from_json(*json_find_object(exited, "exit"));
  EXPECT_EQ(exit.kind, PodExit::Kind::kExited);
  EXPECT_EQ(exit.code, 7);
  EXPECT_EQ(log_text(), "hello\npod-0\n");
}

TEST_F(PodTest, ACommandThatDoesNotExistIsNamed) {
  spec_.command = {"no-such-program"};
  start_shim();
  const auto answer = client_->call({{"op", "start"}});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().type, "command-not-found");
  EXPECT_NE(answer.error().message.find("no-such-program"), std::string::npos);
}

TEST_F(PodTest, SavedKilledAndBroughtBack) {
  spec_.command = {"python3", "-u", "-c",
                   "import time\n"
                   "i = 0\n"
                   "while True:\n"
                   "    print('tick', i, flush=True)\n"
                   "    i += 1\n"
                   "    time.sleep(0.05)\n"};
  start_shim();
  call({{"op", "start"}});
  ASSERT_TRUE(wait_for_output("tick 5\n"));
  const auto images = cut("c1");
  const std::string saved = read_text_file(images.string() + ".upper/.cacs/log/stdout").value();
  ASSERT_TRUE(wait_for_output("tick " + std::to_string(split(saved, '\n').size() + 10) + "\n"));
  restore(images);
  ASSERT_TRUE(wait_for_output("tick " + std::to_string(split(saved, '\n').size() + 5) + "\n"));
  int expected = 0;
  for (const auto& line : split(trim(log_text()), '\n')) EXPECT_EQ(line, "tick " + std::to_string(expected++));
}

TEST_F(PodTest, AUnixSocketThatIsConnectedWithOneOutsideIsRefusedByName) {
  const auto shared = state_ / "shared";
  ASSERT_TRUE(make_directories(shared).ok());
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  const std::string path = (shared / "socket").string();
  ASSERT_LT(path.size(), sizeof at.sun_path);
  path.copy(at.sun_path, path.size());
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  spec_.mounts = {{.source = shared.string(), .target = "/shared"}};
  spec_.reset_external_connections = true;
  spec_.command = {"python3", "-c",
                   "import socket, time\n"
                   "s = socket.socket(socket.AF_UNIX)\n"
                   "s.connect('/shared/socket')\n" +
                       kTicks};
  start_shim();
  call({{"op", "start"}});
  ASSERT_TRUE(wait_for_output("tick 1\n"));
  constexpr std::string_view kWhy = "a unix socket with a process outside the pod";
  std::string why = refused_cut("c1");
  EXPECT_NE(why.find(kWhy), std::string::npos) << why;
  const UniqueFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted.valid());
  why = refused_cut("c2");
  EXPECT_NE(why.find(kWhy), std::string::npos) << why;
  EXPECT_NE(why.find(path), std::string::npos) << why;
  ASSERT_TRUE(wait_for_output("tick " + std::to_string(split(log_text(), '\n').size() + 5) + "\n"));
}

TEST_F(PodTest, AConnectionThatNobodyHasAcceptedIsRefusedByName) {
  spec_.command = {"python3", "-c",
                   "import socket, time\n"
                   "l = socket.create_server(('127.0.0.1', 7000))\n"
                   "c = socket.create_connection(('127.0.0.1', 7000))\n" +
                       kTicks};
  start_shim();
  call({{"op", "start"}});
  ASSERT_TRUE(wait_for_output("tick 1\n"));
  const std::string why = refused_cut("c1");
  EXPECT_NE(why.find("a connection waits to be accepted"), std::string::npos) << why;
  ASSERT_TRUE(wait_for_output("tick " + std::to_string(split(log_text(), '\n').size() + 5) + "\n"));
}

/// As many as meet: in which order the engine makes the two ends of one is not ours to say.
TEST_F(PodTest, ConnectionsInsideWithFullBuffersAreBroughtBack) {
  const std::string stream = program("stream");
  std::string script;
  for (int port = 7001; port <= 7004; ++port) {
    const std::string ends = std::to_string(port) + " 24";
    script += stream + " serve " + ends + " & " + stream + " connect 127.0.0.1 " + ends + " & ";
  }
  spec_.command = {"sh", "-c", script + "wait"};
  start_shim();
  call({{"op", "start"}});
  ASSERT_TRUE(wait_for_output("connect: 3 MiB\n"));
  const auto images = cut("c1");
  restore(images);
  ASSERT_FALSE(HasFailure());
  events_.take("exited");  // of what was saved
  events_.take("exited", seconds(120));
  const std::string out = log_text() + read_text_file(layout().upper() / ".cacs/log/stderr").value();
  for (const std::string side : {"serve", "connect"}) {
    std::size_t ended = 0;
    for (const auto& line : split(out, '\n')) ended += line == side + ": result ok" ? 1U : 0U;
    EXPECT_EQ(ended, 4U) << side << "\n" << out;
  }
}

TEST_F(PodTest, AnAbortedCutLeavesTheProgramRunning) {
  spec_.command = {"sh", "-c", "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.05; done"};
  start_shim();
  call({{"op", "start"}});
  ASSERT_TRUE(wait_for_output("tick 3\n"));
  cut("c1", false);
  const auto count = split(log_text(), '\n').size();
  EXPECT_TRUE(wait_for_output("tick " + std::to_string(count + 3) + "\n"));
  cut("c2");
}

TEST_F(PodTest, AKilledEngineTaintsThePod) {
  spec_.command = {"python3", "-c",
                   "import time\nx = bytearray(400 << 20)\nprint('ready', flush=True)\ntime.sleep(1000)"};
  start_shim();
  call({{"op", "start"}});
  ASSERT_TRUE(wait_for_output("ready"));
  const auto images = layout().images("c1");
  ASSERT_TRUE(make_directories(images).ok());
  call({{"op", "cut"}, {"checkpoint", "c1"}, {"images", images.string()}, {"deadline_ms", 60000}});
  events_.take("cut_frozen");
  const auto found = run_command({.argv = {"pgrep", "-f", images.string()}});
  ASSERT_TRUE(found.ok());
  for (const auto& pid : split(trim(found->out), '\n'))
    ::kill(static_cast<pid_t>(std::strtol(pid.c_str(), nullptr, 10)), SIGKILL);
  events_.take("tainted");
  events_.take("exited");
}

TEST_F(PodTest, AShimThatDiesIsReplacedAndThePodRunsOn) {
  spec_.command = {"sh", "-c", "i=0; while [ $i -lt 60 ]; do echo tick $i; i=$((i+1)); sleep 0.05; done; exit 5"};
  start_shim();
  call({{"op", "start"}});
  ASSERT_TRUE(wait_for_output("tick 3\n"));
  const auto state = parse_json_object(read_text_file(layout().shim_state()).value(), "x").value();
  ASSERT_EQ(::kill(static_cast<pid_t>(json_int(state, "pid").value()), SIGKILL), 0);
  events_.take("lost");
  client_.reset();
  start_shim(true);
  cut("c1");
  const auto exited = events_.take("exited");
  EXPECT_EQ(PodExit::from_json(*json_find_object(exited, "exit")).code, 5);
}

/// A pod whose program saves itself: the shim has only to have it stand still, and never for ever.
class FrozenPodTest : public PodTest {
 protected:
  void start_counting() {
    spec_.command = {"sh", "-c", "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.02; done"};
    spec_.engine = "app";
    spec_.self_saving = SelfSaving{.file = "/save", .files = {"/state"}};
    start_shim();
    call({{"op", "start"}});
    ASSERT_TRUE(wait_for_output("tick 3\n"));
  }
  void freeze(int deadline_ms = 60'000) {
    call({{"op", "cut"}, {"checkpoint", "c1"}, {"deadline_ms", deadline_ms}});
    events_.take("cut_frozen");
    events_.take("cut_prepared");
  }
  void expect_stands_still() {
    const std::string before = log_text();
    ::usleep(200'000);
    EXPECT_EQ(log_text(), before);
  }
  void expect_runs() {
    EXPECT_TRUE(wait_for_output("tick " + std::to_string(split(log_text(), '\n').size() + 5) + "\n"));
  }
  void kill_shim() {
    const auto state = parse_json_object(read_text_file(layout().shim_state()).value(), "x").value();
    ASSERT_EQ(::kill(static_cast<pid_t>(json_int(state, "pid").value()), SIGKILL), 0);
    events_.take("lost");
    client_.reset();
  }
};

TEST_F(FrozenPodTest, StandsStillUntilItIsThawedOrAborted) {
  start_counting();
  freeze();
  expect_stands_still();
  call({{"op", "thaw"}});
  events_.take("cut_done");
  expect_runs();
  freeze();
  expect_stands_still();
  EXPECT_FALSE(client_->call({{"op", "cut"}, {"checkpoint", "c2"}}).ok()) << "one at a time";
  call({{"op", "abort"}});
  events_.take("cut_aborted");
  expect_runs();
}

TEST_F(FrozenPodTest, RunsAgainByItselfAtTheDeadline) {
  start_counting();
  freeze(500);
  const auto aborted = events_.take("cut_aborted");
  EXPECT_NE(boost::json::serialize(aborted).find("deadline"), std::string::npos);
  expect_runs();
  EXPECT_FALSE(client_->call({{"op", "thaw"}}).ok()) << "there is nothing to thaw any more";
}

TEST_F(FrozenPodTest, RunsAgainWhenItsAgentIsGone) {
  start_counting();
  freeze();
  client_.reset();
  expect_runs();
  auto client = ShimClient::connect(layout(), [this](const JsonObject& event) { events_.add(event); });
  ASSERT_TRUE(client.ok());
  client_ = *std::move(client);
  freeze();
  call({{"op", "thaw"}});
}

TEST_F(FrozenPodTest, RunsAgainWhenItsShimWasKilled) {
  start_counting();
  freeze();
  kill_shim();
  expect_stands_still();
  start_shim(true);
  expect_runs();
  EXPECT_FALSE(json_bool_or(call({{"op", "status"}}), "tainted", true)) << "no engine was at work on it";
}

TEST_F(FrozenPodTest, GoesWhileItStandsStill) {
  start_counting();
  freeze();
  call({{"op", "destroy"}});
  client_.reset();
}

}  // namespace
}  // namespace cacs::pod
