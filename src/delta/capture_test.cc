#include "delta/capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "base/io.h"
#include "delta/test_support.h"

namespace cacs::delta {
namespace {

class Capture : public ::testing::TestWithParam<TestFileSystem> {
 protected:
  Capture() : place_(GetParam()), root_(place_.make("root")), staging_(place_.make("staging")) {}

  /// Captures, stores, rebuilds beside and compares: the one thing that always has to hold.
  void check() {
    const Snapshot snapshot = must_capture(root_, staging_, baseline_);
    baseline_ = repository_.store(snapshot);
    const auto copy = place_.path() / ("copy" + std::to_string(copies_++));
    repository_.rebuild(baseline_.listing, copy);
    EXPECT_EQ(account_of(copy), account_of(root_));
    changed_ = 0;
    for (const CapturedFile& file : snapshot.files()) changed_ += file.changed() ? 1U : 0U;
  }
  [[nodiscard]] bool on_tmpfs() const { return GetParam() == TestFileSystem::kTmpfs; }

  TestPlace place_;
  std::filesystem::path root_;
  std::filesystem::path staging_;
  TestRepository repository_;
  Baseline baseline_;
  std::size_t changed_ = 0;
  int copies_ = 0;
};

INSTANTIATE_TEST_SUITE_P(On, Capture,
                         ::testing::Values(TestFileSystem::kDisk, TestFileSystem::kTmpfs, TestFileSystem::kXfsImage),
                         [](const auto& param) { return test_name(param.param); });

TEST_P(Capture, EveryKindOfEntryComesBack) {
  write_all(root_ / "plain", "hello");
  write_all(root_ / "empty", "");
  write_all(root_ / "new\nline", "a");
  write_all(root_ / "not\xff\xfeutf8", "b");
  std::filesystem::create_directories(root_ / "dir/sub");
  ASSERT_EQ(::chmod((root_ / "dir/sub").c_str(), 0500), 0);
  ASSERT_EQ(::symlink("../no/where", (root_ / "dir/link").c_str()), 0);
  ASSERT_EQ(::lchown((root_ / "dir/link").c_str(), 11, 12), 0);
  ASSERT_EQ(::mkfifo((root_ / "fifo").c_str(), 0640), 0);
  ASSERT_EQ(::mknod((root_ / "socket").c_str(), S_IFSOCK | 0600, 0), 0);
  ASSERT_EQ(::mknod((root_ / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(::mknod((root_ / "whiteout").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ASSERT_EQ(::mknod((root_ / "block").c_str(), S_IFBLK | 0600, makedev(7, 200)), 0);
  ASSERT_EQ(::link((root_ / "plain").c_str(), (root_ / "dir/hard").c_str()), 0);
  ASSERT_EQ(::link((root_ / "fifo").c_str(), (root_ / "dir/fifo2").c_str()), 0);
  ASSERT_EQ(::chown((root_ / "plain").c_str(), 1000, 1001), 0);
  ASSERT_EQ(::chmod((root_ / "plain").c_str(), 06755), 0);
  ASSERT_EQ(::setxattr((root_ / "dir").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(::setxattr((root_ / "plain").c_str(), "trusted.other", "\0\1\2", 3, 0), 0);
  ASSERT_EQ(::lsetxattr((root_ / "dir/link").c_str(), "trusted.onlink", "v", 1, 0), 0);
  const unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
  ASSERT_EQ(::setxattr((root_ / "plain").c_str(), "security.capability", capability, sizeof capability, 0), 0);
  const unsigned char acl[] = {2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 2,   0,  6,
                               0, 5, 0,   0,   0,   4,   0,  5, 0,   255, 255, 255, 255, 16, 0,
                               7, 0, 255, 255, 255, 255, 32, 0, 4,   0,   255, 255, 255, 255};
  ASSERT_EQ(::setxattr((root_ / "empty").c_str(), "system.posix_acl_access", acl, sizeof acl, 0), 0);
  const struct timespec old[2] = {{.tv_sec = 1, .tv_nsec = 2}, {.tv_sec = 1234567890, .tv_nsec = 123456789}};
  for (const char* name : {"plain", "dir", "fifo", "dir/link"}) {
    ASSERT_EQ(::utimensat(AT_FDCWD, (root_ / name).c_str(), old, AT_SYMLINK_NOFOLLOW), 0);
  }
  check();
  outwait_racy_window();
  check();  // from the baseline now
  if (!on_tmpfs()) {
    check();
    EXPECT_EQ(changed_, 0U);
  }
}

TEST_P(Capture, DeepPathsBeyondPathMax) {
  UniqueFd at(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string name(200, 'd');
  for (int depth = 0; depth < 40; ++depth) {
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
    at.reset(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.valid());
  }
  {
    const UniqueFd file(::openat(at.get(), "bottom", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(write_full(file.get(), "deep").ok());
  }
  const Snapshot snapshot = must_capture(root_, staging_, baseline_);
  EXPECT_EQ(snapshot.listing().entries.back().path.size(), 40 * 201 + 6U);
  const Baseline stored = repository_.store(snapshot);
  const auto copy = place_.make("copy");
  repository_.rebuild(stored.listing, copy);
  // The copy is as deep as the original: look at it through the code under test, as nothing else reaches that far.
  Listing again = must_capture(copy, staging_, {}).listing();
  Listing first = snapshot.listing();
  for (Listing* listing : {&again, &first}) {
    for (Entry& entry : listing->entries) entry.inode = 0;
  }
  EXPECT_EQ(again, first);
}

TEST_P(Capture, OnlyWhatChangedIsStaged) {
  for (int i = 0; i < 50; ++i) write_all(root_ / std::to_string(i), "content " + std::to_string(i));
  check();
  EXPECT_EQ(changed_, 50U);
  outwait_racy_window();
  check();  // everything was young when it was captured first: once more
  write_all(root_ / "7", "other");
  ASSERT_EQ(::truncate((root_ / "8").c_str(), 3), 0);
  std::filesystem::rename(root_ / "9", root_ / "moved");
  std::filesystem::remove(root_ / "10");
  check();
  if (on_tmpfs()) {
    EXPECT_EQ(changed_, 49U) << "on tmpfs nothing can be taken as unchanged";
  } else {
    EXPECT_EQ(changed_, 3U) << "7 and 8; a rename moves the ctime, so 9 is read too";
  }
}

TEST_P(Capture, SameSizeReplacementWithOldTimes) {
  write_all(root_ / "f", "aaaa");
  outwait_racy_window();
  check();
  check();
  struct stat before {};
  ASSERT_EQ(::stat((root_ / "f").c_str(), &before), 0);
  write_all(root_ / "g", "bbbb");
  const struct timespec times[2] = {before.st_mtim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (root_ / "g").c_str(), times, 0), 0);
  std::filesystem::rename(root_ / "g", root_ / "f");
  check();
  EXPECT_EQ(repository_.content(find_entry(baseline_.listing, "f")->token), "bbbb");
  // In place, with the time set back.
  outwait_racy_window();
  check();
  {
    const UniqueFd fd(::open((root_ / "f").c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), "cc", 2, 1), 2);
    ASSERT_EQ(::futimens(fd.get(), times), 0);
  }
  check();
  EXPECT_EQ(repository_.content(find_entry(baseline_.listing, "f")->token), "bccb");
}

TEST_P(Capture, WritesInTheTickOfACapture) {
  // Write, capture, write again at once: where timestamps are coarse both writes have one ctime.
  const UniqueFd fd(::open((root_ / "f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  for (char round = 0; round < 50; ++round) {
    ASSERT_EQ(::pwrite(fd.get(), &round, 1, 0), 1);
    const Snapshot snapshot = must_capture(root_, staging_, baseline_);
    const char next = static_cast<char>(round + 100);
    ASSERT_EQ(::pwrite(fd.get(), &next, 1, 0), 1);
    baseline_ = repository_.store(snapshot);
    const Snapshot second = must_capture(root_, staging_, baseline_);
    const Baseline after = repository_.store(second);
    EXPECT_EQ(repository_.content(baseline_.listing.entries[1].token), std::string(1, round));
    EXPECT_EQ(repository_.content(after.listing.entries[1].token), std::string(1, next));
    baseline_ = after;
  }
}

TEST_P(Capture, OnePageWrittenThroughMmapOverTwentyCaptures) {
  constexpr std::size_t kSize = 64 * 4096;
  write_all(root_ / "mapped", std::string(kSize, 'x'));
  const UniqueFd fd(::open((root_ / "mapped").c_str(), O_RDWR | O_CLOEXEC));
  auto* page = static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(page, MAP_FAILED);
  for (int round = 0; round < 20; ++round) {
    // Twice, with the second store to a page that is dirty already: it moves no ctime by itself.
    page[4096] = static_cast<char>(round);
    if (round % 2 == 1) outwait_racy_window();  // so that in half of the captures the ctime alone decides
    page[4097] = static_cast<char>(round + 100);
    if (round % 4 == 3) {
      ASSERT_TRUE(presync(root_).ok());
    }
    const Snapshot snapshot = must_capture(root_, staging_, baseline_);
    baseline_ = repository_.store(snapshot);
    const std::string& content = repository_.content(find_entry(baseline_.listing, "mapped")->token);
    ASSERT_EQ(content[4096], static_cast<char>(round)) << round;
    ASSERT_EQ(content[4097], static_cast<char>(round + 100)) << round;
  }
  outwait_racy_window();
  baseline_ = repository_.store(must_capture(root_, staging_, baseline_));
  const Snapshot idle = must_capture(root_, staging_, baseline_);
  EXPECT_EQ(idle.files().front().changed(), on_tmpfs()) << "mapped, but not written since: where it shows, not read";
  ::munmap(page, kSize);
}

TEST_P(Capture, SparseAndLargeFiles) {
  constexpr off_t kGigabyte = off_t{1} << 30;
  const UniqueFd fd(::open((root_ / "sparse").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::pwrite(fd.get(), "begin", 5, 0), 5);
  ASSERT_EQ(::pwrite(fd.get(), "middle", 6, 3 * kGigabyte), 6);
  ASSERT_EQ(::ftruncate(fd.get(), 5 * kGigabyte), 0);
  const Snapshot snapshot = must_capture(root_, staging_, baseline_);
  struct stat info {};
  ASSERT_EQ(::stat(snapshot.files().front().staged.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 5 * kGigabyte);
  EXPECT_LT(info.st_blocks, 4096) << "the holes were filled";
  const UniqueFd staged(::open(snapshot.files().front().staged.c_str(), O_RDONLY | O_CLOEXEC));
  char text[6] = {};
  ASSERT_EQ(::pread(staged.get(), text, 6, 3 * kGigabyte), 6);
  EXPECT_EQ(std::string(text, 6), "middle");
}

TEST_P(Capture, StagingIsRemovedWithTheSnapshot) {
  write_all(root_ / "f", "data");
  {
    Snapshot snapshot = must_capture(root_, staging_, baseline_);
    const Snapshot moved = std::move(snapshot);
    EXPECT_TRUE(std::filesystem::exists(moved.files().front().staged));
  }
  EXPECT_TRUE(std::filesystem::is_empty(staging_));
}

TEST_P(Capture, NamesAddedByAnEngineAreTakenLater) {
  std::filesystem::create_directories(root_ / "a/b");
  std::filesystem::create_directories(root_ / "quiet");
  write_all(root_ / "a/linked", "still has a name");
  outwait_racy_window();
  const UniqueFd deleted(::open((root_ / "a/b").c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_TRUE(write_full(deleted.get(), "deleted but open").ok());
  Snapshot snapshot = must_capture(root_, staging_, baseline_);
  const std::string self = "/proc/self/fd/" + std::to_string(deleted.get());
  ASSERT_EQ(::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, (root_ / "a/b/link_remap.7").c_str(), AT_SYMLINK_FOLLOW), 0);
  ASSERT_EQ(::link((root_ / "a/linked").c_str(), (root_ / "a/b/link_remap.8").c_str()), 0);
  std::filesystem::create_directories(root_ / "a/new");
  write_all(root_ / "a/new/file", "new");
  const Status again = recapture_directories(snapshot);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  const Baseline stored = repository_.store(snapshot);
  ASSERT_TRUE(validate(stored.listing).ok());
  const auto copy = place_.make("copy");
  repository_.rebuild(stored.listing, copy);
  EXPECT_EQ(read_all(copy / "a/b/link_remap.7"), "deleted but open");
  EXPECT_EQ(read_all(copy / "a/b/link_remap.8"), "still has a name");
  EXPECT_EQ(read_all(copy / "a/new/file"), "new");
  EXPECT_EQ(std::filesystem::hard_link_count(copy / "a/linked"), 2U);
  EXPECT_EQ(snapshot.stats().entries, 9U);
}

TEST_P(Capture, ABaselineOfAnotherTreeOrBootIsIgnored) {
  write_all(root_ / "f", "data");
  outwait_racy_window();
  baseline_ = repository_.store(must_capture(root_, staging_, baseline_));
  Baseline rebooted = baseline_;
  rebooted.tree.boot_id = "00000000-0000-0000-0000-000000000000";
  EXPECT_TRUE(must_capture(root_, staging_, rebooted).files().front().changed());
  Baseline other = baseline_;
  ++other.tree.inode;
  EXPECT_TRUE(must_capture(root_, staging_, other).files().front().changed());
  if (on_tmpfs()) return;
  EXPECT_FALSE(must_capture(root_, staging_, baseline_).files().front().changed());
  struct stat info {};
  ASSERT_EQ(::stat((root_ / "f").c_str(), &info), 0);
  EXPECT_TRUE(must_capture(root_, staging_, baseline_, {.always_read = {{info.st_dev, info.st_ino}}})
                  .files()
                  .front()
                  .changed());
}

}  // namespace
}  // namespace cacs::delta
