#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "repository/session/chain.h"
#include "repository/session/collector_plan.h"
#include "repository/session/session_op.h"

/// A collector: run after run, from taking a term to whatever ends it. Pure, as WriterMachine is. Everything of a phase
/// may be done at once and in any order; the phases are in order.
///
/// | phase      | what                                               | a crash after it leaves
/// | ---------- | -------------------------------------------------- | -----------------------
/// | kFind..    | a term is taken, the newest state read              | a term without a state: passed over
/// | kTake..    | that state written under the term, no successor     | the same state in another place
/// | kList      | objects, roots, packs listed (only ever adds)       |
/// | kSeats     | new seats found by key, licences, registers         |
/// | kJudge     | which writers are dead                              |
/// | kFence     | their licences removed, then registers read again   | writers that can no longer commit, still
/// members: |            |                                                     | whatever roots of theirs are there
/// count | kRoots     | all roots read by key                               | | kMark      | what nothing references |
/// | kCatalogue | the next catalogue written, under a new name        | an object that the next collector removes
/// | kState     | the next state: condemned, executing, settled       | that state, or the one before; both are sound
/// | kSuccessor | nobody has taken over: whoever will, inherits this  |
/// | kActs      | what the state calls executing is removed, garbage too | some of it; done again by the next run
/// | kPublish.. | a second state: new generations, removals done      | new generations unused, written again by the
/// next run | kOld       | old generations removed                             | old generations; removed by a later
/// run
namespace cacs::repository {

enum class CollectorOutcome : std::uint8_t {
  kRunning,
  kDone,
  kSuperseded,  ///< another collector has taken over; nothing that it does not know of was done
  kLost,        ///< the write of a state had an unknown outcome: this term is given up, the next run takes another
  kCancelled,   ///< the driver gave up
  kViolation,  ///< what is being removed is referenced: a bug, or a store that breaks its promises. Nothing was removed
};

struct CollectorReport {
  std::size_t packs_removed = 0;
  std::size_t packs_rewritten = 0;
  std::size_t condemned = 0;        ///< packs that wait for open sessions or the next run
  std::size_t settled = 0;          ///< writers that were fenced, or had resigned
  std::size_t roots = 0;            ///< in the catalogue
  std::size_t objects_removed = 0;  ///< of the protocol itself, late roots included
  std::string violation;            ///< the pack of kViolation
};

enum class CollectorEventKind : std::uint8_t { kRun, kAnswer, kCancel };

struct CollectorEvent {
  CollectorEventKind kind = CollectorEventKind::kRun;
  std::uint64_t op = 0;
  SessionAnswer answer = {};
};

struct CollectorOptions {
  InstanceId instance;
  bool exclusive_create = false;
  PlanLimits limits;
  SessionMutation mutation = SessionMutation::kNone;
};

class CollectorMachine {
 public:
  explicit CollectorMachine(CollectorOptions options) : options_(options) {}

  /// kRun begins a run; with its last answer outcome() is no longer kRunning. kCancel ends it at once: answers to what
  /// is under way are not looked at.
  std::vector<SessionOp> step(const CollectorEvent& event);

  [[nodiscard]] CollectorOutcome outcome() const { return outcome_; }
  [[nodiscard]] const CollectorReport& report() const { return report_; }
  [[nodiscard]] const CollectorState& state() const { return state_; }
  [[nodiscard]] const RootCatalogue& catalogue() const { return catalogue_; }

 private:
  enum class Phase : std::uint8_t {
    kIdle,
    kStillHolder,
    kFind,
    kClaim,
    kInherit,
    kLoad,
    kTakeState,
    kTakeSuccessor,
    kList,
    kSeats,
    kLicences,
    kRegisters,
    kJudge,
    kFence,
    kSettled,
    kRoots,
    kMark,
    kCatalogue,
    kState,
    kSuccessor,
    kActs,
    kPublishCatalogue,
    kPublishState,
    kPublishSuccessor,
    kOld,
  };
  struct Pending {
    SessionOp op;
    std::uint64_t seat = 0;
  };

  void start_run();
  void cancel();
  void answer(std::uint64_t id, const SessionAnswer& answer);
  void one_answer(const Pending& pending, const SessionAnswer& answer);
  void advance();  ///< all answers of a phase are in
  void take_role();
  void list();
  void role_answer(const SessionAnswer& answer);
  void seat_answer(const Pending& pending, const SessionAnswer& answer);
  void read_registers(bool settled_only);
  void ask_judge();
  void settle(std::uint64_t seat);
  void fence();
  void read_roots();
  void mark();
  void plan();
  void write_plan(Phase catalogue, Phase state);
  void take_plan();
  void act();
  void act_on(const CondemnedPack& entry);
  void act_answer(const Pending& pending, const SessionAnswer& answer);
  void remove_old();
  void remove_obsolete();
  void finish(CollectorOutcome outcome);
  void drop_role();
  void emit(SessionOp op, std::uint64_t seat = 0);
  void enter(Phase phase) { phase_ = phase; }

  CollectorOptions options_;
  Phase phase_ = Phase::kIdle;
  CollectorOutcome outcome_ = CollectorOutcome::kDone;
  CollectorReport report_;
  std::vector<SessionOp> out_;
  std::uint64_t next_op_ = 1;
  std::map<std::uint64_t, Pending> pending_;

  std::uint64_t term_ = 0;  ///< held by this one; 0: none
  std::optional<StateFinder> finder_;
  std::optional<ChainClaim> claim_;
  CollectorState state_;     ///< the last that is durable and that any successor inherits
  RootCatalogue catalogue_;  ///< the one it names
  bool write_lost_ = false;

  // of one run
  std::vector<std::string> listed_keys_;
  std::vector<std::string> listed_roots_;
  std::uint64_t scan_ = 0;
  CollectionFacts facts_;
  CollectionPlan plan_;
  std::set<std::string> late_roots_;
  std::set<std::string> executed_;
  std::vector<PackObject> old_objects_;
  std::vector<std::string> obsolete_;
};

}  // namespace cacs::repository
