#include "pod/cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
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

TEST(FindFreezer, PrefersTheOneOfV1) {
  const std::string v2 = "25 20 0:22 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  const std::string v1 = "26 20 0:23 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n";
  EXPECT_FALSE(find_freezer("").has_value());
  EXPECT_FALSE(find_freezer("27 20 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n").has_value());
  ASSERT_TRUE(find_freezer(v2).has_value());
  EXPECT_TRUE(find_freezer(v2)->v2);
  ASSERT_TRUE(find_freezer(v2 + v1).has_value());
  EXPECT_FALSE(find_freezer(v2 + v1)->v2);
}

TEST(PodCgroup, StandsStillWhileItIsFrozenAndGoesAllTheSame) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const std::string name = "test-freeze-" + std::to_string(::getpid());
  auto group = PodCgroup::create(name, {}, Freezable::kYes);
  ASSERT_TRUE(group.ok()) << group.error().to_string();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd in(pipe[0]);
  UniqueFd out(pipe[1]);
  auto ticker = spawn({.argv = {"sh", "-c", "while :; do echo; sleep 0.01; done"},
                       .fds = {{out.get(), 1}},
                       .cgroups = group->directories()});
  ASSERT_TRUE(ticker.ok()) << ticker.error().to_string();
  pollfd waiting{in.get(), POLLIN, 0};
  const auto drain = [&] {
    std::array<char, 4096> block{};
    while (::read(in.get(), block.data(), block.size()) > 0) {
    }
  };
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1) << "it does not tick";
  ASSERT_TRUE(group->freeze(std::chrono::seconds(10)).ok());
  drain();
  EXPECT_EQ(::poll(&waiting, 1, 300), 0) << "it ticks while it is frozen";
  ASSERT_TRUE(group->thaw().ok());
  EXPECT_EQ(::poll(&waiting, 1, 10'000), 1) << "it does not tick again";
  EXPECT_TRUE(group->thaw().ok());
  // As another process finds it, which takes over; what is frozen goes with the group.
  ASSERT_TRUE(group->freeze(std::chrono::seconds(10)).ok());
  const auto found = PodCgroup::open(name);
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(found->remove().ok());
  const auto ended = ticker->wait(std::chrono::seconds(10));
  ASSERT_TRUE(ended.ok()) << ended.error().to_string();
  EXPECT_TRUE(ended->signaled);
  EXPECT_TRUE(group->thaw().ok()) << "of one that is gone";
}

TEST(PodCgroup, IsFrozenOnlyWhereItWasMadeForIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto group = PodCgroup::create("test-plain-" + std::to_string(::getpid()), {});
  ASSERT_TRUE(group.ok()) << group.error().to_string();
  EXPECT_FALSE(group->freeze(std::chrono::seconds(1)).ok());
  EXPECT_TRUE(group->thaw().ok());
  EXPECT_TRUE(group->remove().ok());
}

}  // namespace
}  // namespace cacs::pod
