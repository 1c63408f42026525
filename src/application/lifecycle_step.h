#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "application/lifecycle.h"

/// The inside of step(): private to the life cycle's sources.
namespace cacs::application::internal {

/// One step: a copy of the state being changed, and what comes out beside it.
inline bool is_starting(const State& state) {
  return state.stage == StartStage::kStart || state.stage == StartStage::kOpen;
}

class Step {
 public:
  Step(State state, Mutation mutation) : s_(std::move(state)), mutation_(mutation) {}

  void handle(const Event& event);
  void settle();

  [[nodiscard]] const State& state() const { return s_; }
  [[nodiscard]] const std::vector<Note>& notes() const { return notes_; }
  [[nodiscard]] const std::optional<Error>& refusal() const { return refusal_; }
  [[nodiscard]] const std::optional<Error>& restart_refusal() const { return restart_refusal_; }
  /// Actions to give out although they were wanted before.
  [[nodiscard]] const std::vector<Action>& again() const { return again_; }

 private:
  // lifecycle.cpp: nodes and pods
  void handle_nodes(const Event& event);
  void handle_pod(const Event& event);
  void pod_ended(Pod& pod, const PodExit& exit);
  void start_failed(const Event& event);
  void judge_exits(bool looked = false);
  void pods_looked_at(const Event& event);
  void recover(const std::string& why);
  void fail(const std::string& why);
  void complete();
  void begin_restart(std::string source, bool asked, std::string why);
  void enter(Phase phase, std::string reason);

  // lifecycle_cut.cpp: cuts and checkpoints
  void handle_cut(const Event& event);
  [[nodiscard]] bool is_known(const Requester& requester) const;
  void request_checkpoint(const Event& event);
  void request_restart(const Event& event);
  void restart_checked(const Event& event);
  void start_asked(const std::string& checkpoint, std::optional<NodeWish> wish);
  void request_delete_checkpoint(const Event& event);
  void checkpoint_found(const Event& event);
  void time_limit(const Event& event);
  void timer_fired(const Event& event);
  void begin_cut(QueuedCut next);
  void stop_cut(const std::string& why);
  void finish_cut(bool committed);
  static void note_problem(Checkpoint& checkpoint, const Error& error);
  void tell(const Requester& requester, const std::string& checkpoint, const std::string& error);
  void refuse_queue(const std::string& why);
  void retain();
  void action_failed(const Event& event);
  void recovered();

  // lifecycle_settle.cpp: what follows from the state without an event
  bool settle_once();
  bool settle_start();
  bool settle_end();
  void destroy_live();
  void destroy_all();
  void choose_and_start();
  void start_pods();
  void run();
  [[nodiscard]] bool quiet() const;
  Checkpoint* find(std::string_view id);

  State s_;
  std::vector<Note> notes_;
  std::optional<Error> refusal_;
  std::optional<Error> restart_refusal_;
  std::vector<Action> again_;
  Mutation mutation_;
};

}  // namespace cacs::application::internal
