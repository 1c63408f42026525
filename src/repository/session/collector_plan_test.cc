// Rules of a collector's plan that random schedules hardly ever meet, each with the fault that it is there against.
#include "repository/session/collector_plan.h"

#include <gtest/gtest.h>

namespace cacs::repository {
namespace {

/// Term 1 wrote serial 10. Term 2 took over, and was slow: term 3 found no state of it, inherited from term 1, wrote
/// serial 11, and condemned a pack with serial 12. Then term 2's states arrived, serials 11 and 12 of its own, before
/// it saw that it had been superseded; a session began by the latter.
CollectorState after_a_split() {
  CollectorState state;
  state.term = 3;
  state.serial = 12;
  state.lineage = {{1, 10}};
  state.base = 1;
  state.members = {{1, MemberStatus::kActive, 1, 0}};
  state.condemned = {{"pack", 12, CondemnedPhase::kCondemned, 0, 0, {}}};
  return state;
}

CollectionFacts facts_with(const Seen& seen) {
  CollectionFacts facts;
  facts.members = {{1, MemberStatus::kActive, 1, 0}};
  facts.base = 1;
  WriterRegister content;
  content.version = 1;
  content.open = {{1, seen, {"root"}}};
  facts.registers[1] = content;
  return facts;
}

CondemnedPhase phase_after(const Seen& seen, SessionMutation mutation) {
  const auto plan = plan_collection(after_a_split(), {}, facts_with(seen), {}, mutation);
  return plan.state.condemned.at(0).phase;
}

TEST(EffectiveSerial, IsOfTheLineageOnly) {
  const auto state = after_a_split();
  EXPECT_EQ(effective_serial(state, {3, 12}), 12U);
  EXPECT_EQ(effective_serial(state, {3, 13}), 0U) << "of a later writing that the state does not know";
  EXPECT_EQ(effective_serial(state, {1, 10}), 10U);
  EXPECT_EQ(effective_serial(state, {1, 11}), 0U) << "beyond what was taken over";
  EXPECT_EQ(effective_serial(state, {2, 12}), 0U) << "of a collector that nobody took over from";
  EXPECT_EQ(effective_serial(state, {0, 0}), 0U);
}

TEST(PlanCollection, WaitsForASessionThatKnowsAnotherCollectorsSerial) {
  EXPECT_EQ(phase_after({3, 12}, SessionMutation::kNone), CondemnedPhase::kExecuting) << "it knows";
  EXPECT_EQ(phase_after({3, 11}, SessionMutation::kNone), CondemnedPhase::kCondemned);
  EXPECT_EQ(phase_after({1, 10}, SessionMutation::kNone), CondemnedPhase::kCondemned);
  EXPECT_EQ(phase_after({2, 12}, SessionMutation::kNone), CondemnedPhase::kCondemned)
      << "the serial is that of another lineage: it does not know";
}

TEST(PlanCollection, ForgettingTheLineageIsFound) {
  EXPECT_EQ(phase_after({2, 12}, SessionMutation::kForgetLineage), CondemnedPhase::kExecuting)
      << "the planted fault has no effect: the test above shows nothing";
}

TEST(PlanCollection, WhatIsExecutedAndReferencedStopsEverything) {
  auto state = after_a_split();
  state.condemned[0].phase = CondemnedPhase::kExecuting;
  auto facts = facts_with({3, 12});
  facts.mark.referenced = {"pack"};
  EXPECT_EQ(plan_collection(state, {}, facts, {}, SessionMutation::kNone).violation, "pack");
  state.condemned[0].phase = CondemnedPhase::kCondemned;
  const auto pardoned = plan_collection(state, {}, facts, {}, SessionMutation::kNone);
  EXPECT_TRUE(pardoned.violation.empty());
  EXPECT_TRUE(pardoned.state.condemned.empty());
}

TEST(ForgetRemoved, ForgetsAllWhenItMissedRemovals) {
  auto state = after_a_split();
  state.floor = 11;
  EXPECT_TRUE(forget_removed(state, {}).everything);
  EXPECT_TRUE(forget_removed(state, {1, 10}).everything);
  EXPECT_TRUE(forget_removed(state, {2, 12}).everything);
  EXPECT_FALSE(forget_removed(state, {3, 11}).everything);
}

}  // namespace
}  // namespace cacs::repository
