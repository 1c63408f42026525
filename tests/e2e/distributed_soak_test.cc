// An MPI job over two nodes, saved every few seconds, while a seeded loop kills anything of it and of the service, and
// cuts nodes off. It always ends with the right answer, and no checkpoint that was there is lost. CACS_SOAK_ROUNDS and
// CACS_SOAK_SEED steer it; scripts/soak.sh runs the long form.

#include <unistd.h>

#include <csignal>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/held_fd.h"
#include "base/io.h"
#include "base/text.h"
#include "cloud/local/local_network.h"
#include "e2e/melt.h"
#include "e2e/service.h"
#include "net/netlink.h"

namespace cacs::e2e {
namespace {

using std::chrono::milliseconds;

constexpr int kNodes = 2;
constexpr int kPods = 4;
constexpr int kKeep = 4;
constexpr int kBlocks = 60;

std::uint64_t number_from_env(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

class DistributedSoakTest : public ServiceTest {
 protected:
  void make_place() override { server_arguments_ = {"--local-nodes", std::to_string(kNodes)}; }

  void SetUp() override {
    ServiceTest::SetUp();
    if (IsSkipped()) return;
    rounds_ = static_cast<int>(number_from_env("CACS_SOAK_ROUNDS", 8));
    seed_ = number_from_env("CACS_SOAK_SEED", 20120917);
    random_.seed(seed_);
    std::printf("soak of an MPI job: %d rounds, seed %llu\n", rounds_, static_cast<unsigned long long>(seed_));
    const auto reference = run_melt(dir_ / "in.melt", kBlocks);
    ASSERT_TRUE(reference.ok()) << reference.error().to_string();
    reference_ = thermo(*reference);
    ASSERT_GT(reference_.size(), 500U);
  }

  void start_job() {
    id_ =
        submit({{"command", JsonArray{"mpirun", "-np", "4", "lmp", "-in", "/job/in.melt", "-log", "none"}},
                {"env", JsonObject{{"OMP_NUM_THREADS", "1"}}},
                {"files", JsonArray{JsonObject{{"path", "/job/in.melt"}, {"content", melt_in_blocks(kBlocks, "0.5")}}}},
                {"workdir", "/job"},
                {"pods", kPods},
                {"nodes", JsonObject{{"count", kNodes}}},
                {"checkpoint", JsonObject{{"interval", "3s"}, {"keep", kKeep}}},
                {"recovery", JsonObject{{"max_attempts", 1000}, {"restart_on", JsonArray{"signal", "oom", 137}}}}});
    committed_.clear();
    history("submitted " + id_);
  }

  int pick(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }
  void nap(int from_ms, int to_ms) { std::this_thread::sleep_for(milliseconds(pick(from_ms, to_ms))); }
  void history(const std::string& what) {
    const auto since = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun_);
    std::printf("  %lld ms, round %d: %s\n", static_cast<long long>(since.count()), round_, what.c_str());
    std::fflush(stdout);
  }

  std::filesystem::path node(int index) { return dir_ / "state/nodes" / cloud::LocalNetwork::node_name(index); }

  static pid_t pid_in(const std::filesystem::path& file) {
    const auto text = read_text_file(file, 4096);
    const auto object = text ? parse_json_object(*text, file.string()) : Result<JsonObject>(text.error());
    const auto identity = object ? identity_from_json(*object) : Result<ProcessIdentity>(object.error());
    return identity && open_process(*identity) ? identity->pid : 0;
  }
  std::filesystem::path pod(int index) {
    return node(index * kNodes / kPods) / "pods" / (id_ + ".pod-" + std::to_string(index));
  }

  bool kill_one(const std::string& kind, pid_t pid) {
    if (pid <= 0 || ::kill(pid, SIGKILL) != 0) return false;
    ++counts_[kind];
    history("killed " + kind + " " + std::to_string(pid));
    return true;
  }
  bool kill_named(const std::string& kind, const std::string& comm) {
    const auto pids = processes_of(id_, comm);
    if (pids.empty()) return false;
    return kill_one(kind, pids[static_cast<std::size_t>(pick(0, static_cast<int>(pids.size()) - 1))]);
  }
  /// An engine at work anywhere, if one shows itself in time.
  bool kill_engine() {
    const auto end = std::chrono::steady_clock::now() + milliseconds(4000);
    while (std::chrono::steady_clock::now() < end) {
      for (const pid_t pid : processes_of_service()) {
        const auto comm = read_text_file("/proc/" + std::to_string(pid) + "/comm", 64);
        if (!comm || trim(*comm) != "criu") continue;
        nap(0, 80);
        return kill_one("criu", pid);
      }
      std::this_thread::sleep_for(milliseconds(5));
    }
    return false;
  }

  void cut_off(int index, milliseconds time) {
    const auto agent = agent_of(node(index));
    const auto router =
        agent ? borrow_fd(*agent, cloud::LocalNetwork::kRouterFd) : make_error(ErrorCode::kNotFound, "no agent now");
    if (!router.ok()) return;
    const auto set = [&](bool up) {
      return net::in_network(router->get(), [&]() -> Status {
        CACS_ASSIGN(net::Netlink links, net::Netlink::open());
        const std::string port = cloud::LocalNetwork::node_name(index);
        return up ? links.set_up(port) : links.set_down(port);
      });
    };
    ASSERT_TRUE(set(false).ok());
    ++counts_["cut-off"];
    history("cut off " + cloud::LocalNetwork::node_name(index) + " for " + std::to_string(time.count()) + " ms");
    std::this_thread::sleep_for(time);
    const Status up = set(true);
    ASSERT_TRUE(up.ok()) << up.error().to_string();
  }

  void do_something() {
    const int chosen = pick(0, kPods - 1);
    switch (pick(0, 8)) {
      case 0:
        kill_server();
        ++counts_["server"];
        history("killed server");
        nap(0, 400);
        start_server();
        break;
      case 1:
        kill_one("agent", pid_in(node(pick(0, kNodes - 1)) / "agent.pid"));
        break;
      case 2:
        kill_one("shim", pid_in(pod(chosen) / "shim.json"));
        break;
      case 3:
        kill_named("rank", "lmp");
        break;
      case 4:
        kill_one("init", pid_in(pod(chosen) / "init.json"));
        break;
      case 5:
        kill_engine();
        break;
      case 6:
        kill_one("agent", pid_in(node(chosen * kNodes / kPods) / "agent.pid"));
        kill_one("shim", pid_in(pod(chosen) / "shim.json"));
        break;
      case 7:
        kill_named("launcher", "mpirun");
        break;
      default:
        cut_off(pick(0, kNodes - 1), milliseconds(pick(0, 1) == 0 ? pick(50, 2000) : pick(2000, 12'000)));
    }
  }

  void look() {
    const std::string state = state_of(id_);
    EXPECT_NE(state, "ERROR") << boost::json::serialize(application(id_)) << output(id_, "stderr");
    std::set<std::string> now;
    for (const auto& one : checkpoints(id_)) {
      if (json_string_or(one, "state", "") == "AVAILABLE") now.insert(json_string_or(one, "id", ""));
    }
    for (const auto& id : committed_) {
      const auto newer = std::ranges::count_if(now, [&](const std::string& other) { return other > id; });
      EXPECT_TRUE(now.contains(id) || newer >= kKeep) << "checkpoint " << id << " was there and is gone";
    }
    committed_ = now;
  }

  void finish() {
    wait_state(id_, "COMPLETED", std::chrono::seconds(240));
    std::string text;
    wait_until([&] { return (text = thermo(output(id_))) == reference_; }, std::chrono::seconds(20));
    EXPECT_EQ(text, reference_) << "the result is not that of an undisturbed run";
    look();
    must("DELETE", "/coordinators/" + id_);
    EXPECT_TRUE(wait_until([&] {
      auto gone = request("GET", "/coordinators/" + id_);
      return gone && gone->status == 404;
    }));
    EXPECT_TRUE(processes_of(id_).empty()) << "a process is left";
    ++finished_;
    history("finished and deleted " + id_);
  }

  std::string summary() {
    std::string text = "SOAK seed " + std::to_string(seed_) + " rounds " + std::to_string(round_) + " applications " +
                       std::to_string(finished_) + " violations " + (HasFailure() ? "1" : "0") + " kills";
    for (const auto& [kind, count] : counts_) text += " " + kind + "=" + std::to_string(count);
    return text;
  }

  int rounds_ = 0;
  int round_ = 0;
  int finished_ = 0;
  std::uint64_t seed_ = 0;
  std::mt19937_64 random_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::string reference_;
  std::string id_;
  std::set<std::string> committed_;
  std::map<std::string, int> counts_;
};

TEST_F(DistributedSoakTest, TheJobAlwaysEndsWithTheRightAnswer) {
  start_job();
  while (round_ < rounds_ && !HasFailure()) {
    ++round_;
    nap(200, 5000);
    do_something();
    look();
    if (state_of(id_) != "COMPLETED") continue;
    finish();
    start_job();
  }
  if (!HasFailure()) finish();
  std::printf("%s\n", summary().c_str());
}

}  // namespace
}  // namespace cacs::e2e
