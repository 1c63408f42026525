// The cut's production machine against simulated agents: failures, deaths, delays, lost and repeated messages, calls
// that overtake each other, at random but from a seed. What must hold is checked in `World`; at the end of the file
// mutants of the machine are run, and every one must be found.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/cut.h"

namespace cacs::checkpoint {
namespace {

using StepFunction = std::function<CutStep(CutState, const CutEvent&)>;

constexpr int kShimDeadline = 400;
constexpr int kCallTimeout = 120;

/// A pod with its shim and what its agent knows of the cut.
struct SimPod {
  enum class Cut { kNone, kDumping, kPrepared, kStoring, kStored, kAborted, kFailed };
  Cut cut = Cut::kNone;
  bool frozen = false;
  bool dead = false;
  int frozen_from = 0;
  int frozen_to = 0;
  int aborts_sent = 0;
  bool begin_lost = false;  ///< the machine was told that its begin went unanswered
};

class World {
 public:
  World(std::uint64_t seed, StepFunction step_function) : random_(seed), step_(std::move(step_function)) {
    pods_.resize(1 + random_() % 4);
    state_ = initial_cut(pods_.size());
    loss_ = std::vector{0, 0, 5, 20}[random_() % 4];
    failure_ = std::vector{0, 3, 15}[random_() % 3];
    max_delay_ = chance(50) ? 10 : 100;
  }

  void run() {
    at(0, [this] { feed({.kind = CutEventKind::kStart}); });
    if (chance(15)) at(pick(300), [this] { feed({.kind = CutEventKind::kCancel, .error = reason("cancelled")}); });
    if (chance(15)) at(pick(300), [this] { feed({.kind = CutEventKind::kTimeout, .error = reason("timeout")}); });
    for (std::size_t pod = 0; pod < pods_.size(); ++pod) {
      if (chance(failure_)) at(pick(300), [this, pod] { die(pod); });
    }
    int events = 0;
    while (!agenda_.empty() && ++events < 10'000) {
      const auto first = agenda_.begin();
      now_ = first->first;
      const auto act = std::move(first->second);
      agenda_.erase(first);
      act();
    }
    check_rest();
  }

  [[nodiscard]] const std::string& violation() const { return violation_; }
  [[nodiscard]] CutPhase end() const { return state_.phase; }
  [[nodiscard]] const std::string& trace() const { return trace_; }

 private:
  using Cut = SimPod::Cut;

  bool chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  int pick(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }
  static Error reason(const std::string& why) { return make_error(ErrorCode::kAborted, why); }
  void at(int delay, std::function<void()> act) { agenda_.emplace(now_ + delay, std::move(act)); }
  void violate(const std::string& what) {
    if (violation_.empty()) violation_ = fmt::format("at {}: {}", now_, what);
  }

  void feed(const CutEvent& event) {
    trace_ += fmt::format("{}:{}.{}.{} ", now_, static_cast<int>(event.kind), static_cast<int>(event.call), event.pod);
    const bool ended = is_end(state_.phase);
    CutStep next = step_(std::move(state_), event);
    state_ = std::move(next.state);
    if (ended && !next.actions.empty()) violate("an action after the end");
    for (const CutAction& action : next.actions) make_call(action);
    if (!ended && is_end(state_.phase)) check_end();
  }

  /// Carries a call to its agent and the answer back, or loses one of them. Either way it is answered once (or twice).
  void make_call(const CutAction& action) {
    if (action.call == Call::kAbort) ++pods_[action.pod].aborts_sent;
    if (chance(loss_)) {
      // The request is lost, or comes so late that its caller has given up; or only the answer is lost.
      const bool arrives = chance(60);
      if (arrives) at(pick(2 * kCallTimeout), [this, action] { perform(action, [](CutEventKind) {}); });
      return at(kCallTimeout, [this, action] { answer(action, CutEventKind::kUnreachable); });
    }
    at(1 + pick(max_delay_), [this, action] {
      perform(action, [this, action](CutEventKind how) {
        at(1 + pick(max_delay_), [this, action, how] { answer(action, how); });
        if (chance(5)) at(1 + pick(2 * max_delay_), [this, action, how] { answer(action, how); });
      });
    });
  }

  void answer(const CutAction& action, CutEventKind how) {
    if (action.call == Call::kBegin && how == CutEventKind::kUnreachable) pods_[action.pod].begin_lost = true;
    feed({.kind = how,
          .call = action.call,
          .pod = action.pod,
          .attempt = action.attempt,
          .error = reason("call failed")});
  }

  using Answer = std::function<void(CutEventKind)>;

  void perform(const CutAction& action, const Answer& reply) {
    SimPod& pod = pods_[action.pod];
    switch (action.call) {
      case Call::kBegin:
        return begin(action.pod, reply);
      case Call::kThaw:
        if (pod.cut == Cut::kPrepared) {
          thaw(pod, Cut::kStoring);
          const bool fails = chance(failure_);
          at(1 + pick(60), [&pod, fails] {
            if (pod.cut == Cut::kStoring) pod.cut = fails ? Cut::kFailed : Cut::kStored;
          });
        }
        return reply(pod.cut == Cut::kStoring || pod.cut == Cut::kStored ? CutEventKind::kDone : CutEventKind::kFailed);
      case Call::kWatch:
        if (pod.cut == Cut::kStoring) return at(5, [this, action, reply] { perform(action, reply); });
        return reply(pod.cut == Cut::kStored ? CutEventKind::kDone : CutEventKind::kFailed);
      case Call::kAbort:
        // An agent that has not seen the cut yet has nothing to remember.
        if (pod.cut != Cut::kNone) thaw(pod, Cut::kAborted);
        return reply(CutEventKind::kDone);
      case Call::kCommit:
        return commit(reply);
    }
  }

  void begin(std::size_t index, const Answer& reply) {
    SimPod& pod = pods_[index];
    if (pod.cut != Cut::kNone || pod.dead) return reply(CutEventKind::kFailed);
    pod.cut = Cut::kDumping;
    pod.frozen = true;
    const bool fails = chance(failure_);
    at(1 + pick(80), [this, &pod, reply, fails] {
      if (pod.cut != Cut::kDumping) return reply(CutEventKind::kFailed);
      if (fails) {
        thaw(pod, Cut::kFailed);
        return reply(CutEventKind::kFailed);
      }
      pod.cut = Cut::kPrepared;
      pod.frozen_from = now_;
      reply(CutEventKind::kDone);
    });
    at(kShimDeadline, [&pod, this] {
      if (pod.frozen) thaw(pod, Cut::kAborted);
    });
  }

  void thaw(SimPod& pod, Cut then) {
    if (pod.frozen) pod.frozen_to = now_;
    pod.frozen = false;
    pod.cut = then;
  }

  void die(std::size_t index) {
    SimPod& pod = pods_[index];
    pod.dead = true;
    if (pod.frozen) thaw(pod, Cut::kFailed);
    if (chance(70)) feed({.kind = CutEventKind::kPodDied, .pod = index, .error = reason("died")});
  }

  void commit(const Answer& reply) {
    if (chance(failure_)) return reply(CutEventKind::kFailed);
    int last_frozen = 0;
    int first_thawed = 1 << 30;
    for (const SimPod& pod : pods_) {
      if (pod.cut != Cut::kStored) violate("a commit of what is not stored");
      last_frozen = std::max(last_frozen, pod.frozen_from);
      first_thawed = std::min(first_thawed, pod.frozen_to);
    }
    if (last_frozen > first_thawed) violate("a commit of pods that were never frozen all at once");
    committed_ = true;
    reply(CutEventKind::kDone);
  }

  void check_end() {
    if (state_.phase == CutPhase::kCommitted && !committed_) violate("said to be committed, and is not");
    if (state_.phase != CutPhase::kCommitted && !state_.failure) violate("failed without a reason");
    for (const SimPod& pod : pods_) {
      const bool tried_enough = pod.aborts_sent >= kMaxAttempts;
      if (pod.frozen && !pod.begin_lost && !tried_enough) violate("ended with a pod frozen that could be reached");
    }
    for (const CutPod& pod : state_.pods) {
      const bool open = std::ranges::any_of(pod.open, [](bool is_open) { return is_open; });
      if (open) violate("ended with a call open");
    }
  }

  void check_rest() {
    if (!is_end(state_.phase)) violate("never ended");
    if (state_.phase == CutPhase::kFailed && committed_) violate("said to have failed, and is committed");
    for (const SimPod& pod : pods_) {
      if (pod.frozen) violate("frozen for ever");
    }
  }

  std::minstd_rand random_;
  StepFunction step_;
  std::vector<SimPod> pods_;
  CutState state_;
  std::multimap<int, std::function<void()>> agenda_;
  int now_ = 0;
  int loss_ = 0;
  int failure_ = 0;
  int max_delay_ = 0;
  bool committed_ = false;
  std::string violation_;
  std::string trace_;
};

TEST(CutSimulationTest, HoldsItsRulesOverRandomSchedules) {
  std::map<CutPhase, int> ends;
  for (std::uint64_t seed = 1; seed <= 100'000; ++seed) {
    World world(seed, step);
    world.run();
    ASSERT_EQ(world.violation(), "") << "seed " << seed << "\n" << world.trace();
    ++ends[world.end()];
  }
  // The schedules are worth something: every end is reached, often.
  EXPECT_GT(ends[CutPhase::kCommitted], 20'000);
  EXPECT_GT(ends[CutPhase::kFailed], 20'000);
  EXPECT_GT(ends[CutPhase::kUnknown], 50);
}

TEST(CutSimulationTest, TheSameSeedIsTheSameRun) {
  for (std::uint64_t seed = 1; seed < 50; ++seed) {
    World one(seed, step);
    World two(seed, step);
    one.run();
    two.run();
    ASSERT_EQ(one.trace(), two.trace());
  }
}

/// The machine, with one kind of failed answer taken for success.
StepFunction believing(CutEventKind lie, Call call) {
  return [lie, call](CutState state, const CutEvent& event) {
    CutEvent seen = event;
    if (event.kind == lie && event.call == call) seen.kind = CutEventKind::kDone;
    return step(std::move(state), seen);
  };
}

/// A dump or a thaw alone that failed and is taken for good is refused by the agent one call later: no harm, no
/// finding.
CutStep believes_every_refusal(CutState state, const CutEvent& event) {
  CutEvent seen = event;
  if (event.kind == CutEventKind::kFailed) seen.kind = CutEventKind::kDone;
  return step(std::move(state), seen);
}

CutStep thaws_each_when_prepared(CutState state, const CutEvent& event) {
  const bool prepared = event.kind == CutEventKind::kDone && event.call == Call::kBegin;
  CutStep next = step(std::move(state), event);
  if (prepared && next.state.phase == CutPhase::kPreparing) {
    next.actions.push_back({.call = Call::kThaw, .pod = event.pod});
  }
  return next;
}

CutStep commits_when_the_first_is_stored(CutState state, const CutEvent& event) {
  if (event.kind == CutEventKind::kDone && event.call == Call::kWatch && state.phase == CutPhase::kStoring) {
    for (CutPod& pod : state.pods) pod.stored = true;
  }
  return step(std::move(state), event);
}

CutStep forgets_to_abort_the_last(CutState state, const CutEvent& event) {
  CutStep next = step(std::move(state), event);
  const std::size_t last = next.state.pods.size() - 1;
  const auto removed = std::erase_if(
      next.actions, [last](const CutAction& action) { return action.call == Call::kAbort && action.pod == last; });
  if (removed == 0) return next;
  next.state.pods[last].open[static_cast<std::size_t>(Call::kAbort)] = false;
  next.state.pods[last].quiet = true;
  next.state = step(std::move(next.state), {}).state;
  return next;
}

CutStep does_not_abort_again(CutState state, const CutEvent& event) {
  CutStep next = step(std::move(state), event);
  for (CutPod& pod : next.state.pods) pod.abort_again = false;
  return next;
}

CutStep takes_a_lost_commit_for_a_failed_one(CutState state, const CutEvent& event) {
  CutStep next = step(std::move(state), event);
  if (next.state.phase == CutPhase::kUnknown) next.state.phase = CutPhase::kFailed;
  return next;
}

CutStep cancels_a_commit(CutState state, const CutEvent& event) {
  const bool late = state.phase == CutPhase::kCommitting && event.kind == CutEventKind::kCancel;
  CutStep next = step(std::move(state), event);
  if (late) {
    next.state.phase = CutPhase::kFailed;
    next.state.failure = event.error;
    next.state.pods.front().open[static_cast<std::size_t>(Call::kCommit)] = false;
  }
  return next;
}

CutStep ignores_timeouts_and_lost_begins(CutState state, const CutEvent& event) {
  if (event.kind == CutEventKind::kUnreachable && event.call == Call::kBegin)
    return {.state = std::move(state), .actions = {}};
  return step(std::move(state), event);
}

TEST(CutSimulationTest, EveryMutantIsFound) {
  const std::map<std::string, StepFunction> mutants{
      {"every refusal is taken for success", believes_every_refusal},
      {"failed storing is taken for good", believing(CutEventKind::kFailed, Call::kWatch)},
      {"a failed commit is taken for a good one", believing(CutEventKind::kFailed, Call::kCommit)},
      {"a lost watch is taken for a good one", believing(CutEventKind::kUnreachable, Call::kWatch)},
      {"a lost commit is taken for a good one", believing(CutEventKind::kUnreachable, Call::kCommit)},
      {"a lost abort is not repeated", believing(CutEventKind::kUnreachable, Call::kAbort)},
      {"pods are thawed one by one", thaws_each_when_prepared},
      {"commits when the first is stored", commits_when_the_first_is_stored},
      {"forgets to abort the last pod", forgets_to_abort_the_last},
      {"an abort that was overtaken is not repeated", does_not_abort_again},
      {"a lost commit is taken for a failed one", takes_a_lost_commit_for_a_failed_one},
      {"cancels while committing", cancels_a_commit},
      {"waits for a begin that was lost", ignores_timeouts_and_lost_begins},
  };
  for (const auto& [name, mutant] : mutants) {
    bool found = false;
    for (std::uint64_t seed = 1; seed <= 20'000 && !found; ++seed) {
      World world(seed, mutant);
      world.run();
      found = !world.violation().empty();
    }
    EXPECT_TRUE(found) << name;
  }
}

}  // namespace
}  // namespace cacs::checkpoint
