#include "base/process.h"

#include <gtest/gtest.h>

#include <csignal>

namespace cacs {
namespace {

TEST(Process, CapturesOutputAndStatus) {
  const auto result = run_command({.argv = {"sh", "-c", "echo out; echo err >&2; exit 3"}});
  ASSERT_TRUE(result.ok()) << result.error().to_string();
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
  EXPECT_FALSE(result->status.signaled);
  EXPECT_EQ(result->status.value, 3);
}

TEST(Process, AProgramThatDoesNotExistIsAnError) {
  const auto result = spawn({.argv = {"/nonexistent/program"}});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
}

TEST(Process, KillsWhatRunsPastItsLimit) {
  const auto result = run_command({.argv = {"sleep", "100"}}, std::chrono::milliseconds(50));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kTimeout);
}

TEST(Process, ReportsTheSignal) {
  auto child = spawn({.argv = {"sleep", "100"}});
  ASSERT_TRUE(child.ok());
  ASSERT_TRUE(child->signal(SIGTERM).ok());
  const auto status = child->wait();
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(status->signaled);
  EXPECT_EQ(status->value, SIGTERM);
}

TEST(Process, IdentityTellsProcessesApart) {
  auto child = spawn({.argv = {"sleep", "100"}});
  ASSERT_TRUE(child.ok());
  auto identity = identify_process(child->pid());
  ASSERT_TRUE(identity.ok());
  EXPECT_TRUE(open_process(*identity).ok());
  ProcessIdentity other = *identity;
  other.start_time += 1;
  EXPECT_FALSE(open_process(other).ok());
}

}  // namespace
}  // namespace cacs
