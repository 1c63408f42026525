#include "pod/cgroup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/process.h"

namespace cacs::pod {
namespace {

TEST(FindControllers, EachByItself) {
  const std::string hybrid =
      "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
      "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  const auto found = find_controllers(hybrid, "pids hugetlb\n");
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].name, "cpu");
  EXPECT_FALSE(found[0].v2);
  EXPECT_EQ(found[2].name, "pids");
  EXPECT_TRUE(found[2].v2);
  EXPECT_EQ(found[2].mount, "/sys/fs/cgroup/unified");
}

TEST(FindControllers, PureV2) {
  const auto found =
      find_controllers("25 20 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "cpuset cpu io memory pids");
  EXPECT_EQ(found.size(), 3U);
}

TEST(FindControllers, SurvivesNonsense) {
  EXPECT_TRUE(find_controllers("", "").empty());
  EXPECT_TRUE(find_controllers("a b - cgroup\n- - - -\n", "x").empty());
}

TEST(PodCgroup, LimitsAreEnforcedAndReadBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const Limits limits{.cpus = 0.5, .memory_bytes = 64ULL << 20U, .pids = 50};
  auto group = PodCgroup::create("test-" + std::to_string(::getpid()), limits);
  ASSERT_TRUE(group.ok()) << group.error().to_string();
  const auto read = group->read_limits();
  EXPECT_TRUE(read.ok());
  EXPECT_EQ(*read, limits);
  // A process that takes more than its memory is killed, and that is told apart from other deaths.
  auto hungry = run_command({.argv = {"python3", "-c", "x = bytearray(200 << 20)"}, .cgroups = group->directories()});
  ASSERT_TRUE(hungry.ok()) << hungry.error().to_string();
  EXPECT_FALSE(hungry->status.success());
  EXPECT_GE(group->oom_kills(), 1U);
  EXPECT_TRUE(group->remove().ok());
  for (const auto& directory : group->directories()) EXPECT_NE(::access(directory.c_str(), F_OK), 0);
  EXPECT_TRUE(group->remove().ok());
}

TEST(PodCgroup, AProcessIsInAPlainGroupFromItsBeginning) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const std::string name = "plain-" + std::to_string(::getpid());
  auto group = PodCgroup::create_plain(name);
  ASSERT_TRUE(group.ok()) << group.error().to_string();
  auto looks = run_command({.argv = {"cat", "/proc/self/cgroup"}, .cgroups = group->directories()});
  ASSERT_TRUE(looks.ok()) << looks.error().to_string();
  EXPECT_NE(looks->out.find("/cacs/" + name), std::string::npos) << looks->out;
  // What is left in it is found by another, by name, and killed.
  auto sleeps = spawn({.argv = {"sleep", "1000"}, .cgroups = group->directories()});
  ASSERT_TRUE(sleeps.ok()) << sleeps.error().to_string();
  auto found = PodCgroup::open(name);
  ASSERT_TRUE(found.ok()) << found.error().to_string();
  EXPECT_EQ(found->directories(), group->directories());
  std::thread killer([&] { EXPECT_TRUE(found->remove().ok()); });
  const auto ended = sleeps->wait(std::chrono::seconds(20));
  killer.join();
  ASSERT_TRUE(ended.ok());
  EXPECT_TRUE(ended->signaled);
  for (const auto& directory : group->directories()) EXPECT_NE(::access(directory.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace cacs::pod
