#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/process.h"
#include "net/http_client.h"

namespace cacs::e2e {

/// Holds that nothing of what worked below `dir` is left on the machine: no process, mount, loop device, control group
/// and no socket. Files may be.
void expect_nothing_left(const std::filesystem::path& dir);

/// A real server with its agent in a folder of its own, driven over REST. TearDown deletes every application, ends
/// server and agent, and holds that nothing is left: no pod, mount, cgroup, process, and no file outside the folder.
class ServiceTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// What has to be there before the server, and goes after its agent: nothing, where a test does not say so.
  virtual void make_place() {}
  virtual void remove_place() {}

  void start_server();
  /// SIGKILL, as a crash is.
  void kill_server();

  /// Submits an ASR and returns the application's id.
  std::string submit(const JsonObject& asr);
  /// The command of a test program, or of one of the system.
  static std::string program(const std::string& name);
  /// The program under test.
  static std::filesystem::path cacs();

  JsonObject application(const std::string& id);
  std::string state_of(const std::string& id);
  /// Waits for a state; fails the test with the application's own words if it comes to another final one.
  void wait_state(const std::string& id, const std::string& state,
                  std::chrono::seconds limit = std::chrono::seconds(90));
  /// Waits until `done` says so. For what has no event outside of the service.
  bool wait_until(const std::function<bool()>& done, std::chrono::seconds limit = std::chrono::seconds(60));
  std::string output(const std::string& id, const std::string& stream = "stdout");
  bool wait_output(const std::string& id, const std::string& text,
                   std::chrono::seconds limit = std::chrono::seconds(60));

  /// Takes a checkpoint and waits until it is AVAILABLE; its id.
  std::string checkpoint(const std::string& id);
  /// Takes one and waits for its end, whatever it is: the checkpoint.
  JsonObject try_checkpoint(const std::string& id);
  std::vector<JsonObject> checkpoints(const std::string& id);
  /// SIGKILLs processes of the application whose name is `comm`; how many.
  int kill_program(const std::string& id, const std::string& comm);
  std::vector<pid_t> processes_of(const std::string& id, const std::string& comm = "");

  Result<net::ClientResponse> request(const std::string& method, const std::string& target,
                                      const std::string& body = {}, const net::Headers& headers = {});
  /// A request that must succeed, and its JSON.
  JsonObject must(const std::string& method, const std::string& target, const std::string& body = {});

  /// The nodes that there are, by their directories.
  std::vector<std::filesystem::path> nodes();
  /// The agent of one of them, as it wrote itself down.
  static std::optional<ProcessIdentity> agent_of(const std::filesystem::path& node);

  /// All processes of the service below dir_: server, agents, shims and whatever descends from them.
  std::vector<pid_t> processes_of_service();

  std::filesystem::path dir_;
  std::vector<std::string> server_prefix_;     ///< words in front of the server's command
  std::vector<std::string> server_arguments_;  ///< behind those of every test
  std::vector<std::string> server_env_;        ///< "NAME=value", beside what is inherited
  std::vector<std::string> more_addresses_;    ///< where the server listens besides its unix socket
  std::optional<Child> server_;
  std::unique_ptr<net::HttpClient> client_;

 private:
  void delete_everything();
  void end_agent(const std::filesystem::path& node);
};

}  // namespace cacs::e2e
