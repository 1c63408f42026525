// `cacs checkpoint ls-files|cat|diff|mount|export|import` as their users call them: the program itself on a repository
// that an agent's store has written. Mounts are in a mount namespace of the test's own. Needs root.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include <fstream>
#include <thread>

#include "base/process.h"
#include "base/text.h"
#include "inspect/mount.h"
#include "inspect/test_support.h"

namespace cacs::inspect {
namespace {

constexpr char kHeap[] = "pod-0/memory/1/005000000000-005000008000.heap";

std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class CheckpointTools : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    // Nothing that is mounted here shows outside or outlives the test.
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    large_ = repository::random_bytes(3 << 20U, 5);
    checkpoints_.write("job/large", large_);
    checkpoints_.write("job/log", "step 1\n");
    first_ = checkpoints_.take({{0, 'a'}, {3, 'd'}});
    checkpoints_.write("job/log", "step 1\nstep 2\n");
    second_ = checkpoints_.take({{0, 'A'}, {3, 'd'}});
    std::filesystem::create_directories(mountpoint());
  }
  void TearDown() override { (void)::umount2(mountpoint().c_str(), MNT_FORCE | MNT_DETACH); }

  [[nodiscard]] std::filesystem::path mountpoint() const { return checkpoints_.at("mnt"); }

  [[nodiscard]] Command command(const std::vector<std::string>& words) const {
    Command made;
    made.argv = {CACS_BINARY, "checkpoint"};
    made.argv.insert(made.argv.end(), words.begin(), words.end());
    made.argv.insert(made.argv.end(), {"--repo", checkpoints_.repository_path().string()});
    made.new_session = true;
    return made;
  }
  [[nodiscard]] Captured run(const std::vector<std::string>& words, int code = 0) const {
    const auto ran = run_command(command(words));
    EXPECT_TRUE(ran.ok()) << ran.error().to_string();
    if (!ran) return {};
    EXPECT_EQ(ran->status.value, code) << ran->err;
    return *ran;
  }

  /// Starts a mount and waits until it says that it stands.
  Result<Child> start_mount() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "make a pipe");
    said_ = UniqueFd(ends[0]);
    const UniqueFd theirs(ends[1]);
    Command mount = command({"mount", mountpoint().string()});
    mount.fds = {{theirs.get(), STDERR_FILENO}};
    auto child = spawn(mount);
    if (child) (void)wait_for("mounted at");
    return child;
  }
  /// What was said on standard error up to these words; empty when they do not come.
  std::string wait_for(const std::string& words) {
    std::string text;
    while (text.find(words) == std::string::npos) {
      pollfd watched{.fd = said_.get(), .events = POLLIN};
      char buffer[512];
      if (::poll(&watched, 1, 60'000) <= 0) break;
      const ssize_t got = ::read(said_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    EXPECT_NE(text.find(words), std::string::npos) << text;
    return text;
  }
  [[nodiscard]] bool is_mounted() const {
    return read_text_file("/proc/self/mountinfo")->find(mountpoint().string()) != std::string::npos;
  }
  [[nodiscard]] std::filesystem::path shown(const std::string& path) const {
    return mountpoint() / "by-id" / first_ / path;
  }

  TestCheckpoints checkpoints_;
  std::string large_;
  std::string first_;
  std::string second_;
  UniqueFd said_;
};

TEST_F(CheckpointTools, ListShowAndCompare) {
  EXPECT_EQ(run({"ls-files", first_}).out, "manifest.json\npod-0/\n");
  EXPECT_EQ(run({"ls-files", "app:latest", "pod-0/files/job"}).out, "pod-0/files/job/large\npod-0/files/job/log\n");
  const std::string all = run({"ls-files", first_, "-R", "-l"}).out;
  EXPECT_NE(all.find(std::string(kHeap) + "  (2 of 8 pages saved)"), std::string::npos) << all;
  EXPECT_NE(all.find("-rw-r----- "), std::string::npos) << all;
  const auto json = parse_json_object(run({"ls-files", first_, kHeap, "-o", "json"}).out, "answer");
  ASSERT_OK(json);
  EXPECT_EQ(json->at("files").at(0).at("region").at("pages_saved").as_int64(), 2);

  EXPECT_TRUE(run({"cat", first_, "pod-0/files/job/large", "--length", "500000"}).out == large_.substr(0, 500'000));
  EXPECT_EQ(run({"cat", first_, kHeap, "--offset", "4095", "--length", "2"}).out, std::string("a\0", 2));
  const Captured program = run({"cat", first_, "pod-0/memory/1/7f0000000000-7f0000004000.program", "--length", "1"});
  EXPECT_NE(program.err.find("3 of 4 pages"), std::string::npos) << program.err;
  EXPECT_NE(program.err.find("/bin/program"), std::string::npos) << program.err;
  EXPECT_NE(run({"cat", first_, "pod-0/none"}, 3).err.find("has no pod-0/none"), std::string::npos);
  EXPECT_NE(run({"cat", "0000", "pod-0/none"}, 3).err.find("there is no checkpoint"), std::string::npos);

  const std::string changes = run({"diff", first_, second_}).out;
  EXPECT_NE(changes.find(std::string("M ") + kHeap + "  1 of 8 pages\n"), std::string::npos) << changes;
  EXPECT_NE(changes.find("M pod-0/files/job/log  +14 B -7 B"), std::string::npos) << changes;
  EXPECT_EQ(changes.find("large"), std::string::npos) << changes;
  const auto totals = parse_json_object(run({"diff", first_, second_, "--stat", "-o", "json"}).out, "answer");
  ASSERT_OK(totals);
  EXPECT_EQ(totals->at("totals").at("pages").as_int64(), 1);
}

TEST_F(CheckpointTools, ExportAndImport) {
  const std::string file = checkpoints_.at("exported").string();
  EXPECT_NE(run({"export", first_, file}).err.find("not encrypted"), std::string::npos);
  const std::string bytes = read_all(file);
  EXPECT_NE(run({"export", first_, file}, 1).status.value, 0);  // never over a file that is there
  EXPECT_TRUE(read_all(file) == bytes);
  EXPECT_NE(run({"import", file}, 4).err.find("already"), std::string::npos);
  ASSERT_OK(checkpoints_.repository().remove(first_));
  EXPECT_EQ(run({"import", file}).out, first_ + "\n");
  EXPECT_TRUE(run({"cat", first_, "pod-0/files/job/large", "--length", "1000"}).out == large_.substr(0, 1000));
  ASSERT_TRUE(write_file_durably(checkpoints_.at("cut"), bytes.substr(0, bytes.size() - 1)).ok());
  ASSERT_OK(checkpoints_.repository().remove(first_));
  EXPECT_NE(run({"import", checkpoints_.at("cut").string()}, 1).err.find("cut short"), std::string::npos);
  EXPECT_FALSE(checkpoints_.repository().load(first_).ok());
}

TEST_F(CheckpointTools, MountShowsWhatIsThereAndGoesWithASignal) {
  if (!check_fuse()) GTEST_SKIP() << check_fuse().error().to_string();
  auto child = start_mount();
  ASSERT_OK(child);
  ASSERT_TRUE(is_mounted());
  EXPECT_TRUE(read_all(shown("pod-0/files/job/large")) == large_);
  EXPECT_EQ(read_all(shown("pod-0/files/job/log")), "step 1\n");
  EXPECT_EQ(read_all(mountpoint() / "by-application/app/latest/pod-0/files/job/log"), "step 1\nstep 2\n");
  EXPECT_EQ(read_all(shown(kHeap)).substr(4095, 2), std::string("a\0", 2));
  EXPECT_EQ(std::filesystem::read_symlink(mountpoint() / "by-application/app/latest"), second_);
  struct stat status = {};
  ASSERT_EQ(::stat(shown("pod-0/files/job/log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFREG | 0640U);
  EXPECT_EQ(::open(shown("pod-0/files/new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_FALSE(std::filesystem::exists(mountpoint() / "by-id" / new_uuid()));
  // Many readers at once.
  std::vector<std::thread> readers;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    readers.emplace_back([&] { right += read_all(shown("pod-0/files/job/large")) == large_ ? 1 : 0; });
  }
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(right, 8);
  // It goes although a file in it is open.
  const auto open = open_file(shown("pod-0/files/job/log"), O_RDONLY);
  ASSERT_OK(open);
  ASSERT_OK(child->signal(SIGTERM));
  const auto ended = child->wait(std::chrono::seconds(60));
  ASSERT_OK(ended);
  EXPECT_TRUE(ended->success()) << ended->to_string();
  EXPECT_FALSE(is_mounted());
}

TEST_F(CheckpointTools, AMountGoesWithWhoeverIsKilled) {
  if (!check_fuse()) GTEST_SKIP() << check_fuse().error().to_string();
  for (const bool server : {true, false}) {
    auto child = start_mount();
    ASSERT_OK(child);
    ASSERT_TRUE(is_mounted());
    const std::string pid = std::to_string(child->pid());
    const auto children = read_text_file("/proc/" + pid + "/task/" + pid + "/children");
    ASSERT_OK(children);
    const ProcessIdentity served = *identify_process(std::stoi(*children));
    ASSERT_EQ(::kill(server ? served.pid : child->pid(), SIGKILL), 0);
    const auto ended = child->wait(std::chrono::seconds(60));
    ASSERT_OK(ended);
    EXPECT_FALSE(ended->success());
    if (!server) {
      // The server sees it, takes the mount away, and ends.
      const auto pidfd = open_process(served);
      if (pidfd) {
        pollfd watched{.fd = pidfd->get(), .events = POLLIN};
        ASSERT_EQ(::poll(&watched, 1, 60'000), 1);
      }
    }
    EXPECT_FALSE(is_mounted()) << (server ? "the server" : "the one who watches");
  }
}

TEST_F(CheckpointTools, DamageIsAnErrorOfReadingAndIsToldWhy) {
  if (!check_fuse()) GTEST_SKIP() << check_fuse().error().to_string();
  auto child = start_mount();
  ASSERT_OK(child);
  ASSERT_TRUE(std::filesystem::exists(shown("pod-0/files/job/large")));
  // All packs' first halves; what was read so far is in the server's memory.
  for (const auto& pack : std::filesystem::directory_iterator(checkpoints_.repository_path() / "packs")) {
    const auto fd = open_file(pack.path(), O_RDWR);
    ASSERT_OK(fd);
    const std::string junk(std::filesystem::file_size(pack) / 2, 'j');
    ASSERT_OK(pwrite_full(fd->get(), as_bytes(junk), 64));
  }
  const auto fd = open_file(shown("pod-0/files/job/large"), O_RDONLY);
  if (fd) {
    std::string buffer(4096, '\0');
    const auto got = pread_full(fd->get(), std::as_writable_bytes(std::span(buffer)), 1 << 20U);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().os_errno, EIO);
  } else {
    EXPECT_EQ(fd.error().os_errno, EIO);
  }
  EXPECT_NE(wait_for("pod-0/files/job/large").find(first_), std::string::npos);
  ASSERT_OK(child->signal(SIGINT));
  ASSERT_OK(child->wait(std::chrono::seconds(60)));
  EXPECT_FALSE(is_mounted());
}

}  // namespace
}  // namespace cacs::inspect
