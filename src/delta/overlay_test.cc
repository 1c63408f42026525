// The delta of a real overlay mount: what an application does through it must come back from the captured upper
// directory, seen through a new overlay over the same base.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "delta/diff.h"
#include "delta/test_support.h"

namespace cacs::delta {
namespace {

class Overlay : public ::testing::TestWithParam<TestFileSystem> {
 protected:
  Overlay() : place_(GetParam()), overlay_(place_.path()), staging_(place_.make("staging")) {
    for (const char* directory : {"etc/app", "data/old/deep", "doomed/sub", "emptied"}) {
      std::filesystem::create_directories(overlay_.lower / directory);
    }
    for (const char* file :
         {"etc/app/conf", "etc/passwd", "data/old/deep/file", "data/kept", "doomed/sub/f", "emptied/one", "moved"}) {
      write_all(overlay_.lower / file, std::string("base of ") + file);
    }
    EXPECT_EQ(::symlink("passwd", (overlay_.lower / "etc/link").c_str()), 0);
    overlay_.mount();
  }

  Baseline capture_now() { return repository_.store(must_capture(overlay_.upper, staging_, baseline_)); }

  /// Rolls back into a new upper over the same base, and compares what an application sees.
  void expect_rolls_back(const Listing& listing, const std::map<std::string, std::string>& seen) {
    TestOverlay again(place_.path() / ("again" + std::to_string(count_++)));
    again.lower = overlay_.lower;
    repository_.rebuild(listing, again.upper);
    again.mount();
    EXPECT_EQ(account_of(again.merged), seen);
  }

  TestPlace place_;
  TestOverlay overlay_;
  std::filesystem::path staging_;
  TestRepository repository_;
  Baseline baseline_;
  int count_ = 0;
};

INSTANTIATE_TEST_SUITE_P(On, Overlay,
                         ::testing::Values(TestFileSystem::kDisk, TestFileSystem::kTmpfs, TestFileSystem::kXfsImage),
                         [](const auto& param) { return test_name(param.param); });

TEST_P(Overlay, EverythingAnApplicationDoesRollsBack) {
  const auto& root = overlay_.merged;
  write_all(root / "etc/app/conf", "changed");
  write_all(root / "created", "new");
  std::filesystem::create_directories(root / "made/of/new");
  write_all(root / "made/of/new/file", "x");
  std::filesystem::remove(root / "etc/passwd");
  std::filesystem::remove_all(root / "doomed");
  std::filesystem::remove_all(root / "emptied");
  std::filesystem::create_directory(root / "emptied");
  write_all(root / "emptied/two", "only this");
  std::filesystem::rename(root / "moved", root / "made/moved");
  ASSERT_EQ(::chmod((root / "data/kept").c_str(), 0600), 0);
  ASSERT_EQ(::chown((root / "data/old").c_str(), 5, 6), 0);
  ASSERT_EQ(::link((root / "created").c_str(), (root / "made/hard").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (root / "made/soft").c_str()), 0);
  ASSERT_EQ(::mkfifo((root / "made/fifo").c_str(), 0600), 0);

  const auto seen = account_of(root);
  baseline_ = capture_now();
  const Entry* whiteout = find_entry(baseline_.listing, "etc/passwd");
  ASSERT_NE(whiteout, nullptr);
  EXPECT_TRUE(whiteout->is_whiteout());
  const Entry* opaque = find_entry(baseline_.listing, "emptied");
  ASSERT_NE(opaque, nullptr);
  EXPECT_NE(std::ranges::find(opaque->xattrs, Xattr{.name = "trusted.overlay.opaque", .value = "y"}),
            opaque->xattrs.end());
  expect_rolls_back(baseline_.listing, seen);

  // What is done after the checkpoint is undone; what is done before the next one is in that.
  const Listing first = baseline_.listing;
  outwait_racy_window();
  baseline_ = capture_now();
  write_all(root / "etc/app/conf", "changed again");
  write_all(root / "etc/passwd", "back, but another");
  std::filesystem::remove_all(root / "made/of");
  std::filesystem::rename(root / "created", root / "renamed");
  const auto seen_later = account_of(root);
  const Baseline second = capture_now();
  expect_rolls_back(second.listing, seen_later);
  expect_rolls_back(first, seen);

  const Difference difference = diff(baseline_.listing, second.listing);
  EXPECT_TRUE(std::ranges::count(difference.changed, "etc/app/conf"));
  EXPECT_TRUE(std::ranges::count(difference.changed, "etc/passwd"));
  EXPECT_TRUE(std::ranges::count(difference.deleted, "made/of"));
  EXPECT_TRUE(std::ranges::count(difference.renamed, std::pair<std::string, std::string>("created", "renamed")));
}

TEST_P(Overlay, AnUntouchedOverlayHasADeltaOfItsRootOnly) {
  baseline_ = capture_now();
  EXPECT_EQ(baseline_.listing.entries.size(), 1U);
  expect_rolls_back(baseline_.listing, account_of(overlay_.merged));
}

}  // namespace
}  // namespace cacs::delta
