#pragma once

#include <chrono>
#include <csignal>
#include <initializer_list>
#include <optional>

#include "base/fd.h"
#include "base/result.h"

namespace cacs::cli {

/// Takes signals as events instead of interruptions, for as long as it lives: they are blocked in this thread and those
/// it starts afterwards. Made before any other thread.
class SignalWatcher {
 public:
  static Result<SignalWatcher> watch(std::initializer_list<int> signals);
  SignalWatcher(SignalWatcher&& other) noexcept;
  SignalWatcher& operator=(SignalWatcher&&) = delete;
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;
  ~SignalWatcher();

  /// What ended a wait.
  struct Event {
    int signal = 0;         ///< 0: none came
    bool readable = false;  ///< `other_fd` can be read (or was hung up)
  };
  /// Waits for a signal, for `other_fd` (-1: none) to become readable, or for `limit` (none: for ever) to pass. A
  /// signal goes before the descriptor.
  Result<Event> wait(int other_fd, std::optional<std::chrono::milliseconds> limit);

 private:
  SignalWatcher(UniqueFd fd, sigset_t before) : fd_(std::move(fd)), before_(before) {}
  UniqueFd fd_;
  sigset_t before_;
};

}  // namespace cacs::cli
