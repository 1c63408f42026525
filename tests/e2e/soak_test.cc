// The bar of the project: whatever is killed, whenever, nothing committed is lost or wrong and nothing leaks. A seeded
// loop over applications that check their own arithmetic and files; each round kills or asks something at random, then
// what must hold is looked at. CACS_SOAK_ROUNDS and CACS_SOAK_SEED steer it; scripts/soak.sh runs the long form.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/io.h"
#include "base/text.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

constexpr int kKeep = 4;

std::uint64_t number_from_env(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string read_proc(pid_t pid, const std::string& file) {
  auto text = read_text_file("/proc/" + std::to_string(pid) + "/" + file, std::size_t{1} << 20U);
  return text ? *text : std::string();
}

bool is_zombie(pid_t pid) { return read_proc(pid, "stat").find(") Z ") != std::string::npos; }

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string text = read_proc(pid, "task/" + std::to_string(pid) + "/children");
  for (const auto& word : split(text, ' ')) {
    const auto child = static_cast<pid_t>(std::strtol(word.c_str(), nullptr, 10));
    if (child > 0) children.push_back(child);
  }
  return children;
}

/// Everything below a directory that others change meanwhile: what vanishes is passed over.
void walk(const std::filesystem::path& directory, const std::function<void(const std::filesystem::path&)>& visit) {
  std::error_code problem;
  std::vector<std::filesystem::path> below;
  for (auto it = std::filesystem::directory_iterator(directory, problem);
       !problem && it != std::filesystem::directory_iterator(); it.increment(problem)) {
    below.push_back(it->path());
  }
  for (const auto& path : below) {
    visit(path);
    if (std::filesystem::is_directory(std::filesystem::symlink_status(path, problem))) walk(path, visit);
  }
}

class SoakTest : public ServiceTest {
 protected:
  /// An application under test and what was ever promised about it.
  struct App {
    std::string id;
    std::set<std::string> committed;  ///< seen AVAILABLE, and not asked to be deleted
    std::set<std::string> deleted;    ///< the deletion was asked for
    int just_deleted = 0;  ///< since the last look: may have been among those that made `keep` retire another
    std::set<std::string> verified;
    std::set<std::string> exempt;  ///< a user asked for it, or for a restart from it: never retired by `keep`
  };

  void SetUp() override {
    ServiceTest::SetUp();
    if (IsSkipped()) return;
    rounds_ = static_cast<int>(number_from_env("CACS_SOAK_ROUNDS", 12));
    seed_ = number_from_env("CACS_SOAK_SEED", 20120917);
    random_.seed(seed_);
    std::printf("soak: %d rounds, seed %llu\n", rounds_, static_cast<unsigned long long>(seed_));
    net::ClientOptions options;
    options.unix_socket = dir_ / "state/nodes/local-0/agent.sock";
    agent_ = std::make_unique<net::HttpClient>(options);
    auto reference = run_command({.argv = worker((dir_ / "reference").string(), "0"), .cwd = "/tmp"});
    ASSERT_TRUE(reference.ok() && reference->status.success());
    reference_ = reference->out;
  }

  void TearDown() override {
    const std::string dir = dir_.string();
    ServiceTest::TearDown();
    if (dir.empty()) return;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/block")) {
      const auto backing = read_text_file(entry.path() / "loop/backing_file", 4096);
      EXPECT_FALSE(backing && backing->find(dir) != std::string::npos) << "a loop device is left: " << entry.path();
    }
  }

  static std::vector<std::string> worker(const std::string& dir, const std::string& pause) {
    return {program("worker"), "300", dir, pause};
  }

  int pick(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }
  void nap(int from_ms, int to_ms) { std::this_thread::sleep_for(std::chrono::milliseconds(pick(from_ms, to_ms))); }

  void start_application() {
    const auto argv = worker("/work", "20");
    App app;
    app.id = submit({{"command", JsonArray(argv.begin(), argv.end())},
                     {"checkpoint", JsonObject{{"interval", "1s"}, {"keep", kKeep}}},
                     {"recovery", JsonObject{{"max_attempts", 1000}}}});
    history("submitted " + app.id);
    const std::lock_guard lock(observed_mutex_);
    apps_.push_back(std::move(app));
  }

  void history(const std::string& what) {
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun_);
    const std::string line = std::to_string(since.count()) + " ms, round " + std::to_string(round_) + ": " + what;
    std::printf("  %s\n", line.c_str());
    std::fflush(stdout);
  }

  // What is killed.

  /// The pid in a JSON file of the state directory, 0 if there is none now.
  pid_t pid_in(const std::string& file) {
    const auto text = read_text_file(dir_ / "state/nodes/local-0" / file, 4096);
    const auto object = text ? parse_json_object(*text, file) : Result<JsonObject>(text.error());
    return object ? static_cast<pid_t>(json_int_or(*object, "pid", 0)) : 0;
  }
  pid_t shim_of(const App& app) {
    const pid_t pid = pid_in("pods/" + app.id + ".pod-0/shim.json");
    return pid > 0 && read_proc(pid, "cmdline").find(dir_.string()) != std::string::npos ? pid : 0;
  }
  /// An engine that is at work on the pod: `dump` or `restore`.
  pid_t engine_of(const App& app, const std::string& verb) {
    const pid_t shim = shim_of(app);
    if (shim == 0) return 0;
    for (const pid_t child : children_of(shim)) {
      const std::string command = read_proc(child, "cmdline");
      if (command.find("criu") != std::string::npos && command.find(verb) != std::string::npos) return child;
    }
    return 0;
  }
  pid_t egress_of(const App& app) {
    const pid_t shim = shim_of(app);
    for (const pid_t child : shim == 0 ? std::vector<pid_t>() : children_of(shim)) {
      if (read_proc(child, "cmdline").starts_with("slirp4netns")) return child;
    }
    return 0;
  }

  bool kill_one(const std::string& kind, pid_t pid) {
    if (pid <= 0 || ::kill(pid, SIGKILL) != 0) return false;
    ++counts_[kind];
    history("killed " + kind + " " + std::to_string(pid));
    return true;
  }

  bool kill_engine(const App& app, const std::string& verb, std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < end) {
      if (engine_of(app, verb) != 0) {
        nap(0, 80);
        return kill_one("criu-" + verb, engine_of(app, verb));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
    return false;
  }

  void restart_server() {
    kill_server();
    ++counts_["server"];
    history("killed server");
    nap(0, 400);
    start_server();
  }

  pid_t program_of(const App& app) {
    const auto pids = processes_of(app.id, "worker");
    return pids.empty() ? 0 : pids.front();
  }

  void kill_something(App& app) {
    switch (pick(0, 9)) {
      case 0:
        restart_server();
        break;
      case 1:
        kill_one("agent", pid_in("agent.pid"));
        break;
      case 2:
        kill_one("shim", shim_of(app));
        break;
      case 3:
        kill_one("program", program_of(app));
        break;
      case 4:
        kill_one("init", pid_in("pods/" + app.id + ".pod-0/init.json"));
        break;
      case 5:
        kill_one("slirp4netns", egress_of(app));
        break;
      case 6:  // the pod's two guardians together
        kill_one("agent", pid_in("agent.pid"));
        kill_one("shim", shim_of(app));
        break;
      case 7:  // what brings it back, too
        if (kill_one("program", program_of(app))) kill_engine(app, "restore", std::chrono::milliseconds(2500));
        break;
      case 8: {  // in the middle of a cut, whoever holds it
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
        while (engine_of(app, "dump") == 0 && std::chrono::steady_clock::now() < end) ::usleep(3000);
        nap(0, 300);
        if (pick(0, 1) == 0) {
          kill_one("shim", shim_of(app));
        } else {
          kill_one("agent", pid_in("agent.pid"));
        }
        break;
      }
      default:
        kill_engine(app, "dump", std::chrono::milliseconds(2500));
    }
  }

  // What is asked.

  std::vector<std::string> available(App& app) {
    std::vector<std::string> ids;
    for (const auto& one : checkpoints(app.id)) {
      if (json_string_or(one, "state", "") != "AVAILABLE") continue;
      ids.push_back(json_string_or(one, "id", ""));
      if (json_string_or(one, "reason", "") == "request") app.exempt.insert(ids.back());
    }
    return ids;
  }

  void ask_something(App& app) {
    const std::string base = "/coordinators/" + app.id + "/checkpoints";
    const auto ids = available(app);
    const std::string chosen =
        ids.empty() ? "" : ids[static_cast<std::size_t>(pick(0, static_cast<int>(ids.size()) - 1))];
    switch (pick(0, 3)) {
      case 0: {
        auto answer = request("POST", base);
        history("asked for a checkpoint: " + std::to_string(answer ? answer->status : 0));
        break;
      }
      case 1: {
        if (chosen.empty()) return;
        auto answer = request("POST", base + "/" + chosen);
        app.exempt.insert(chosen);
        history("asked to restart from " + chosen + ": " + std::to_string(answer ? answer->status : 0));
        ++counts_["asked-restart"];
        break;
      }
      case 2: {
        if (chosen.empty()) return;
        app.exempt.insert(chosen);
        std::atomic<int> taken = 0;
        {
          const auto ask = [&] {
            auto answer = request("POST", base + "/" + chosen);
            if (!answer) return;
            if (answer->status < 300) ++taken;
            EXPECT_TRUE(answer->status == 202 || answer->status == 409 || answer->status == 404) << answer->body;
          };
          const std::jthread one(ask);
          const std::jthread two(ask);
        }
        history("asked twice at once to restart from " + chosen + ": " + std::to_string(taken.load()) + " taken");
        EXPECT_LE(taken.load(), 1) << "two restarts at once were both taken";
        break;
      }
      default:
        if (ids.size() < 2) return;
        app.deleted.insert(chosen);
        app.committed.erase(chosen);
        ++app.just_deleted;
        auto answer = request("DELETE", base + "/" + chosen);
        history("asked to delete " + chosen + ": " + std::to_string(answer ? answer->status : 0));
    }
  }

  // What must hold.

  void look_at(App& app) {
    const auto now_available = available(app);
    const std::set<std::string> now(now_available.begin(), now_available.end());
    for (const auto& id : app.committed) {
      if (now.contains(id)) continue;
      // `keep` may have retired it, if that many newer ones are there, or older ones that it must not take: what a user
      // asked for, and what a restart was asked from.
      const auto kept = std::count_if(
          now.begin(), now.end(), [&](const std::string& other) { return other > id || app.exempt.contains(other); });
      EXPECT_GE(kept + app.just_deleted, kKeep)
          << "checkpoint " << id << " of " << app.id << " was committed and is gone; there are " << now.size();
    }
    std::erase_if(app.committed, [&](const std::string& id) { return !now.contains(id); });
    for (const auto& id : now) {
      if (!app.deleted.contains(id)) app.committed.insert(id);
    }
    app.just_deleted = 0;
    const std::string state = state_of(app.id);
    EXPECT_NE(state, "ERROR") << boost::json::serialize(application(app.id));
  }

  void verify(App& app, bool again) {
    for (const auto& id : std::set<std::string>(app.committed)) {
      if (!again && app.verified.contains(id)) continue;
      std::optional<std::string> answer;
      // The agent may be on its way back.
      wait_until([&] {
        auto response = agent_->send({.target = "/v1/checkpoints/" + id + "/verify"});
        if (response) answer = std::to_string(response->status) + " " + response->body;
        return response.ok();
      });
      if (answer && answer->starts_with("404")) {
        // Retired since it was seen?
        const auto still = available(app);
        EXPECT_EQ(std::count(still.begin(), still.end(), id), 0) << id << " is AVAILABLE and not in the repository";
        continue;
      }
      EXPECT_TRUE(answer && answer->find("\"ok\":true") != std::string::npos) << id << ": " << answer.value_or("none");
      app.verified.insert(id);
    }
  }

  /// Beside everything else: never two copies of the program.
  void observe(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::vector<std::string> ids;
      {
        const std::lock_guard lock(observed_mutex_);
        for (const auto& app : apps_) ids.push_back(app.id);
      }
      std::map<std::string, std::vector<pid_t>> live;
      for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const auto pid = static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
        if (pid <= 0 || trim(read_proc(pid, "comm")) != "worker") continue;
        const std::string environ = read_proc(pid, "environ");
        for (const auto& id : ids) {
          if (environ.find("CACS_APPLICATION=" + id) != std::string::npos) live[id].push_back(pid);
        }
      }
      for (auto& [id, pids] : live) {
        // One look at /proc is no instant: the first may have died before the second came.
        std::erase_if(pids, [](pid_t pid) { return read_proc(pid, "environ").empty() || is_zombie(pid); });
        if (pids.size() > 1) copies_.store(static_cast<int>(pids.size()));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(250));
    }
  }

  /// Ends with the output of an undisturbed run, and leaves nothing when it is deleted.
  void finish(App& app) {
    wait_state(app.id, "COMPLETED", std::chrono::seconds(150));
    std::string text;
    wait_until([&] { return (text = output(app.id)) == reference_; }, std::chrono::seconds(20));
    EXPECT_EQ(text, reference_) << "the output is not that of an undisturbed run";
    look_at(app);
    verify(app, true);
    must("DELETE", "/coordinators/" + app.id);
    EXPECT_TRUE(wait_until([&] {
      auto look = request("GET", "/coordinators/" + app.id);
      return look && look->status == 404;
    })) << app.id
        << " does not go away";
    history("finished and deleted " + app.id);
    check_gone(app);
  }

  void check_gone(const App& app) {
    EXPECT_TRUE(processes_of(app.id).empty()) << "a process is left of " << app.id;
    const auto names_it = [&](const std::filesystem::path& path) {
      EXPECT_EQ(path.string().find(app.id), std::string::npos) << "left: " << path;
    };
    walk("/sys/fs/cgroup", names_it);
    walk(dir_ / "state", names_it);
  }

  /// With every application gone the repository holds nothing, and no file is half-written.
  void check_store_is_empty() {
    const auto repository = dir_ / "state/nodes/local-0/repository";
    std::string left;
    EXPECT_TRUE(wait_until(
        [&] {
          left.clear();
          walk(repository, [&](const std::filesystem::path& path) {
            const auto name = path.filename().string();
            if (name.ends_with(".pack") || name.ends_with(".manifest") || name.ends_with(".piece")) left += name + "\n";
          });
          return left.empty();
        },
        std::chrono::seconds(30)))
        << "the repository still holds\n"
        << left;
    walk(dir_ / "state", [](const std::filesystem::path& path) {
      const auto name = path.filename().string();
      EXPECT_FALSE(name.ends_with(".tmp") || name.ends_with(".new")) << "a temporary file is left: " << path;
    });
  }

  void one_round() {
    nap(50, 1500);
    auto& app = apps_[static_cast<std::size_t>(pick(0, static_cast<int>(apps_.size()) - 1))];
    if (pick(0, 4) == 0) {
      ask_something(app);
    } else {
      kill_something(app);
    }
    for (auto& each : apps_) {
      look_at(each);
      verify(each, false);
    }
    EXPECT_EQ(copies_.load(), 0) << "two copies of a program were alive at once";
    for (std::size_t i = 0; i < apps_.size(); ++i) {
      if (state_of(apps_[i].id) != "COMPLETED") continue;
      finish(apps_[i]);
      ++finished_;
      {
        const std::lock_guard lock(observed_mutex_);
        apps_.erase(apps_.begin() + static_cast<std::ptrdiff_t>(i));
      }
      start_application();
      return;
    }
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
  std::unique_ptr<net::HttpClient> agent_;
  std::mutex observed_mutex_;  ///< apps_ grows and shrinks under it
  std::vector<App> apps_;
  std::map<std::string, int> counts_;
  std::atomic<int> copies_ = 0;
};

TEST_F(SoakTest, WhateverIsKilledNothingIsLostAndNothingLeaks) {
  std::jthread observer([this](const std::stop_token& stop) { observe(stop); });
  for (int i = 0, count = pick(1, 3); i < count; ++i) start_application();
  while (round_ < rounds_ && !HasFailure()) {
    ++round_;
    one_round();
  }
  if (!HasFailure()) {
    for (auto& app : apps_) finish(app);
    finished_ += static_cast<int>(apps_.size());
    check_store_is_empty();
  }
  EXPECT_EQ(copies_.load(), 0) << "two copies of a program were alive at once";
  observer.request_stop();
  observer.join();
  std::printf("%s\n", summary().c_str());
}

}  // namespace
}  // namespace cacs::e2e
