#pragma once

#include <cstdint>
#include <string>

#include "repository/session/session_keys.h"
#include "repository/session/session_op.h"

/// Small machines that both writers and collectors are made of. Each has one operation outstanding at a time: op() says
/// which, answer() takes its answer, until done(). Failed reads are repeated for ever: the driver bounds that.
namespace cacs::repository {

/// Finds the last number of a chain: doubling steps up from one that is known to be taken (or 0), then bisection.
class ChainEnd {
 public:
  ChainEnd(Chain chain, std::uint64_t known) : chain_(chain), low_(known) {}

  [[nodiscard]] SessionOp op() const;
  void answer(const SessionAnswer& answer);
  [[nodiscard]] bool done() const { return high_ != 0 && high_ == low_ + 1; }
  /// The highest number that is taken; the one above it was not when it was looked at.
  [[nodiscard]] std::uint64_t last() const { return low_; }

 private:
  [[nodiscard]] std::uint64_t next() const;
  Chain chain_;
  std::uint64_t low_;
  std::uint64_t high_ = 0;  ///< not taken; 0: none found yet
  std::uint64_t step_ = 1;
};

/// Takes the first free number of a chain. At most one instance gets a number; a number may go to nobody.
///
/// Where the store honours exclusive creation, that is what decides. Elsewhere it is Lamport's splitter of two plain
/// registers: write my claim to X; who finds Y written has lost; write Y; whose claim is still in X has won. Of two
/// winners the one that wrote X last did so after the other read X, so after the other wrote Y, and would have lost.
/// An attempt's claim is never written twice (a late duplicate in X could let two win), so a retry is a new attempt.
///
/// A crash at any step leaves a number that nobody holds: of terms it is passed over, of seats forgotten
/// (MemberStatus).
class ChainClaim {
 public:
  ChainClaim(Chain chain, bool exclusive, InstanceId instance, std::uint64_t first);

  [[nodiscard]] SessionOp op() const;
  void answer(const SessionAnswer& answer);
  [[nodiscard]] bool done() const { return step_ == Step::kWon; }
  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  enum class Step : std::uint8_t { kLook, kTake, kLookSecond, kPutSecond, kConfirm, kWon };
  void next_number();
  [[nodiscard]] Claim mine() const { return {instance_, attempt_}; }
  Chain chain_;
  bool exclusive_;
  InstanceId instance_;
  std::uint64_t number_;
  std::uint64_t attempt_ = 1;
  Step step_ = Step::kLook;
};

/// Finds the state that counts: that of the highest term that has written one. What it finds was the newest at some
/// instant after the search began.
class StateFinder {
 public:
  /// `known`: a term known to be taken, or 0.
  explicit StateFinder(std::uint64_t known) : end_(Chain::kTerms, known) {}
  /// For the holder of `term`: the state it inherits. The claims above its own are not looked at.
  static StateFinder inherited(std::uint64_t term);

  [[nodiscard]] SessionOp op() const;
  void answer(const SessionAnswer& answer);
  [[nodiscard]] bool done() const { return step_ == Step::kDone; }
  /// The highest term taken, with or without a state.
  [[nodiscard]] std::uint64_t last_term() const { return last_; }
  [[nodiscard]] const CollectorState& state() const { return state_; }

 private:
  enum class Step : std::uint8_t { kEnd, kDown, kAgain, kAfter, kDone };
  void down_to(std::uint64_t term);
  ChainEnd end_;
  Step step_ = Step::kEnd;
  bool holder_ = false;
  std::uint64_t last_ = 0;
  std::uint64_t at_ = 0;
  CollectorState state_;
};

}  // namespace cacs::repository
