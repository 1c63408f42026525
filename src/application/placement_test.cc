#include "application/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "application/parts.h"

namespace cacs::application {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

State placed(int pods, std::vector<std::string> nodes) {
  State state = initial_state({.pods = pods, .restart_on_codes = {}});
  state.node_names = std::move(nodes);
  return state;
}

TEST(Placement, NeighboursAreTogetherAndNoNodeHasTwoMoreThanAnother) {
  EXPECT_THAT(pods_on(placed(4, {"a", "b"}), "a"), ElementsAre(0, 1));
  EXPECT_THAT(pods_on(placed(4, {"a", "b"}), "b"), ElementsAre(2, 3));
  for (int pods = 1; pods <= 40; ++pods) {
    for (std::size_t nodes = 1; nodes <= static_cast<std::size_t>(pods); ++nodes) {
      std::vector<int> count(nodes, 0);
      std::size_t last = 0;
      for (int pod = 0; pod < pods; ++pod) {
        const std::size_t node = node_index(pod, pods, nodes);
        ASSERT_LT(node, nodes);
        ASSERT_GE(node, last);
        last = node;
        ++count[node];
      }
      EXPECT_LE(*std::ranges::max_element(count) - *std::ranges::min_element(count), 1) << pods << " on " << nodes;
    }
  }
}

TEST(Placement, MoreNodesThanPodsLeavesSomeEmpty) {
  EXPECT_THAT(nodes_with_pods(placed(2, {"a", "b", "c"})), ElementsAre("a", "b"));
}

TEST(Placement, WithoutNodesThereIsNone) {
  EXPECT_EQ(node_of(placed(2, {}), 0), "");
  EXPECT_EQ(node_of(placed(2, {"a"}), 2), "");
  EXPECT_EQ(node_of(placed(2, {"a"}), -1), "");
  EXPECT_THAT(nodes_with_pods(placed(2, {})), IsEmpty());
}

Part part(const std::string& node, JsonArray pods, JsonArray levels = {"local"}, std::int64_t of_pods = 3) {
  return {node, JsonObject{{"checkpoint", "c"},
                           {"pods", std::move(pods)},
                           {"of_pods", of_pods},
                           {"levels", std::move(levels)},
                           {"size_bytes", 10},
                           {"stored_bytes", 4}}};
}

TEST(Parts, WhatTwoNodesHaveCountsOnce) {
  const Part first = part("a", {"pod-0", "pod-1"}, {"local", "remote"});
  const Part second = part("b", {"pod-2"}, {"local"});
  const Part copy = part("c", {"pod-1"}, {"local"});
  JsonObject said = merge_parts({first, second, copy});
  EXPECT_EQ(said.at("pods"), (JsonArray{"pod-0", "pod-1", "pod-2"}));
  EXPECT_EQ(said.at("size_bytes"), 20);
  EXPECT_EQ(said.at("stored_bytes"), 12) << "a copy takes its place";
  EXPECT_EQ(said.at("levels"), JsonArray{"local"});
  note_levels(said, "b", {"local", "remote"});
  EXPECT_EQ(said.at("levels"), (JsonArray{"local", "remote"})) << "every pod is there, if not every copy";
}

TEST(Parts, AreACheckpointWhenTheyHaveEveryPod) {
  const Part first = part("a", {"pod-0", "pod-1"});
  const Part second = part("b", {"pod-2"});
  EXPECT_TRUE(is_whole({first, second}));
  EXPECT_TRUE(is_whole({second, first}));
  EXPECT_FALSE(is_whole({first}));
  EXPECT_FALSE(is_whole({second}));
  EXPECT_FALSE(is_whole({first, first})) << "the same pods twice are not others";
  EXPECT_FALSE(is_whole({}));
}

TEST(Parts, AManifestThatDoesNotSayHowManyIsWhole) {
  Part old = part("a", {"pod-0"});
  old.said.erase("of_pods");
  EXPECT_TRUE(is_whole({old}));
}

TEST(Parts, OneAloneIsToldAsItIs) {
  const Part only = part("a", {"pod-0"}, {"local", "remote"}, 1);
  EXPECT_EQ(merge_parts({only}), only.said);
}

TEST(Parts, SizesAddUpAndALevelIsReachedWhenAllHave) {
  JsonObject said = merge_parts({part("a", {"pod-0", "pod-1"}, {"local", "remote"}), part("b", {"pod-2"}, {"local"})});
  EXPECT_EQ(said.at("size_bytes"), 20);
  EXPECT_EQ(said.at("stored_bytes"), 8);
  EXPECT_EQ(said.at("pods"), (JsonArray{"pod-0", "pod-1", "pod-2"}));
  EXPECT_EQ(said.at("levels"), JsonArray{"local"});
  note_levels(said, "c", {"local", "remote"});
  EXPECT_EQ(said.at("levels"), JsonArray{"local"}) << "a node that has no part of it";
  note_levels(said, "b", {"local", "remote"});
  EXPECT_EQ(said.at("levels"), (JsonArray{"local", "remote"}));
  note_levels(said, "a", {"remote"});
  EXPECT_EQ(said.at("levels"), JsonArray{"remote"});
}

TEST(Parts, LevelsOfOneAloneAreTheCheckpoints) {
  JsonObject said = merge_parts({part("a", {"pod-0"}, {"local"}, 1)});
  note_levels(said, "a", {"local", "remote"});
  EXPECT_EQ(said.at("levels"), (JsonArray{"local", "remote"}));
}

}  // namespace
}  // namespace cacs::application
