#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

/// The Checkpoint Manager: when to save, the cut over all pods, which checkpoints to keep.
namespace cacs::checkpoint {

// The cut: the two-phase act of freezing and saving all pods at one consistent instant, decided in pure code. Its
// rules:
//  - no pod is thawed for storing before all are prepared (frozen, dumped, files taken): the instant is consistent;
//  - before that any failure aborts every pod, and the application runs on as if nothing had been;
//  - once all are thawed the checkpoint can still fail (storing, commit), without harm to the application;
//  - nothing is committed unless every pod's piece of this cut is stored;
//  - a pod that cannot be reached is not waited for: its shim aborts by itself at the deadline that it was given.

/// Calls to an agent (docs/agent-api.md). Each open call is answered by exactly one event; answers that come twice are
/// ignored.
enum class Call {
  kBegin,   ///< POST cuts/{checkpoint}: answered when the pod is prepared
  kThaw,    ///< tasks go on, the agent stores
  kWatch,   ///< GET the cut until the pod is stored
  kAbort,   ///< tasks go on, nothing is kept
  kCommit,  ///< PUT checkpoints/{checkpoint}; `pod` is 0
};
inline constexpr std::size_t kCalls = 5;

struct CutAction {
  Call call = Call::kBegin;
  std::size_t pod = 0;
  int attempt = 1;  ///< 2 and more: the call was made before and its answer was lost
};

enum class CutEventKind {
  kStart,
  kDone,         ///< `call` to `pod` succeeded
  kFailed,       ///< the agent answered that it failed: nothing is frozen there by this cut
  kUnreachable,  ///< no answer: the call may or may not have taken effect
  kPodDied,      ///< the pod ended or was tainted
  kTimeout,      ///< the phase's time is over
  kCancel,       ///< the caller does not want it any more
};

struct CutEvent {
  CutEventKind kind = CutEventKind::kStart;
  Call call = Call::kBegin;  ///< of kDone, kFailed, kUnreachable
  std::size_t pod = 0;
  int attempt = 1;  ///< of the action that is answered
  Error error{};    ///< why, of all failures
};

enum class CutPhase {
  kPreparing,
  kThawing,
  kStoring,
  kCommitting,
  kAborting,
  // Ends:
  kCommitted,
  kFailed,   ///< nothing is kept
  kUnknown,  ///< the answer to the commit was lost for good: the agent knows when it is back
};
std::string_view cut_phase_name(CutPhase phase);
bool is_end(CutPhase phase);

struct CutPod {
  bool open[kCalls] = {};     // NOLINT(modernize-avoid-c-arrays): indexed by Call
  int attempts[kCalls] = {};  // NOLINT(modernize-avoid-c-arrays)
  bool prepared = false;      ///< frozen, and everything needed was taken
  bool thawed = false;        ///< its thaw was answered
  bool stored = false;
  bool quiet = false;        ///< aborting: nothing of this cut is there any more, or cannot be reached
  bool abort_again = false;  ///< a begin was under way when the abort was sent: it may have arrived after it
};

struct CutState {
  CutPhase phase = CutPhase::kPreparing;
  std::vector<CutPod> pods;
  std::optional<Error> failure;  ///< the first: why the cut failed
};

struct CutStep {
  CutState state;
  std::vector<CutAction> actions;
};

/// How often a call is made whose answer is lost. kBegin is made once: its pod may be frozen, and time counts.
inline constexpr int kMaxAttempts = 4;

CutState initial_cut(std::size_t pods);

/// Pure: no clock, no socket. At an end (is_end) no call is open and no action will follow.
CutStep step(CutState state, const CutEvent& event);

}  // namespace cacs::checkpoint
