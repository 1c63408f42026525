#include "repository/backend/file_backend.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <set>

#include "base/io.h"
#include "repository/backend/forgetful_storage.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

using Bytes = std::vector<std::byte>;

/// Runs `body` in a child; its result is the exit code.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

std::vector<std::string> files_below(const std::filesystem::path& directory) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_directory()) found.push_back(entry.path().lexically_relative(directory));
  }
  return found;
}

class FileBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<FileBackend> open() { return make_file_backend(make_file_storage(path())); }
  [[nodiscard]] std::filesystem::path path() const { return directory_.path() / "store"; }

  TemporaryDirectory directory_;
};

TEST_F(FileBackendTest, IsForItsOwnerAlone) {
  ASSERT_OK(put_object(*open(), "packs/a", object_bytes(10, 1), Overwrite::kNo));
  struct stat found {};
  for (const auto& [name, mode] : {std::pair{"", 0700U}, std::pair{"packs", 0700U}, std::pair{"packs/a", 0600U}}) {
    ASSERT_EQ(::stat((path() / name).c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777U, mode) << name;
    EXPECT_LE(found.st_nlink, S_ISDIR(found.st_mode) ? 3U : 1U) << name;
  }
}

TEST_F(FileBackendTest, TakesOnlyFilesForObjects) {
  const auto backend = open();
  ASSERT_OK(put_object(*backend, "a", object_bytes(10, 1), Overwrite::kNo));
  ASSERT_EQ(::symlink("a", (path() / "link").c_str()), 0);
  ASSERT_EQ(::mkfifo((path() / "fifo").c_str(), 0600), 0);
  ASSERT_OK(write_file_durably(path() / "not a name", "x"));
  std::set<std::string> names;
  ASSERT_OK(backend->list("", [&](const ObjectInfo& info) -> Status {
    names.insert(info.name);
    return {};
  }));
  EXPECT_EQ(names, std::set<std::string>{"a"});
  Bytes out(1);
  EXPECT_FALSE(backend->read("link", 0, out).ok());
  EXPECT_CODE(backend->read("fifo", 0, out), ErrorCode::kNotFound);
}

TEST_F(FileBackendTest, RefusesANameThatIsADirectoryOrBelowAnObject) {
  const auto backend = open();
  ASSERT_OK(put_object(*backend, "a/b", object_bytes(10, 1), Overwrite::kNo));
  EXPECT_CODE(put_object(*backend, "a", object_bytes(10, 1), Overwrite::kNo), ErrorCode::kConflict);
  EXPECT_CODE(put_object(*backend, "a", object_bytes(10, 1), Overwrite::kYes), ErrorCode::kConflict);
  EXPECT_CODE(put_object(*backend, "a/b/c", object_bytes(10, 1), Overwrite::kNo), ErrorCode::kConflict);
  EXPECT_CODE(backend->remove("a"), ErrorCode::kNotFound);
  EXPECT_EQ(files_below(path()), std::vector<std::string>{"a/b"});
}

TEST_F(FileBackendTest, ReadsWhatStandsUnderTheNameAlsoOverManyDescriptors) {
  const auto backend = open();
  const auto other = open();
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t i = 0; i < 100; ++i) {
      const std::string name = "o" + std::to_string(i);
      const auto bytes = object_bytes(100, i * 1000 + static_cast<std::uint64_t>(round));
      ASSERT_OK(put_object(*other, name, bytes, Overwrite::kYes));
      const auto got = get_object(*backend, name, 100);
      ASSERT_OK(got);
      ASSERT_TRUE(*got == bytes);
    }
  }
  std::size_t open_descriptors = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code failed;
    const auto target = std::filesystem::read_symlink(entry.path(), failed).string();
    open_descriptors += target.starts_with(path().string()) ? 1U : 0U;
  }
  EXPECT_EQ(open_descriptors, 32U);
}

/// The one case in which counting a file's names would not do: a copy of hard links keeps the old file alive.
TEST_F(FileBackendTest, SeesAReplacementOfWhatSomebodyElseHasLinked) {
  const auto backend = open();
  ASSERT_OK(put_object(*backend, "a", object_bytes(100, 1), Overwrite::kNo));
  ASSERT_OK(get_object(*backend, "a", 100));
  ASSERT_EQ(::link((path() / "a").c_str(), (directory_.path() / "copy").c_str()), 0);
  ASSERT_OK(put_object(*open(), "a", object_bytes(100, 2), Overwrite::kYes));
  const auto got = get_object(*backend, "a", 100);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == object_bytes(100, 2));
}

TEST_F(FileBackendTest, RemovesTemporariesOfTheDeadAndOfNobodyElse) {
  const auto backend = open();
  ASSERT_OK(put_object(*backend, "packs/a", object_bytes(10, 1), Overwrite::kNo));
  ASSERT_EQ(in_child([&] {
              const auto theirs = open();
              auto writer = theirs->create("packs/b", Overwrite::kNo);
              if (!writer || !(*writer)->append(object_bytes(2'000'000, 1)).ok()) return 1;
              writer->release();  // killed without a word
              return 0;
            }),
            0);
  auto living = backend->create("packs/c", Overwrite::kNo);
  ASSERT_OK(living);
  ASSERT_OK((*living)->append(object_bytes(2'000'000, 2)));
  EXPECT_EQ(files_below(path()).size(), 3U);
  const auto removed = open()->remove_stale_temporaries(StaleOf::kThisHost);
  ASSERT_OK(removed);
  EXPECT_EQ(*removed, 1U);
  EXPECT_EQ(files_below(path()).size(), 2U);
  ASSERT_OK((*living)->commit());
  living->reset();
  EXPECT_EQ(files_below(path()).size(), 2U);
  const auto got = get_object(*backend, "packs/c", 2'000'000);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == object_bytes(2'000'000, 2));
}

TEST_F(FileBackendTest, AWriterWhoseTemporaryWasTakenAwayCommitsNothing) {
  const auto backend = open();
  for (const Overwrite overwrite : {Overwrite::kNo, Overwrite::kYes}) {
    auto writer = backend->create("a", overwrite);
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->append(object_bytes(10, 1)));
    for (const auto& name : files_below(path())) std::filesystem::remove(path() / name);
    EXPECT_CODE((*writer)->commit(), ErrorCode::kUnavailable);
    EXPECT_CODE((*writer)->commit(), ErrorCode::kInternal);
  }
  EXPECT_TRUE(files_below(path()).empty());
}

/// Two processes on a real directory, through separate backends.
TEST_F(FileBackendTest, OfTwoProcessesExactlyOneCreates) {
  constexpr std::size_t kRounds = 1000;
  struct Shared {
    std::array<std::atomic<std::size_t>, 2> round;
    std::array<std::array<char, kRounds>, 2> outcome;  // 'w'on, 'l'ost, or something else
  };
  auto* shared =
      static_cast<Shared*>(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(static_cast<void*>(shared), MAP_FAILED);
  std::array<pid_t, 2> children{};
  for (std::size_t me = 0; me < 2; ++me) {
    children.at(me) = ::fork();
    ASSERT_GE(children.at(me), 0);
    if (children.at(me) != 0) continue;
    const auto backend = open();
    for (std::size_t i = 0; i < kRounds; ++i) {
      auto writer = backend->create("r/" + std::to_string(i), Overwrite::kNo);
      const bool ready = writer.ok() && (*writer)->append(object_bytes(100 + me, i)).ok();
      shared->round.at(me) = i + 1;
      while (shared->round.at(1 - me) <= i) ::sched_yield();
      const auto status = ready ? (*writer)->commit() : Status(make_error(ErrorCode::kInternal, "not ready"));
      shared->outcome.at(me).at(i) = status ? 'w' : status.error().code == ErrorCode::kConflict ? 'l' : '?';
    }
    ::_exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const auto backend = open();
  std::array<std::size_t, 2> wins{};
  for (std::size_t i = 0; i < kRounds; ++i) {
    const std::string outcome{shared->outcome[0].at(i), shared->outcome[1].at(i)};
    ASSERT_TRUE(outcome == "wl" || outcome == "lw") << "round " << i << ": " << outcome;
    const std::size_t winner = outcome[0] == 'w' ? 0 : 1;
    ++wins.at(winner);
    const auto got = get_object(*backend, "r/" + std::to_string(i), 200);
    ASSERT_OK(got);
    EXPECT_TRUE(*got == object_bytes(100 + winner, i));
  }
  // Otherwise they did not race.
  EXPECT_GT(wins[0], 0U);
  EXPECT_GT(wins[1], 0U);
  EXPECT_EQ(files_below(path()).size(), kRounds);
  ::munmap(shared, sizeof(Shared));
}

/// On a file system of 1 MiB, in a mount namespace of a child.
TEST_F(FileBackendTest, AFullFileSystemLeavesNothingBehind) {
  constexpr int kNoNamespaces = 77;
  std::filesystem::create_directories(path());
  const int outcome = in_child([&] {
    if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return kNoNamespaces;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", path().c_str(), "tmpfs", 0, "size=1m") != 0) {
      return kNoNamespaces;
    }
    const auto backend = open();
    if (!put_object(*backend, "kept", object_bytes(1000, 1), Overwrite::kNo)) return 1;
    for (const Overwrite overwrite : {Overwrite::kNo, Overwrite::kYes}) {
      const auto status = put_object(*backend, "kept2", object_bytes(3'000'000, 2), overwrite);
      if (status.ok() || status.error().code != ErrorCode::kNoSpace) return 2;
      const auto over = put_object(*backend, "kept", object_bytes(3'000'000, 2), Overwrite::kYes);
      if (over.ok() || over.error().code != ErrorCode::kNoSpace) return 3;
    }
    if (files_below(path()) != std::vector<std::string>{"kept"}) return 4;
    const auto got = get_object(*backend, "kept", 1000);
    return got.ok() && *got == object_bytes(1000, 1) ? 0 : 5;
  });
  if (outcome == kNoNamespaces) GTEST_SKIP() << "no right to mount a small file system";
  EXPECT_EQ(outcome, 0);
}

TEST(FileBackendOnForgetfulDisk, AFullDiskLeavesNothingBehind) {
  const auto disk = std::make_shared<ForgetfulDisk>();
  const auto backend = make_file_backend(disk->mount(disk));
  ASSERT_OK(put_object(*backend, "kept", object_bytes(1000, 1), Overwrite::kNo));
  disk->set_capacity(2'000'000);
  EXPECT_CODE(put_object(*backend, "more", object_bytes(2'500'000, 1), Overwrite::kNo), ErrorCode::kNoSpace);
  EXPECT_CODE(put_object(*backend, "kept", object_bytes(2'500'000, 1), Overwrite::kYes), ErrorCode::kNoSpace);
  EXPECT_EQ(disk->file_names(), std::vector<std::string>{"kept"});
  ASSERT_OK(put_object(*backend, "more", object_bytes(500'000, 1), Overwrite::kNo));
}

TEST(FileBackendOnForgetfulDisk, AFailedSyncIsNotTriedAgainAndCommitsNothing) {
  for (const Overwrite overwrite : {Overwrite::kNo, Overwrite::kYes}) {
    const auto disk = std::make_shared<ForgetfulDisk>();
    const auto backend = make_file_backend(disk->mount(disk));
    ASSERT_OK(put_object(*backend, "a", object_bytes(10, 1), Overwrite::kNo));
    ASSERT_OK(backend->remove("a"));
    auto writer = backend->create("a", overwrite);
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->append(object_bytes(10, 1)));
    disk->fail_at(2, false);  // the first writes the buffer
    EXPECT_CODE((*writer)->commit(), ErrorCode::kIo);
    EXPECT_TRUE(disk->failed());
    EXPECT_CODE((*writer)->commit(), ErrorCode::kInternal);
    EXPECT_CODE(backend->size("a"), ErrorCode::kNotFound);
    writer->reset();
    EXPECT_TRUE(disk->file_names().empty());
  }
}

TEST(FileBackendOnForgetfulDisk, TemporariesOfOtherHostsStayOnASharedFileSystem) {
  constexpr const char* kHere = "00000000-0000-4000-8000-000000000001";
  constexpr const char* kThere = "00000000-0000-4000-8000-000000000002";
  const auto stale_after = [&](bool shared, StaleOf whose) {
    const auto disk = std::make_shared<ForgetfulDisk>();
    std::vector<std::unique_ptr<ObjectWriter>> writers;
    for (const char* host : {kThere, kHere}) {
      disk->set_host(shared, host);
      auto writer = make_file_backend(disk->mount(disk))->create("packs/a", Overwrite::kNo);
      EXPECT_TRUE(writer.ok());
      writers.push_back(std::move(*writer));
    }
    disk->crash(ForgetfulDisk::Crash::kKeepAll, 1);
    const auto removed = make_file_backend(disk->mount(disk))->remove_stale_temporaries(whose);
    EXPECT_OK(removed);
    EXPECT_EQ(removed.ok() ? *removed : 99, 2 - disk->file_names().size());
    return disk->file_names();
  };
  const auto left = stale_after(true, StaleOf::kThisHost);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_NE(left[0].find(kThere), std::string::npos);
  EXPECT_EQ(stale_after(true, StaleOf::kAllHosts).size(), 0U);
  EXPECT_EQ(stale_after(false, StaleOf::kThisHost).size(), 0U);
}

TEST(FileBackendOnForgetfulDisk, KeepsDescriptorsOnASharedFileSystemOnlyOfWhatIsNeverReplaced) {
  const auto disk = std::make_shared<ForgetfulDisk>();
  disk->set_host(true, "00000000-0000-4000-8000-000000000001");
  const auto backend = make_file_backend(
      disk->mount(disk), {.never_replaced = [](const std::string& name) { return name.starts_with("packs/"); }});
  EXPECT_FALSE(backend->traits().local);
  const auto other = make_file_backend(disk->mount(disk));
  Bytes out(10);
  for (const char* name : {"packs/a", "head"}) {
    ASSERT_OK(put_object(*other, name, object_bytes(10, 1), Overwrite::kNo));
    ASSERT_OK(backend->read(name, 0, out));
    ASSERT_OK(other->remove(name));
  }
  EXPECT_OK(backend->read("packs/a", 0, out));
  EXPECT_CODE(backend->read("head", 0, out), ErrorCode::kNotFound);
}

TEST(FileBackendOnForgetfulDisk, ACacheDoesWithoutSyncs) {
  const auto count_steps = [](Durability durability) {
    const auto disk = std::make_shared<ForgetfulDisk>();
    const auto backend = make_file_backend(disk->mount(disk), {.durability = durability});
    EXPECT_OK(put_object(*backend, "b", object_bytes(10, 1), Overwrite::kNo));
    EXPECT_OK(put_object(*backend, "b", object_bytes(10, 1), Overwrite::kYes));
    EXPECT_OK(backend->remove("b"));
    std::uint64_t steps = 0;
    for (disk->fail_at(1, true); steps < 100; disk->fail_at(++steps + 1, true)) {
      const std::string name = "a" + std::to_string(steps);
      if (put_object(*backend, name, object_bytes(10, 1), Overwrite::kNo).ok()) break;
    }
    return steps;
  };
  // Of the last step, that a temporary name could not be removed, nobody hears.
  EXPECT_EQ(count_steps(Durability::kUntilPowerLoss), 3U);  // create, write, link
  EXPECT_EQ(count_steps(Durability::kFull), 5U);            // and two syncs
}

TEST(TemporaryName, IsNoObjectsName) {
  EXPECT_TRUE(is_temporary_name("tmp." + new_uuid() + "." + new_uuid() + "~"));
  EXPECT_FALSE(is_temporary_name("tmp." + new_uuid() + "." + new_uuid()));
  EXPECT_FALSE(is_temporary_name("tmp." + new_uuid() + "-" + new_uuid() + "~"));
  EXPECT_FALSE(is_temporary_name("tmp.~"));
}

}  // namespace
}  // namespace cacs::repository
