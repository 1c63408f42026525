#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "repository/session/session_store.h"
#include "repository/session/writer_machine.h"

namespace cacs::repository {

/// Drives one WriterMachine. There is no thread behind it: whoever waits for something performs what is to be done,
/// each operation without the lock, so that sessions of several threads share the writes of the register. Any thread.
class WriterInstance {
 public:
  WriterInstance(SessionStore& store, WriterOptions options, const SessionPatience& patience,
                 std::shared_ptr<Clock> clock);

  /// Takes a seat.
  Status start();
  /// The handle; kRefused comes as kStale: another instance has to be taken.
  Result<std::uint64_t> begin(std::vector<std::string> roots);
  /// What kBegan said.
  WriterNotice began(std::uint64_t handle);
  Status confirm(std::uint64_t handle, bool again);
  void doubt(std::uint64_t handle);
  Status end(std::uint64_t handle);
  Status resign();
  /// A heartbeat, if a session is open.
  void beat(const std::stop_token& stop);

  [[nodiscard]] bool closing() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  void feed(const WriterEvent& event);
  /// Performs and waits until there is a notice for the handle.
  Result<WriterNotice> await(Lock& lock, std::uint64_t handle);
  /// Performs what is to be done and not being done yet.
  Status drain(Lock& lock, const std::stop_token& stop);
  /// Takes up one operation. An error: it was not the first that failed, and the caller should give up.
  std::optional<Error> perform_one(Lock& lock, SessionAttempts& attempts, const std::stop_token& stop);

  SessionStore& store_;
  const SessionPatience& patience_;
  std::shared_ptr<Clock> clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  WriterMachine machine_;
  std::deque<SessionOp> todo_;
  std::map<std::uint64_t, WriterNotice> notices_;  ///< the last of each handle; 0: of the instance
  std::uint64_t next_handle_ = 1;
};

}  // namespace cacs::repository
