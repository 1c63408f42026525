#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/client/agent_client.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/result.h"

namespace cacs::cloud {

struct AgentProcessOptions {
  std::vector<std::string> command;          ///< program and arguments
  std::filesystem::path directory;           ///< the node's state: agent.sock, agent.pid, agent.log
  std::vector<std::pair<int, int>> fds;      ///< what it has open besides: (ours, which stay open; theirs)
  std::optional<net::ClientOptions> client;  ///< how it is reached; unset: by agent.sock
  std::chrono::milliseconds start_limit{20'000};
  std::chrono::milliseconds first_backoff{500};
  std::chrono::milliseconds last_backoff{30'000};
};

/// The agent of a node of this machine, as a process: found when it runs already, started when it does not, and again
/// when it dies. It has a session of its own and outlives this object and this process, unless stop() ends it. Any
/// thread.
class AgentProcess {
 public:
  explicit AgentProcess(AgentProcessOptions options);
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;
  AgentProcess(AgentProcess&&) = delete;
  AgentProcess& operator=(AgentProcess&&) = delete;
  ~AgentProcess();  ///< stops watching; the agent runs on

  /// The agent's client, once it answers. kUnavailable, with the last lines of its log: it died at once, or does not
  /// answer within start_limit; while it waits to be started again, the reason of the last try.
  Result<std::shared_ptr<agent::Client>> ensure();

  /// Ends the agent (SIGTERM, after 10 s SIGKILL) and watches no more. Success when none runs.
  Status stop();

  /// The running one, for tests and diagnosis; none when it is not running as far as we know.
  [[nodiscard]] std::optional<ProcessIdentity> identity();

 private:
  struct Running {
    ProcessIdentity identity;
    UniqueFd pidfd;
    std::optional<Child> child;  ///< where it is a child of this process: reaped when it ends
    std::chrono::steady_clock::time_point since;
  };

  // All under mutex_:
  Status start_or_find();
  Result<std::optional<Running>> find();
  Result<Running> start();
  Status wait_until_it_answers(Running& running);
  Result<UniqueFd> take_start_lock();
  Result<UniqueFd> open_log();
  [[nodiscard]] Error with_log(Error error) const;
  void begin_watching();

  void watch(const std::stop_token& stop);
  bool wait_for_end(int pidfd, const std::stop_token& stop);
  bool wait_out(std::chrono::milliseconds time, const std::stop_token& stop) const;
  void bound_log() const;

  AgentProcessOptions options_;
  std::shared_ptr<agent::Client> client_;
  std::mutex mutex_;
  std::optional<Running> running_;
  std::optional<Error> backing_off_;  ///< why the last try failed, while the watcher waits to try again
  UniqueFd wake_;                     ///< eventfd: readable once the watcher is to stop
  std::jthread watcher_;
};

}  // namespace cacs::cloud
