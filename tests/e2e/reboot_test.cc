// Power loss of the whole machine, as the service sees it: every process of it is gone at once, mounts, namespaces and
// control groups with them, and the boot has another id. Server and everything it starts live in a mount namespace in
// which a file of the test's stands for the kernel's boot id; it goes with its last process, as all mounts do at a
// boot.

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "base/uuid.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

class RebootTest : public ServiceTest {
 protected:
  void make_place() override {
    server_prefix_ = {"unshare",
                      "--mount",
                      "--propagation",
                      "private",
                      "sh",
                      "-c",
                      R"(mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@")",
                      (dir_ / "boot_id").string()};
    boot();
  }

  void boot() { ASSERT_TRUE(write_file_durably(dir_ / "boot_id", new_uuid() + "\n").ok()); }

  void power_off(const std::string& id) {
    const auto all = processes_of_service();
    ASSERT_GE(all.size(), 4U) << "server, agent, shim and the pod's processes";
    for (const pid_t pid : all) ::kill(pid, SIGKILL);
    ASSERT_TRUE(server_->wait().ok());
    server_.reset();
    ASSERT_TRUE(wait_until([&] { return processes_of_service().empty() && processes_of(id).empty(); }));
    // Control groups do not outlive a kernel. The deepest first; the kernel's files in them cannot be removed.
    std::vector<std::filesystem::path> groups;
    for (const auto& mount : split(read_text_file("/proc/self/mounts").value(), '\n')) {
      const auto words = split(mount, ' ');
      if (words.size() < 3 || !words[2].starts_with("cgroup")) continue;
      std::error_code none;
      for (const auto& entry : std::filesystem::directory_iterator(words[1] + "/cacs", none)) {
        if (entry.is_directory() && entry.path().filename().string().find(id) != std::string::npos) {
          groups.push_back(entry.path());
        }
      }
    }
    EXPECT_FALSE(groups.empty());
    for (const auto& group : groups) {
      for (const auto& entry : std::filesystem::directory_iterator(group)) {
        if (entry.is_directory()) ::rmdir(entry.path().c_str());
      }
      EXPECT_TRUE(wait_until([&] { return ::rmdir(group.c_str()) == 0; })) << group;
    }
    ::unlink((dir_ / "api.sock").c_str());
    boot();
  }
};

TEST_F(RebootTest, AnApplicationComesBackByItselfFromItsNewestCheckpoint) {
  const auto reference = run_command({.argv = {program("worker"), "300", (dir_ / "w").string(), "0"}});
  ASSERT_TRUE(reference.ok() && reference->status.success());
  const std::string id = submit({{"command", JsonArray{program("worker"), "300", "/work", "20"}}});
  const std::string done = submit({{"command", JsonArray{"sh", "-c", "echo done before"}}});
  wait_state(done, "COMPLETED");
  ASSERT_TRUE(wait_output(id, "round 20 "));
  checkpoint(id);
  ASSERT_TRUE(wait_output(id, "round 60 "));
  const std::string newest = checkpoint(id);
  ASSERT_TRUE(wait_output(id, "round 100 "));
  power_off(id);
  start_server();
  ASSERT_TRUE(wait_until([&] { return json_int_or(application(id), "incarnation", 0) == 2; }));
  wait_state(id, "COMPLETED");
  EXPECT_EQ(json_string_or(application(id), "restored_from", ""), newest);
  EXPECT_EQ(output(id), reference->out);
  // What had ended has ended, and nothing of it starts again.
  EXPECT_EQ(state_of(done), "COMPLETED");
  EXPECT_EQ(json_int_or(application(done), "incarnation", 0), 1);
  EXPECT_EQ(output(done), "done before\n");
}

TEST_F(RebootTest, PowerIsLostInTheMiddleOfACheckpointAndAgain) {
  const std::string id = submit({{"command", JsonArray{program("worker"), "400", "/work", "20"}}});
  ASSERT_TRUE(wait_output(id, "round 20 "));
  const std::string first = checkpoint(id);
  ASSERT_TRUE(wait_output(id, "round 40 "));
  must("POST", "/coordinators/" + id + "/checkpoints");
  ASSERT_TRUE(wait_until([&] { return checkpoints(id).size() == 2; }));
  power_off(id);
  start_server();
  ASSERT_TRUE(
      wait_until([&] { return json_int_or(application(id), "incarnation", 0) == 2 && state_of(id) == "RUNNING"; }));
  for (const auto& each : checkpoints(id)) {
    const std::string state = json_string_or(each, "state", "");
    EXPECT_TRUE(state == "AVAILABLE" || state == "FAILED") << boost::json::serialize(each);
  }
  checkpoint(id);
  power_off(id);
  start_server();
  wait_state(id, "COMPLETED");
  EXPECT_GE(json_int_or(application(id), "incarnation", 0), 3);
  EXPECT_NE(output(id).find("result "), std::string::npos);
}

}  // namespace
}  // namespace cacs::e2e
