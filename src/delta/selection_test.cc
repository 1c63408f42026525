#include "delta/selection.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>

#include "delta/test_support.h"

namespace cacs::delta {
namespace {

using Take = Selection::Take;

TEST(Selection, MatchesPartByPart) {
  const Selection wanted({"/job/restart.*", "/data", "//x/*/state/"});
  const std::pair<const char*, Take> cases[] = {
      {"job", Take::kOnTheWay},  {"job/restart.100", Take::kYes},
      {"job/other", Take::kNo},  {"job/sub/restart.1", Take::kNo},
      {"data", Take::kYes},      {"data/deep/er", Take::kYes},
      {"database", Take::kNo},   {"x", Take::kOnTheWay},
      {"x/a", Take::kOnTheWay},  {"x/.a", Take::kNo},
      {"x/a/state", Take::kYes}, {"x/a/b/state", Take::kNo},
      {"jo", Take::kNo},
  };
  for (const auto& [path, take] : cases) EXPECT_EQ(wanted.take(path), take) << path;
  EXPECT_EQ(Selection().take("anything/at/all"), Take::kYes);
  EXPECT_EQ(Selection({"/a/[b]"}).take("a/[b]"), Take::kYes) << "a name that reads like a wildcard is still a name";
}

TEST(Selection, IsAllThatACaptureTakes) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestPlace place(TestFileSystem::kDisk);
  const auto root = place.make("root");
  const auto staging = place.make("staging");
  std::filesystem::create_directories(root / "job/sub");
  std::filesystem::create_directories(root / "other");
  write_all(root / "job/state.1", "one");
  write_all(root / "job/state.2", "two");
  write_all(root / "job/log", "not wanted");
  write_all(root / "job/sub/state.1", "not wanted");
  write_all(root / "other/file", "not wanted");
  // A directory that hides the base's: what is above a wanted file is to be there, but to hide nothing.
  ASSERT_EQ(::setxattr((root / "job").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  const CaptureOptions options{.only = Selection({"/job/state.*"})};
  for (int round = 0; round < 2; ++round) {
    const auto snapshot = capture(root, staging, {}, options);
    ASSERT_TRUE(snapshot.ok()) << snapshot.error().to_string();
    std::set<std::string> paths;
    for (const Entry& entry : snapshot->listing().entries) {
      paths.insert(entry.path);
      EXPECT_TRUE(entry.xattrs.empty()) << entry.path;
    }
    EXPECT_EQ(paths, (std::set<std::string>{"", "job", "job/state.1", "job/state.2"}));
    EXPECT_EQ(snapshot->files().size(), 2U);
  }
}

}  // namespace
}  // namespace cacs::delta
