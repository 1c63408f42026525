#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "application/action_lanes.h"
#include "application/lifecycle.h"

/// A simulated world around the production state machine: a database that loses what was not synced, agents and a cloud
/// that fail, delay and repeat, programs that die, users that ask for anything at any time, and crashes of the server
/// between any two of its acts. Everything follows from the seed.
namespace cacs::application::sim {

/// Faults planted in the driver rather than in the machine.
enum class DriverFault { kNone, kActBeforePersist, kSkipPersist };

struct Violation {
  std::uint64_t seed = 0;
  std::string what;
};

class Simulation {
 public:
  Simulation(std::uint64_t seed, Mutation mutation, DriverFault fault);

  /// One whole life: chaos, then calm, then deletion. The first broken invariant, if any.
  std::optional<Violation> run();

  /// A digest of everything that happened.
  [[nodiscard]] std::uint64_t trace() const { return trace_; }

 private:
  enum class Life { kRunning, kFrozen, kTainted, kDead, kFailed };
  struct SimPod {
    int incarnation = 0;
    Life life = Life::kRunning;
    PodExit exit;
    Error error;
    bool open = true;      ///< others hear it
    bool dragged = false;  ///< the command failed because this or another pod had died
  };
  struct SimCut {
    bool prepared = false;
    bool thawed = false;
    bool stored = false;
  };
  struct Manifest {
    int incarnation = 0;
    CheckpointReason reason = CheckpointReason::kRequest;
    bool corrupt = false;
  };
  struct Running {
    Action action;
    std::optional<Event> result;  ///< once it has taken effect
  };

  // chance
  bool chance(int percent);
  std::size_t pick(std::size_t count);
  void broken(std::string what);
  void note(std::uint64_t value);

  // the server (lifecycle_sim_server.cc)
  void apply(const Event& event);
  void check_retention(const State& next);
  void check_restart(const Event& event, const State& next);
  void check_blame(const State& next);
  void check_source(const State& next);
  void dispatch(const std::vector<Action>& actions);
  void start_ready();
  void effect(Running& running);
  void finish(std::size_t index);
  void crash();
  void reconcile_checkpoints();
  void reconcile_pods();
  void user_acts();

  // the world (lifecycle_sim_world.cc)
  Event execute(const Action& action);
  Event execute_nodes(const Action& action);
  Event execute_start(const Action& action);
  Event execute_open(const Action& action);
  Event execute_look(const Action& action);
  void drag_command(int incarnation);
  Event execute_cut(const Action& action);
  Event execute_delete(const Action& action);
  Event execute_check(const Action& action);
  void program_acts();
  Event received(Event message);
  std::string fresh_checkpoint();
  void agent_crash();
  void unfreeze();
  [[nodiscard]] bool alive(const SimPod& pod) const;

  // phases of a run (lifecycle_sim_world.cc)
  void chaos_step();
  bool drain();
  void check_calm();
  void check_clean();

  std::mt19937_64 random_;
  std::uint64_t seed_;
  Mutation mutation_;
  DriverFault fault_;
  bool calm_ = false;
  std::optional<Violation> violation_;
  std::uint64_t trace_ = 14695981039346656037ULL;

  // server
  State durable_;
  State memory_;
  ActionLanes lanes_;
  std::vector<Running> running_;
  std::vector<Action> delayed_;
  std::optional<Action> timer_;
  bool reconcile_ = false;
  int next_checkpoint_ = 0;

  // world
  bool claimed_ = false;
  std::vector<std::string> held_;  ///< nodes of the claim
  int claims_ = 0;
  int releases_ = 0;
  std::map<int, SimPod> pods_;
  std::map<int, int> highest_;  ///< incarnation each agent has seen of a pod
  std::map<std::string, SimCut> cuts_;
  std::map<std::string, Manifest> manifests_;
  std::vector<Event> messages_;

  // what the invariants go by
  std::set<std::string> user_deleted_;
  std::set<std::string> sound_;  ///< checkpoints that were verified
  int starts_without_progress_ = 0;
  int last_started_ = 0;
  bool user_restart_ = false;
  bool fallback_ = false;
  std::map<std::string, int> deaths_;  ///< after restores from a checkpoint, before the next one
};

}  // namespace cacs::application::sim
