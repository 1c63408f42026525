#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "application/log_lineage.h"
#include "application/node_wish.h"
#include "base/result.h"

/// The life cycle of one application as a pure state machine (docs/lifecycle.md has the tables): no clock, socket, disk
/// or thread. A driver makes each new state durable before it runs the actions that come with it.
///
/// What has to be under way is a function of the state alone: wanted(). step() gives the actions by which wanted()
/// grew, so that after a crash the driver needs nothing but the stored state: it steps kRecovered and runs all of
/// wanted(). Every action is idempotent. Actions of one lane (lane_of) run one after the other, in the order they were
/// given; one that is no longer wanted when its turn comes is dropped.
namespace cacs::application {

enum class Phase {
  kQueued,
  kCreating,
  kProvisioning,
  kReady,
  kRunning,
  kRestarting,
  kSuspending,
  kSuspended,
  kCompleted,
  kError,
  kTerminating,
  kGone,
};

enum class ExitKind { kExited, kSignaled, kOom, kUnknown };

/// How a pod ended.
struct PodExit {
  ExitKind kind = ExitKind::kUnknown;
  int code = 0;
  int signal = 0;

  friend bool operator==(const PodExit&, const PodExit&) = default;
  [[nodiscard]] bool success() const { return kind == ExitKind::kExited && code == 0; }
  [[nodiscard]] std::string to_string() const;
};

/// What of the ASR the machine decides by.
struct Policy {
  int pods = 1;
  int keep = 5;
  int max_attempts = 5;
  bool restart_on_signal = true;
  bool restart_on_oom = true;
  std::set<int> restart_on_codes;
  std::int64_t interval_ms = 0;  ///< between the end of one checkpoint and the start of the next; 0: none
  /// A restart brings back files, not processes: the command is run anew, in the order of a start.
  bool restart_runs_command = false;

  friend bool operator==(const Policy&, const Policy&) = default;
};

enum class PodStatus {
  kNone,        ///< nothing of it on any node
  kStarting,    ///< StartPod was asked for
  kRunning,     ///< its agent said so
  kDead,        ///< has ended; its output is still on the node
  kDestroying,  ///< DestroyPod was asked for
  kWaiting,     ///< for the others to run; an earlier incarnation may be dead on its node
};

struct Pod {
  PodStatus status = PodStatus::kNone;
  int incarnation = 0;
  std::optional<PodExit> exit;

  friend bool operator==(const Pod&, const Pod&) = default;
};

enum class NodesStatus { kNone, kClaiming, kHeld, kReleasing };

enum class CheckpointPhase { kDumping, kStoring, kAvailable, kFailed, kDeleting };
enum class CheckpointReason { kPeriodic, kRequest, kApplication, kSuspend, kTerminate };

/// A process of the application that asked for a checkpoint and wants to know how it ended.
struct Requester {
  int pod = 0;
  int incarnation = 0;
  std::string request;
  std::string level;  ///< with `wait`: answer when committed at this level
  bool wait = false;  ///< else: answer when the tasks go on

  friend bool operator==(const Requester&, const Requester&) = default;
};

struct Checkpoint {
  std::string id;
  CheckpointPhase phase = CheckpointPhase::kDumping;
  CheckpointReason reason = CheckpointReason::kRequest;
  int incarnation = 0;
  bool damaged = false;  ///< a restore found it corrupt or incompatible: never chosen automatically again
  int deaths = 0;        ///< restores from it after which the application died before it was saved again
  std::string problem;   ///< why it failed, or is damaged
  ErrorCode problem_code = ErrorCode::kAborted;
  std::string problem_type;  ///< as Error::type

  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

enum class CutStage { kDumping, kThawing, kStoring, kCommitting, kAborting };

/// The one checkpoint that is being made.
struct Cut {
  std::string checkpoint;
  CutStage stage = CutStage::kDumping;
  std::optional<Requester> requester;
  std::vector<std::string> pieces;  ///< of each pod, once stored

  friend bool operator==(const Cut&, const Cut&) = default;
};

struct QueuedCut {
  std::string checkpoint;
  CheckpointReason reason = CheckpointReason::kApplication;
  std::optional<Requester> requester;

  friend bool operator==(const QueuedCut&, const QueuedCut&) = default;
};

struct Outcome {
  Requester requester;
  std::string checkpoint;
  std::string error;  ///< empty: it is there

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// Where a start or restart stands. Only in kReady and kRestarting other than kNone. In kOpen all pods are restored and
/// closed off from each other: nobody answers in the name of a process that is not back yet.
enum class StartStage { kNone, kQuiesce, kDestroy, kBackoff, kStart, kOpen };

struct State {
  Policy policy;
  Phase phase = Phase::kQueued;
  std::string reason;   ///< why it is in this phase, where that is not plain
  int incarnation = 0;  ///< rises at every start and restore
  int attempts = 0;     ///< recoveries since the last progress (a checkpoint committed)
  int failures = 0;     ///< actions that failed in a row: what their next try waits for
  NodesStatus nodes = NodesStatus::kNone;
  std::vector<std::string> node_names;  ///< held, or the last that were
  std::vector<std::string> homes;       ///< all that ever were, sorted: where parts of checkpoints may be
  std::optional<NodeWish> wish;         ///< what claims ask for; unset: as submitted
  bool moving = false;                  ///< the nodes held are given back before it starts
  std::vector<Pod> pods;
  std::vector<Checkpoint> checkpoints;  ///< oldest first
  std::optional<Cut> cut;
  std::vector<QueuedCut> queue;   ///< asked for by the application during another cut
  std::vector<Outcome> outcomes;  ///< not yet told
  StartStage stage = StartStage::kNone;
  std::string source;  ///< checkpoint the present incarnation starts from; empty: from nothing
  bool asked = false;  ///< the source was named by the user
  std::string check;   ///< checkpoint named by the user that is being verified, all else going on; or empty
  std::optional<NodeWish> check_wish;  ///< of that restart
  bool doubt = false;                  ///< the command failed; whether it is because a pod of it died is being asked
  std::uint64_t timer = 0;             ///< number of the timer that counts now; older ones are ignored
  std::optional<PodExit> exit;         ///< of the application, once it has ended

  friend bool operator==(const State&, const State&) = default;
};

enum class EventKind {
  // What users and the application ask for.
  kSubmitted,
  kCheckpointRequested,        ///< checkpoint, reason, requester
  kRestartRequested,           ///< checkpoint, wish
  kDeleteCheckpointRequested,  ///< checkpoint
  kDeleteRequested,
  kTimeLimit,  ///< checkpoint: the last one, if there is something to save
  // Results of actions.
  kNodesClaimed,  ///< nodes
  kNodesFailed,   ///< error; for good
  kNodesReady,
  kNodesPrepared,
  kNodesReleased,
  kPodGone,             ///< pod, incarnation
  kNetworkOpened,       ///< incarnation
  kPodsLookedAt,        ///< incarnation; dead: those that have ended
  kCutPrepared,         ///< checkpoint; all pods are frozen and dumped
  kCutFailed,           ///< checkpoint, error
  kCutThawed,           ///< checkpoint
  kCutStored,           ///< checkpoint, pieces
  kCutAborted,          ///< checkpoint
  kCommitted,           ///< checkpoint
  kCheckpointDeleted,   ///< checkpoint
  kCheckpointSound,     ///< checkpoint: all of it can be read, and it fits the node
  kCheckpointUnusable,  ///< checkpoint, error
  kOutcomeReported,     ///< requester
  kActionFailed,        ///< action, error; to be tried again
  kTimer,               ///< timer; checkpoint: id for the one that may be due
  // What agents tell, or what reconciliation finds on them.
  kPodRunning,       ///< pod, incarnation
  kPodExited,        ///< pod, incarnation, exit
  kPodFailed,        ///< pod, incarnation, error: it could not be made or restored
  kPodTainted,       ///< pod, incarnation
  kPodMissing,       ///< pod, incarnation: its node does not know it
  kCheckpointFound,  ///< checkpoint, incarnation, reason: a manifest without a row
  kCheckpointLost,   ///< checkpoint: a row without a manifest
  kRecovered,        ///< the driver was started anew: nothing that had been under way is any more
};

enum class ActionKind {
  kClaimNodes,
  kReachNodes,
  kPrepareNodes,
  kReleaseNodes,
  kStartPod,
  kDestroyPod,
  kOpenNetwork,
  kLookAtPods,
  kBeginCut,
  kThaw,
  kStore,
  kCommit,
  kAbortCut,
  kDeleteCheckpoint,
  kCheckCheckpoint,
  kReportOutcome,
  kArmTimer,
  kRemoveRecord,
};

struct Action {
  ActionKind kind = ActionKind::kClaimNodes;
  int pod = -1;
  int incarnation = 0;
  std::string checkpoint;
  std::string request;        ///< of kReportOutcome
  std::uint64_t timer = 0;    ///< of kArmTimer
  std::int64_t delay_ms = 0;  ///< not before; of kArmTimer: when it fires. No part of the action's identity

  [[nodiscard]] bool same_as(const Action& other) const;
};

struct Event {
  EventKind kind = EventKind::kSubmitted;
  int pod = -1;
  int incarnation = 0;
  std::string checkpoint;
  CheckpointReason reason = CheckpointReason::kRequest;
  std::optional<Requester> requester;
  PodExit exit;
  Error error;
  std::vector<std::string> nodes;
  std::vector<std::string> pieces;
  std::vector<int> dead;
  std::uint64_t timer = 0;
  std::optional<Action> action;
  std::optional<NodeWish> wish;
  /// With what a pod's agent says of it: its output before this incarnation wrote any. Not the machine's: the driver
  /// keeps it with the state.
  std::optional<LogSizes> log_base;
};

/// Something for the users' event stream.
struct Note {
  std::string kind;
  std::string message;
  std::string checkpoint;
};

struct Transition {
  State state;
  std::vector<Action> actions;
  std::vector<Note> notes;
  /// Set when a request is refused; the state is then the one before.
  std::optional<Error> refusal;
  /// Set when a restart that had been taken up comes to nothing: its checkpoint cannot be used, or something else came
  /// first. Nothing was torn down for it.
  std::optional<Error> restart_refusal;
};

/// Faults planted by the simulation test to show that it would find them. Production passes kNone.
enum class Mutation {
  kNone,
  kIgnoreIncarnation,
  kForgetRelease,
  kForgetAttempts,
  kDeleteRestoreSource,
  kStartBeforeDestroyed,
  kDropRetry,
  kForgetAbort,
  kCommitBeforeStored,
  kRestartFromNothing,
  kRestartUnchecked,
  kLauncherFirst,
  kOpenEarly,
  kForgetOpen,
  kForgetWorkers,
  kJudgeAtOnce,
  kSameAgain,
  kForgetMove,
  kLeaveDead,
};

State initial_state(const Policy& policy);

Transition step(const State& state, const Event& event, Mutation mutation = Mutation::kNone);

/// Whether a driver that starts anew comes to the same state from either of them: of the second nothing is lost when
/// only the first was made durable.
bool recovers_alike(const State& one, const State& other);

/// All that has to be under way in this state.
std::vector<Action> wanted(const State& state);
bool is_wanted(const State& state, const Action& action);

/// Actions of one lane never overlap: those of the nodes, of each pod, of the cut, of each checkpoint's deletion, of
/// the check before a restart.
std::string lane_of(const Action& action);

/// The newest checkpoint an automatic restart may use; null when there is none.
const Checkpoint* newest_usable(const State& state);

/// How often the application may die after restores from one checkpoint before an older one is tried.
inline constexpr int kDeathsBeforeOlder = 2;

/// What an automatic restart takes: the newest usable one, unless it has led to the application's death too often. Such
/// a checkpoint is sound, but something in what it saved is broken already: a rank that had been killed, a connection
/// to a server that is no more. Older ones get their turns, then it comes again.
const Checkpoint* best_for_restart(const State& state);
const Checkpoint* find_checkpoint(const State& state, std::string_view id);

/// Why it failed or is damaged; nothing where neither is so.
std::optional<Error> problem_of(const Checkpoint& checkpoint);

/// The checkpoint that must not be deleted because a start from it is under way or prepared; empty: none.
std::string_view pinned_checkpoint(const State& state);

std::string_view phase_name(Phase phase);
std::string_view checkpoint_phase_name(CheckpointPhase phase);
std::string_view checkpoint_reason_name(CheckpointReason reason);
std::string_view exit_kind_name(ExitKind kind);

}  // namespace cacs::application
