// What every driver of a cloud must do, whatever it drives. A new driver adds a CloudUnderTest to the list at the end.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cloud/cloud.h"
#include "cloud/local/test_support.h"

namespace cacs::cloud {
namespace {

/// A cloud that can give at least two nodes, and the way to lose and reopen its driver.
class CloudUnderTest {
 public:
  CloudUnderTest() = default;
  CloudUnderTest(const CloudUnderTest&) = delete;
  CloudUnderTest& operator=(const CloudUnderTest&) = delete;
  virtual ~CloudUnderTest() = default;
  virtual Cloud& cloud() = 0;
  virtual void reopen() = 0;
};

class LocalUnderTest final : public CloudUnderTest {
 public:
  Cloud& cloud() override { return *fixture_.cloud; }
  void reopen() override { fixture_.reopen(); }

 private:
  LocalCloudFixture fixture_{2};
};

struct Driver {
  std::string name;
  std::function<std::unique_ptr<CloudUnderTest>()> make;
};

class CloudConformance : public ::testing::TestWithParam<Driver> {
 protected:
  void SetUp() override { under_test_ = GetParam().make(); }
  Cloud& cloud() { return under_test_->cloud(); }
  std::vector<std::string> claim(const std::string& name, int count, const std::vector<std::string>& home = {}) {
    const auto nodes = cloud().claim_nodes(name, count, "", home);
    EXPECT_TRUE(nodes.ok()) << nodes.error().to_string();
    std::vector<std::string> ids;
    if (nodes.ok()) {
      for (const Node& node : *nodes) ids.push_back(node.id);
    }
    return ids;
  }
  std::unique_ptr<CloudUnderTest> under_test_;
};

TEST_P(CloudConformance, AClaimGivesThatManyDifferentNodesThatAreListed) {
  const auto ids = claim("claim-a", 2);
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 2U);
  const auto listed = cloud().list_nodes();
  ASSERT_TRUE(listed.ok());
  for (const std::string& id : ids) {
    EXPECT_TRUE(std::ranges::any_of(*listed, [&id](const Node& node) { return node.id == id; })) << id;
  }
}

TEST_P(CloudConformance, AClaimRepeatedGivesTheSameNodesAlsoAfterACrash) {
  const auto first = claim("claim-a", 2);
  EXPECT_EQ(claim("claim-a", 2), first);
  under_test_->reopen();
  EXPECT_EQ(claim("claim-a", 2), first);
  EXPECT_EQ(claim("claim-a", 1), first) << "the claim stands as it was first made";
}

TEST_P(CloudConformance, ReleaseIsIdempotentAndLasts) {
  claim("claim-a", 2);
  ASSERT_TRUE(cloud().release_nodes("claim-a").ok());
  ASSERT_TRUE(cloud().release_nodes("claim-a").ok());
  ASSERT_TRUE(cloud().release_nodes("never-made").ok());
  under_test_->reopen();
  EXPECT_EQ(claim("claim-a", 1).size(), 1U) << "released: a new claim of one node";
}

TEST_P(CloudConformance, WhoComesBackGetsTheNodesWhereHisThingsAre) {
  const auto all = claim("claim-a", 2);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(claim("claim-b", 1, {all[1]}), std::vector<std::string>{all[1]});
  EXPECT_EQ(claim("claim-c", 2, {all[1], all[0]}), (std::vector<std::string>{all[1], all[0]}));
  EXPECT_EQ(claim("claim-d", 2, {"no-such-node", all[1]}).front(), all[1]);
  EXPECT_EQ(claim("claim-e", 1, {"no-such-node"}).size(), 1U);
}

TEST_P(CloudConformance, MoreThanThereIsIsUnavailableAndClaimsNothing) {
  const auto refused = cloud().claim_nodes("claim-a", 1'000'000, "", {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(claim("claim-a", 1).size(), 1U);
}

TEST_P(CloudConformance, NonsenseIsRefused) {
  EXPECT_EQ(cloud().claim_nodes("claim-a", 0, "", {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(cloud().claim_nodes("", 1, "", {}).error().code, ErrorCode::kInvalidArgument);
}

TEST_P(CloudConformance, EveryNodeHasItsOwnAgent) {
  std::set<std::string> nodes;
  for (const std::string& id : claim("claim-a", 2)) {
    const auto agent = cloud().agent(id);
    ASSERT_TRUE(agent.ok()) << agent.error().to_string();
    const auto info = (*agent)->info();
    ASSERT_TRUE(info.ok()) << info.error().to_string();
    nodes.insert(json_string_or(*info, "node", ""));
  }
  EXPECT_EQ(nodes.size(), 2U);
  const auto unknown = cloud().agent("no-such-node");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
}

TEST_P(CloudConformance, CallsMayComeFromManyThreads) {
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 6; ++thread) {
    threads.emplace_back([this, thread] {
      const std::string name = "claim-" + std::to_string(thread);
      for (int round = 0; round < 3; ++round) {
        const auto ids = claim(name, 1);
        ASSERT_EQ(ids.size(), 1U);
        const auto agent = cloud().agent(ids.front());
        ASSERT_TRUE(agent.ok()) << agent.error().to_string();
        EXPECT_TRUE((*agent)->info().ok());
        EXPECT_TRUE(cloud().release_nodes(name).ok());
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Drivers, CloudConformance,
                         ::testing::Values(Driver{"local", [] { return std::make_unique<LocalUnderTest>(); }}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace cacs::cloud
