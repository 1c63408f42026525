#include "application/log_lineage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace cacs::application {
namespace {

constexpr OutputStream kOut = OutputStream::kStdout;
constexpr OutputStream kErr = OutputStream::kStderr;

LogLineage lineage_of(const std::vector<std::tuple<int, int, LogSizes>>& runs) {
  LogLineage lineage;
  for (const auto& [incarnation, parent, base] : runs) {
    lineage.begin(incarnation, parent, 1);
    EXPECT_TRUE(lineage.learn(incarnation, 0, base));
  }
  return lineage;
}

TEST(LogLineage, AReaderOfTheSameIncarnationKeepsAll) {
  const LogLineage lineage = lineage_of({{1, 0, {}}});
  EXPECT_EQ(lineage.kept(0, kOut, 1, 100, 1), 100U);
  EXPECT_EQ(LogLineage().kept(0, kOut, 7, 100, 7), 100U);
}

TEST(LogLineage, ARestoreTakesBackWhatCameAfterItsCheckpointOfEachStream) {
  const LogLineage lineage = lineage_of({{1, 0, {}}, {2, 1, {.out = 40, .err = 7}}});
  EXPECT_EQ(lineage.kept(0, kOut, 1, 100, 2), 40U);
  EXPECT_EQ(lineage.kept(0, kErr, 1, 100, 2), 7U);
  EXPECT_EQ(lineage.kept(0, kOut, 1, 30, 2), 30U) << "the reader was behind the checkpoint";
}

TEST(LogLineage, TheLowestOfSeveralRestoresCounts) {
  const LogLineage lineage = lineage_of({{1, 0, {}}, {2, 1, {.out = 40}}, {3, 2, {.out = 70}}, {4, 3, {.out = 90}}});
  EXPECT_EQ(lineage.kept(0, kOut, 1, 100, 4), 40U);
  EXPECT_EQ(lineage.kept(0, kOut, 2, 100, 4), 70U);
  EXPECT_EQ(lineage.kept(0, kOut, 3, 80, 4), 80U);
}

TEST(LogLineage, ACheckpointOfAnAbandonedBranchPartsWhereTheBranchDid) {
  // Restored to 40, then, from a later checkpoint of the first incarnation, to 80: what the second wrote past 40 is not
  // in the third, although 60 is less than 80.
  const LogLineage lineage = lineage_of({{1, 0, {}}, {2, 1, {.out = 40}}, {3, 1, {.out = 80}}});
  EXPECT_EQ(lineage.kept(0, kOut, 2, 60, 3), 40U);
  EXPECT_EQ(lineage.kept(0, kOut, 1, 100, 3), 80U);
}

TEST(LogLineage, ARestartFromTheBeginningKeepsNothing) {
  const LogLineage lineage = lineage_of({{1, 0, {}}, {2, 0, {.out = 50}}});
  EXPECT_EQ(lineage.kept(0, kOut, 1, 100, 2), 0U);
}

TEST(LogLineage, WhatIsNotKnownIsNotKept) {
  LogLineage lineage = lineage_of({{1, 0, {}}});
  lineage.begin(2, 1, 1);
  EXPECT_TRUE(lineage.has(2));
  EXPECT_FALSE(lineage.knows(2, 0));
  EXPECT_EQ(lineage.kept(0, kOut, 1, 10, 2), 0U);
  EXPECT_EQ(lineage.kept(0, kOut, 9, 10, 1), 0U) << "an incarnation of another life";
  EXPECT_FALSE(lineage.learn(2, 1, {})) << "a pod that it has not";
  EXPECT_FALSE(lineage.learn(3, 0, {}));
  EXPECT_TRUE(lineage.learn(2, 0, {.out = 4}));
  EXPECT_FALSE(lineage.learn(2, 0, {.out = 9})) << "the first word counts";
  EXPECT_EQ(lineage.kept(0, kOut, 1, 10, 2), 4U);
  lineage.begin(2, 0, 1);
  EXPECT_EQ(lineage.kept(0, kOut, 1, 10, 2), 4U) << "begun twice";
}

TEST(LogLineage, AnIncarnationThatNeverWroteDoesNotMatter) {
  LogLineage lineage = lineage_of({{1, 0, {}}});
  lineage.begin(2, 1, 1);  // its pod could not be made: nobody learned of a base
  lineage.begin(3, 1, 1);
  EXPECT_TRUE(lineage.learn(3, 0, {.out = 60}));
  EXPECT_EQ(lineage.kept(0, kOut, 1, 100, 3), 60U);
}

TEST(LogLineage, IsStoredAndReadBack) {
  LogLineage lineage;
  lineage.begin(1, 0, 2);
  lineage.begin(5, 1, 2);
  EXPECT_TRUE(lineage.learn(5, 1, {.out = std::uint64_t{1} << 62U, .err = 3}));
  EXPECT_EQ(LogLineage::from_json(lineage.to_json()), lineage);
  EXPECT_EQ(LogLineage::from_json(JsonArray{1, JsonObject{}, JsonObject{{"bases", "x"}}}), LogLineage());
}

/// The truth: every byte ever written is a number of its own, and each incarnation's output a list of them.
struct Model {
  struct Saved {
    int incarnation;
    std::vector<int> bytes;
  };
  std::mt19937_64 random;
  LogLineage lineage;
  std::map<int, std::vector<int>> outputs;
  std::vector<Saved> checkpoints;
  int now = 0;
  int next_byte = 0;

  explicit Model(std::uint64_t seed) : random(seed) { restore(0, {}); }

  void restore(int parent, std::vector<int> bytes) {
    if (random() % 10 == 0) lineage.begin(++now, parent, 1);  // its pod could not be made: it never wrote
    lineage.begin(++now, parent, 1);
    EXPECT_TRUE(lineage.learn(now, 0, {.out = bytes.size(), .err = 0}));
    outputs[now] = std::move(bytes);
  }
  void act() {
    const auto dice = random() % 10;
    if (dice < 5) {
      for (std::uint64_t left = random() % 8; left > 0; --left) outputs[now].push_back(next_byte++);
    } else if (dice < 7) {
      checkpoints.push_back({now, outputs[now]});
    } else if (checkpoints.empty() || random() % 12 == 0) {
      restore(0, {});
    } else {
      const std::size_t recent = std::min<std::size_t>(checkpoints.size(), 1 + random() % 4);
      const Saved saved = checkpoints[checkpoints.size() - recent];
      restore(saved.incarnation, saved.bytes);
    }
  }
  /// Of what a reader at (incarnation, offset) has, what is true now.
  [[nodiscard]] std::size_t truth(int incarnation, std::size_t offset) const {
    const auto& mine = outputs.at(incarnation);
    const auto& theirs = outputs.at(now);
    const auto end = mine.begin() + static_cast<std::ptrdiff_t>(offset);
    return static_cast<std::size_t>(std::mismatch(mine.begin(), end, theirs.begin(), theirs.end()).first -
                                    mine.begin());
  }
};

TEST(LogLineage, SaysWhatAModelOfEveryByteSays) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Model model(seed);
    for (int i = 0; i < 120; ++i) {
      model.act();
      for (const auto& [incarnation, bytes] : model.outputs) {
        const std::size_t offset = bytes.empty() ? 0 : model.random() % (bytes.size() + 1);
        const std::size_t truth = model.truth(incarnation, offset);
        const std::uint64_t said = model.lineage.kept(0, kOut, incarnation, offset, model.now);
        ASSERT_LE(said, truth) << "seed " << seed << ": a reader at " << incarnation << ":" << offset
                               << " keeps what is not there any more";
        // Exact for the incarnations that are remembered.
        if (model.now - incarnation < 20) {
          ASSERT_EQ(said, truth) << "seed " << seed << " at " << incarnation;
        }
      }
    }
  }
}

/// A reader that comes and goes, told by kept() alone, has in the end what there is.
TEST(LogLineage, AReaderThatComesAndGoesEndsWithWhatThereIs) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Model model(seed);
    std::vector<int> has;
    int incarnation = 0;
    const auto read = [&](std::size_t limit) {
      if (incarnation != 0) has.resize(model.lineage.kept(0, kOut, incarnation, has.size(), model.now));
      incarnation = model.now;
      const auto& bytes = model.outputs.at(model.now);
      ASSERT_LE(has.size(), bytes.size());
      for (; has.size() < bytes.size() && limit > 0; --limit) has.push_back(bytes[has.size()]);
    };
    for (int i = 0; i < 200; ++i) {
      model.act();
      if (model.random() % 7 == 0) read(model.random() % 30);
    }
    read(1'000'000);
    ASSERT_EQ(has, model.outputs.at(model.now)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace cacs::application
