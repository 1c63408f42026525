#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "repository/backend/backend.h"
#include "repository/backend/clock.h"
#include "repository/session/session_documents.h"
#include "repository/session/session_op.h"

namespace cacs::repository {

/// Performs the operations of the machines that are of the store alone: kRead, kPut, kCreate, kRemove. Any thread.
///
/// The backend must not repeat writes on its own (no retry decorator around it): a repetition that is overtaken by a
/// later write would put old content back. The machines know what to do with a write whose outcome is unknown.
class SessionStore {
 public:
  /// Both outlive it.
  SessionStore(Backend& backend, DocumentSealer& sealer) : backend_(backend), sealer_(sealer) {}

  struct Performed {
    SessionAnswer answer;
    std::optional<Error> error;  ///< with SessionOutcome::kUnknown
  };
  Performed perform(const SessionOp& op);

  [[nodiscard]] Backend& backend() const { return backend_; }

 private:
  Performed read(const std::string& name);
  Performed write(const SessionOp& op);
  Backend& backend_;
  DocumentSealer& sealer_;
};

struct SessionPatience {
  unsigned failures = 6;  ///< in a row, before the caller is told
  std::chrono::nanoseconds first_delay = std::chrono::milliseconds(200);
  std::chrono::nanoseconds longest_delay = std::chrono::seconds(5);
  std::shared_ptr<Clock> clock;  ///< null: make_steady_clock()
};

/// Counts failures in a row of one caller, and waits longer and longer after each.
class SessionAttempts {
 public:
  SessionAttempts(const SessionPatience& patience, Clock& clock) : patience_(patience), clock_(clock) {}
  void succeeded() { failures_ = 0; }
  /// The error to return when there were enough, or when another attempt is not worth while; else nothing, after a
  /// wait.
  std::optional<Error> failed(const Error& error, const std::stop_token& stop);

 private:
  const SessionPatience& patience_;
  Clock& clock_;
  unsigned failures_ = 0;
};

}  // namespace cacs::repository
