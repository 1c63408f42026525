#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "repository/session/collector_machine.h"
#include "repository/session/session_sim_store.h"
#include "repository/session/writer_machine.h"

/// Writers, collectors and deleters around one simulated store: the production machines, interleaved at single
/// operations of the store, killed and paused anywhere, with answers lost. Everything follows from the seed.
namespace cacs::repository::sim {

/// Faults planted in what drives the machines rather than in them.
enum class DriverFault : std::uint8_t {
  kNone,
  kRootBeforePacks,
  kReferenceCondemned,
  kKeepMemory,      ///< a writer goes on to remember packs that were removed
  kShareUnchecked,  ///< subtrees of a parent are shared without may_share
  kPinnedParent,    ///< ... of a parent that was read before the session began
  kReuseRootKey,    ///< a root's key is used again after its first session was fenced
};

struct Violation {
  std::uint64_t seed = 0;
  std::string what;
};

class Simulation {
 public:
  Simulation(std::uint64_t seed, SessionMutation mutation, DriverFault fault);

  /// Chaos, then calm. The first broken invariant, if any.
  std::optional<Violation> run();
  [[nodiscard]] std::uint64_t trace() const { return trace_; }
  /// What happened, so that a test can see that everything did.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

 private:
  enum class FlightKind : std::uint8_t { kMachine, kPack, kRoot, kLoad, kParent, kDelete };
  /// An operation that was started and has not had its effect.
  struct Flight {
    FlightKind kind = FlightKind::kMachine;
    SessionOp op;
    std::uint64_t handle = 0;
    Effect effect;
  };
  enum class Stage : std::uint8_t { kBeginning, kParent, kPacks, kRoots, kConfirming, kCommitted, kEnding };
  struct Script {
    Stage stage = Stage::kBeginning;
    std::vector<std::string> roots;
    RootOrigin origin;
    std::shared_ptr<const CollectorState> state;
    std::vector<Slot> slots;
    std::size_t outstanding = 0;
    bool doubtful = false;
    std::string parent;
    std::optional<Root> early_parent;
  };
  struct Process {
    std::optional<WriterMachine> writer;
    std::optional<CollectorMachine> collector;
    std::vector<Flight> flights;
    std::uint64_t paused_until = 0;
    bool dead = false;
    // of a writer
    std::map<std::uint64_t, Script> scripts;
    std::map<std::string, std::set<std::uint32_t>> memory;  ///< slots of packs that it could reference
    Seen remembered;
    bool ready = false;
    bool resigning = false;
    // of a collector
    std::set<std::string> listed_packs;
    std::map<std::string, std::vector<Slot>> marks;
  };
  enum class Fate : std::uint8_t { kWriting, kCommitted, kFenced, kDoubtful, kDeleting, kDeleted };

  // session_sim.cc: the schedule
  void chaos_step();
  void calm();
  void fly(Process& process, std::size_t index);
  SessionOutcome perform(const Effect& effect, bool reliable);
  void kill(Process& process);
  void cancel(Process& process);
  void abandon(Process& process);
  void note(std::uint64_t value);
  void broken(std::string what);

  // session_sim_writer.cc
  Process new_writer();
  void writer_acts(Process& process);
  void begin(Process& process);
  void feed(Process& process, const WriterEvent& event);
  void noticed(Process& process, const WriterNotice& notice);
  void began(Process& process, std::uint64_t handle, Script& script);
  void choose_parent(Process& process, std::uint64_t handle, Script& script);
  void share(Process& process, std::uint64_t handle);
  void write_packs(Process& process, std::uint64_t handle);
  void write_roots(Process& process, std::uint64_t handle);
  void packs_written(Process& process, std::uint64_t handle);
  void load_memory(Process& process);
  void forget(Process& process, const CollectorState& state);
  void landed(Process& process, const Flight& flight, SessionOutcome outcome, const ValuePtr& value);
  void deleter_acts();

  // session_sim_collector.cc
  Process new_collector();
  void feed_collector(Process& process, const CollectorEvent& event);
  SessionAnswer collector_answer(Process& process, const SessionOp& op);
  MarkResult mark(const Process& process, const SessionOp& op) const;
  SessionOutcome rewrite(const SessionOp& op, bool reliable);
  void collector_done(Process& process);

  // session_sim_check.cc
  void check();
  void look_at_state();
  void check_roots();
  [[nodiscard]] std::string what_is_left() const;

  Chance chance_;
  std::uint64_t seed_;
  SessionMutation mutation_;
  DriverFault fault_;
  bool exclusive_;
  unsigned failures_;  ///< of a thousand operations
  unsigned kills_;     ///< of ten thousand steps
  unsigned pauses_;    ///< of writers, of a thousand steps
  unsigned hurry_;     ///< percent of the steps that are collectors' in any case
  unsigned deletions_;
  std::uint64_t lag_;  ///< of listings, in changes
  std::size_t writers_;
  std::size_t collectors_;
  bool calm_ = false;
  std::uint64_t now_ = 0;
  std::optional<Violation> violation_;
  std::uint64_t trace_ = 14695981039346656037ULL;
  std::map<std::string, std::uint64_t> counts_;

  Store store_;
  std::vector<Process> processes_;
  Process deleter_;
  std::uint64_t next_instance_ = 1;
  std::uint64_t next_handle_ = 1;
  std::uint64_t next_root_ = 1;
  std::uint64_t next_pack_ = 1;
  std::map<std::string, Fate> fates_;   ///< of roots, as the writers were told
  std::set<std::uint64_t> dead_seats_;  ///< of killed writers

  std::uint64_t told_ = 0;  ///< how often a fate was changed
  std::uint64_t checked_ = ~std::uint64_t{0};
  CollectorState state_;  ///< as anybody who looks now would find it
  RootCatalogue catalogue_;
};

}  // namespace cacs::repository::sim
