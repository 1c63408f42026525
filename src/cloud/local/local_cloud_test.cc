#include "cloud/local/local_cloud.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/io.h"
#include "cloud/local/test_support.h"

namespace cacs::cloud {
namespace {

using namespace std::chrono_literals;

std::int64_t pid_of_agent(Cloud& cloud) {
  const auto agent = cloud.agent("local-0");
  if (!agent.ok()) return -1;
  const auto info = (*agent)->info();
  return info.ok() ? json_int_or(*info, "pid", -1) : -1;
}

/// Kills a process and waits until it is gone (by its pidfd: the killer need not be its parent).
void kill_and_wait(std::int64_t pid) {
  const auto identity = identify_process(static_cast<pid_t>(pid));
  ASSERT_TRUE(identity.ok());
  const auto pidfd = open_process(*identity);
  ASSERT_TRUE(pidfd.ok());
  ASSERT_EQ(::kill(static_cast<pid_t>(pid), SIGKILL), 0);
  pollfd waiting{pidfd->get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
}

/// A new agent's pid, once there is one that answers.
std::int64_t wait_for_another(Cloud& cloud, std::int64_t old) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < end) {
    const std::int64_t pid = pid_of_agent(cloud);
    if (pid > 0 && pid != old) return pid;
    ::poll(nullptr, 0, 10);
  }
  return -1;
}

TEST(LocalCloudTest, TheAgentOutlivesTheServerAndIsFoundAgain) {
  LocalCloudFixture fixture(1);
  const std::int64_t first = pid_of_agent(*fixture.cloud);
  ASSERT_GT(first, 0);
  EXPECT_EQ(::getsid(static_cast<pid_t>(first)), first) << "a session of its own";
  fixture.reopen();
  EXPECT_EQ(pid_of_agent(*fixture.cloud), first);
  // Also when the server died before it wrote down whom it had started.
  std::filesystem::remove(fixture.node() / "agent.pid");
  fixture.reopen();
  EXPECT_EQ(pid_of_agent(*fixture.cloud), first);
}

TEST(LocalCloudTest, AnIdentityOfAnEarlierBootIsNotBelieved) {
  LocalCloudFixture fixture(1);
  ASSERT_TRUE(make_directories(fixture.node()).ok());
  const std::string stale = R"({"pid":)" + std::to_string(::getpid()) + R"(,"start_time":1,"boot_id":"of-long-ago"})";
  ASSERT_TRUE(write_file_durably(fixture.node() / "agent.pid", stale).ok());
  const std::int64_t pid = pid_of_agent(*fixture.cloud);
  EXPECT_GT(pid, 0);
  EXPECT_NE(pid, ::getpid());
}

TEST(LocalCloudTest, AnAgentThatDiesIsStartedAgain) {
  LocalCloudFixture fixture(1);
  const std::int64_t first = pid_of_agent(*fixture.cloud);
  ASSERT_GT(first, 0);
  kill_and_wait(first);
  const std::int64_t second = wait_for_another(*fixture.cloud, first);
  ASSERT_GT(second, 0);
  // One that was found, not started, as well.
  fixture.reopen();
  ASSERT_EQ(pid_of_agent(*fixture.cloud), second);
  kill_and_wait(second);
  EXPECT_GT(wait_for_another(*fixture.cloud, second), 0);
}

TEST(LocalCloudTest, AnAgentThatCannotStartIsToldWithItsLastWords) {
  LocalCloudFixture fixture(1);
  ASSERT_TRUE(make_directories(fixture.node()).ok());
  ASSERT_TRUE(write_file_durably(fixture.node() / "die", "").ok());
  const auto agent = fixture.cloud->agent("local-0");
  ASSERT_FALSE(agent.ok());
  EXPECT_EQ(agent.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(agent.error().message, ::testing::HasSubstr("told to die"));
  EXPECT_THAT(agent.error().message, ::testing::HasSubstr("exit code 3"));
  std::filesystem::remove(fixture.node() / "die");
  EXPECT_GT(pid_of_agent(*fixture.cloud), 0);
}

TEST(LocalCloudTest, OneThatKeepsDyingIsTriedAgainUntilItLives) {
  LocalCloudFixture fixture(1);
  const std::int64_t first = pid_of_agent(*fixture.cloud);
  ASSERT_GT(first, 0);
  ASSERT_TRUE(write_file_durably(fixture.node() / "die", "").ok());
  kill_and_wait(first);
  // Its tries are seen in its log.
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < end) {
    const auto log = read_text_file(fixture.node() / "agent.log");
    if (log.ok() && log->find("told to die") != std::string::npos) break;
    ::poll(nullptr, 0, 10);
  }
  EXPECT_EQ(pid_of_agent(*fixture.cloud), -1);
  std::filesystem::remove(fixture.node() / "die");
  EXPECT_GT(wait_for_another(*fixture.cloud, first), 0);
}

TEST(LocalCloudTest, AProgramThatIsNotThereIsNamed) {
  LocalCloudFixture fixture(1);
  fixture.options.program = "/nonexistent/cacs";
  fixture.reopen();
  const auto agent = fixture.cloud->agent("local-0");
  ASSERT_FALSE(agent.ok());
  EXPECT_THAT(agent.error().message, ::testing::HasSubstr("/nonexistent/cacs"));
}

TEST(LocalCloudTest, StopEndsTheAgentAlsoOneThatWasFound) {
  LocalCloudFixture fixture(1);
  const std::int64_t pid = pid_of_agent(*fixture.cloud);
  ASSERT_GT(pid, 0);
  const auto identity = identify_process(static_cast<pid_t>(pid));
  fixture.reopen();
  ASSERT_TRUE(fixture.cloud->stop_agents().ok());
  const auto process = open_process(*identity);
  if (process.ok()) {  // a zombie until this test's process reaps it, or gone
    pollfd waiting{process->get(), POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, 0), 1);
  }
  EXPECT_TRUE(fixture.cloud->stop_agents().ok()) << "again";
  const std::int64_t another = pid_of_agent(*fixture.cloud);
  ASSERT_GT(another, 0) << "a cloud that is asked again starts again";
  kill_and_wait(another);
  EXPECT_GT(wait_for_another(*fixture.cloud, another), 0) << "and watches again";
}

TEST(LocalCloudTest, ALogThatGrewLargeIsCutAtTheNextStart) {
  LocalCloudFixture fixture(1);
  ASSERT_TRUE(make_directories(fixture.node()).ok());
  ASSERT_TRUE(write_file_durably(fixture.node() / "agent.log", std::string(std::size_t{9} << 20U, 'x')).ok());
  ASSERT_GT(pid_of_agent(*fixture.cloud), 0);
  EXPECT_LT(std::filesystem::file_size(fixture.node() / "agent.log"), 100'000U);
  EXPECT_EQ(std::filesystem::file_size(fixture.node() / "agent.log.1"), std::size_t{1} << 20U);
}

}  // namespace
}  // namespace cacs::cloud
