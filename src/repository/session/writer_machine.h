#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "repository/session/chain.h"
#include "repository/session/session_op.h"

/// One instance of a writer: a process, from taking its seat to resigning. Pure: step() takes an event and gives the
/// operations to start and what became of sessions; no clock, no I/O. A crash is the machine's disappearance: whatever
/// it wrote is settled by a collector.
///
/// | step                       | a crash after it leaves
/// | -------------------------- | -----------------------
/// | seat claimed               | a seat that a collector forgets two runs later
/// | licence written            | a member without sessions: fenced and forgotten
/// | session in the register    | the same; nothing is collected that the session may reference, until it is fenced
/// | packs written              | garbage of that session
/// | root written               | a checkpoint if the collector finds the root after it has removed the licence: yes,
/// |                            | unless somebody removed it. If the licence had gone before and the root came later:
/// |                            | it never counts, and is removed
/// | licence seen: committed    | the checkpoint
/// | session out of the register| the checkpoint
namespace cacs::repository {

enum class WriterEventKind : std::uint8_t {
  kStart,
  kBegin,          ///< handle, roots -> kBegan or kRefused
  kRootsWritten,   ///< all roots of the session that are to be written are durable -> kCommitted or kFenced
  kRootsDoubtful,  ///< whether a root is there, or will be, or counts, is not known (its write failed; the answer to
                   ///< kRootsWritten is not waited for any longer) -> kDoubtful
  kEnd,            ///< after kCommitted, or instead of writing roots, also before kBegan -> kEnded. No root may be
                   ///< written any more
  kBeat,           ///< the register is written again; no answer
  kResign,         ///< no session is open -> kResigned
  kAnswer,
};

struct WriterEvent {
  WriterEventKind kind = WriterEventKind::kStart;
  std::uint64_t handle = 0;  ///< the driver's number of a session, never used twice
  std::vector<std::string> roots = {};
  std::uint64_t op = 0;
  SessionAnswer answer = {};
};

enum class WriterNoticeKind : std::uint8_t {
  kReady,    ///< sessions may be begun
  kBegan,    ///< origin, state: nothing of state.condemned may be referenced
  kRefused,  ///< this instance takes no sessions (any more): another one has to be started
  kCommitted,
  kFenced,    ///< its roots were removed; nothing was committed, and this instance is at its end
  kDoubtful,  ///< the next collection settles it
  kEnded,
  kResigned,
};

struct WriterNotice {
  WriterNoticeKind kind = WriterNoticeKind::kReady;
  std::uint64_t handle = 0;
  RootOrigin origin = {};  ///< what its roots have to bear
  std::shared_ptr<const CollectorState> state = nullptr;
};

struct WriterStep {
  std::vector<SessionOp> ops;
  std::vector<WriterNotice> notices;
};

struct WriterOptions {
  InstanceId instance;
  std::string name;
  WriterHost host;
  bool exclusive_create = false;
  /// With more roots that no collector has taken yet, the instance takes no new sessions.
  std::size_t max_committed = 256;
  std::size_t max_sessions = 1024;  ///< open at once
  SessionMutation mutation = SessionMutation::kNone;
};

class WriterMachine {
 public:
  explicit WriterMachine(WriterOptions options);

  WriterStep step(const WriterEvent& event);

  [[nodiscard]] std::uint64_t seat() const { return seat_; }
  /// Takes no new sessions; when the open ones have ended it is over.
  [[nodiscard]] bool closing() const { return phase_ == Phase::kWinding || phase_ == Phase::kOut; }
  [[nodiscard]] bool out() const { return phase_ == Phase::kOut; }
  /// Sessions that want heartbeats.
  [[nodiscard]] std::size_t sessions() const { return sessions_.size(); }
  /// Versions of the register that were started: every one is a write.
  [[nodiscard]] std::uint64_t version() const { return wanted_; }

 private:
  enum class Phase : std::uint8_t {
    kIdle,
    kFinding,
    kSeatEnd,
    kClaiming,
    kLicensing,
    kVerifying,
    kReady,
    kWinding,
    kOut
  };
  enum class Stage : std::uint8_t {
    kRegistering,
    kReading,
    kOpen,
    kConfirming,
    kRemoving,
    kCommitted,
    kDoubtful,
    kEnding
  };
  enum class Task : std::uint8_t { kSetUp, kRegister, kFind, kLicence, kRemoveRoot, kSuccessor };
  struct Session {
    std::uint64_t number = 0;
    std::vector<std::string> roots;
    Stage stage = Stage::kRegistering;
    Seen seen;
    std::uint64_t version = 0;  ///< of the register that has to be durable before it goes on
    std::size_t removals = 0;
  };
  struct Pending {
    Task task = Task::kSetUp;
    std::uint64_t handle = 0;
    SessionOp op;
    std::uint64_t number = 0;  ///< version of the register; root up to which the collector has taken them
  };

  // getting a seat
  void set_up();
  void set_up_answer(const SessionAnswer& answer);
  void claim_seat(std::uint64_t first);
  void verify();

  // sessions
  void begin(const WriterEvent& event);
  void look();
  void found();
  void take_state(const CollectorState& state);
  void confirm(std::uint64_t handle);
  void doubt(std::uint64_t handle);
  void licence_answer(std::uint64_t handle, const SessionAnswer& answer);
  void remove_answer(std::uint64_t handle);
  void end(std::uint64_t handle);
  void expelled();
  void maybe_resign();

  // the register
  void want_register() { ++wanted_; }
  void pump_register();
  void register_answer(const Pending& pending, const SessionAnswer& answer);
  [[nodiscard]] WriterRegister content() const;

  void answer(std::uint64_t op, const SessionAnswer& answer);
  void emit(Task task, SessionOp op, std::uint64_t handle = 0, std::uint64_t number = 0);
  void notice(WriterNoticeKind kind, std::uint64_t handle = 0);

  WriterOptions options_;
  Phase phase_ = Phase::kIdle;
  WriterStep out_;
  std::uint64_t next_op_ = 1;
  std::map<std::uint64_t, Pending> pending_;

  std::optional<StateFinder> finder_;
  std::optional<ChainEnd> seat_end_;
  std::optional<ChainClaim> claim_;
  std::uint64_t seat_ = 0;
  std::uint64_t term_ = 0;
  std::shared_ptr<const CollectorState> state_;  ///< the last that was read
  std::vector<std::uint64_t> looking_;           ///< sessions that wait for finder_, once there is a seat
  std::vector<std::uint64_t> waiting_;           ///< sessions that wait for the next one

  std::map<std::uint64_t, Session> sessions_;
  std::uint64_t next_session_ = 1;
  std::uint64_t first_committed_ = 1;
  std::vector<std::string> committed_;
  bool asking_successor_ = false;
  bool resign_ = false;

  std::uint64_t register_number_ = 1;
  bool spoiled_ = false;  ///< a write under this number had an unknown outcome
  bool fresh_ = false;    ///< nothing was written under this number yet, and something has to be
  bool in_flight_ = false;
  std::uint64_t wanted_ = 0;
  std::uint64_t published_ = 0;
  bool resigned_ = false;
};

}  // namespace cacs::repository
