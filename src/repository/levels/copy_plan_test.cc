#include "repository/levels/copy_plan.h"

#include <gtest/gtest.h>

namespace cacs::repository {
namespace {

PackVersion object(std::uint32_t generation, std::uint64_t size) {
  return {.id = *PackId::from_hex("0102030405060708090a0b0c0d0e0f10"), .generation = generation, .size = size};
}

TEST(CopyPlanTest, WhatIsNotThereIsCopied) { EXPECT_EQ(pack_step(object(1, 100), {}), PackStep::kCopy); }

TEST(CopyPlanTest, AGenerationThatIsThereCoversEveryLaterOneOfOurs) {
  for (std::uint32_t ours = 1; ours <= 4; ++ours) {
    for (std::uint32_t theirs = 1; theirs <= 4; ++theirs) {
      const PackStep expected = theirs <= ours ? PackStep::kNone : PackStep::kCompare;
      EXPECT_EQ(pack_step(object(ours, 100), {{theirs, 100}}), expected) << ours << " " << theirs;
    }
  }
}

TEST(CopyPlanTest, TheHighestThatIsThereCounts) {
  EXPECT_EQ(pack_step(object(2, 100), {{1, 200}, {3, 50}}), PackStep::kCompare);
  EXPECT_EQ(pack_step(object(3, 50), {{1, 200}, {3, 50}}), PackStep::kNone);
}

TEST(CopyPlanTest, AnotherLengthUnderTheSameNameIsReplaced) {
  EXPECT_EQ(pack_step(object(2, 100), {{2, 99}}), PackStep::kReplace);
  EXPECT_EQ(pack_step(object(2, 100), {{1, 99}}), PackStep::kNone);  // another generation, another length
}

TEST(CopyPlanTest, ThePlanKeepsTheOrderAndCountsWhatIsWritten) {
  const PackVersion first = object(1, 100);
  PackVersion second = object(1, 10);
  second.id = *PackId::from_hex("ff02030405060708090a0b0c0d0e0f10");
  PackVersion third = object(2, 1);
  third.id = *PackId::from_hex("ee02030405060708090a0b0c0d0e0f10");
  PackVersion fourth = object(1, 1000);
  fourth.id = *PackId::from_hex("dd02030405060708090a0b0c0d0e0f10");
  const CopyPlan plan =
      plan_copy({second, first, third, fourth}, {{first.id, {{1, 7}}}, {third.id, {{3, 1}}}, {fourth.id, {{1, 1000}}}});
  const std::vector<CopyPlan::Item> expected = {
      {second, PackStep::kCopy}, {first, PackStep::kReplace}, {third, PackStep::kCompare}};
  EXPECT_EQ(plan.items, expected);
  EXPECT_EQ(plan.bytes, 110U);
}

}  // namespace
}  // namespace cacs::repository
