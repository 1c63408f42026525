// A keeper on a real overlay whose lower layer is changed under it.

#include "basefs/keeper.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <mutex>

#include "base/process.h"
#include "basefs/overlay.h"
#include "basefs/test_support.h"

namespace cacs::basefs {
namespace {

class KeeperTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    for (const char* name : {"lower", "upper", "work", "merged"}) std::filesystem::create_directories(at(name));
    write_text(lower("opt/app/main.py"), "main");
    write_text(lower("opt/app/late.py"), "late 1");
    write_text(lower("usr/lib/libx.so.1.0"), "library 1");
    std::filesystem::create_symlink("libx.so.1.0", lower("usr/lib/libx.so.1"));
    const std::string options = "lowerdir=" + at("lower").string() + ",upperdir=" + at("upper").string() +
                                ",workdir=" + at("work").string() + ",index=off,xino=off,metacopy=off";
    ASSERT_EQ(::mount("cacs-test", at("merged").c_str(), "overlay", 0, options.c_str()), 0);
    mounted_ = true;
  }

  void TearDown() override {
    keeper_.reset();
    if (mounted_) {
      EXPECT_EQ(::umount2(at("merged").c_str(), 0), 0);
    }
  }

  std::filesystem::path at(const char* name) const { return directory_.path() / name; }
  std::filesystem::path lower(const char* name) const { return at("lower") / name; }
  std::filesystem::path merged(const char* name) const { return at("merged") / name; }

  void start(const Record& seed = {}) {
    KeeperOptions options;
    options.base = at("lower");
    options.upper = at("upper");
    options.directory = at("kept");
    options.prefix = at("merged");
    options.max_bytes = max_bytes_;
    options.report = [this](const std::string& path, const std::string&) {
      const std::lock_guard lock(mutex_);
      reported_.push_back(path);
    };
    auto keeper = Keeper::open(options);
    ASSERT_TRUE(keeper.ok()) << keeper.error().to_string();
    keeper_ = *std::move(keeper);
    keeper_->seed(seed);
    auto root = open_file(at("merged"), O_PATH | O_DIRECTORY);
    ASSERT_TRUE(root.ok());
    ASSERT_TRUE(keeper_->attach(*std::move(root)).ok());
  }

  /// Another process opens the file, as programs do.
  void read_inside(const char* name) {
    const auto result = run_command({.argv = {"cat", merged(name).string()}});
    ASSERT_TRUE(result.ok() && result->status.success());
    ASSERT_TRUE(keeper_->settle(std::chrono::seconds(20)));
  }

  void settle() { ASSERT_TRUE(keeper_->settle(std::chrono::seconds(20))); }

  std::vector<std::string> reported() {
    const std::lock_guard lock(mutex_);
    return reported_;
  }

  TestDirectory directory_;
  bool mounted_ = false;
  std::uint64_t max_bytes_ = 1 << 20U;
  std::mutex mutex_;
  std::vector<std::string> reported_;
  std::unique_ptr<Keeper> keeper_;
};

TEST_F(KeeperTest, AReplacedFileStaysAsItWasSeen) {
  start();
  read_inside("opt/app/main.py");
  replace_text(lower("opt/app/main.py"), "other");
  settle();
  EXPECT_EQ(text_of(merged("opt/app/main.py")), "main");
  EXPECT_EQ(text_of(at("upper") / "opt/app/main.py"), "main");
  EXPECT_TRUE(reported().empty());
}

TEST_F(KeeperTest, SoDoesOneNearItThatWasNeverOpened) {
  start();
  read_inside("opt/app/main.py");
  struct stat before {};
  ASSERT_EQ(::lstat(lower("opt/app/late.py").c_str(), &before), 0);
  replace_text(lower("opt/app/late.py"), "late 2, longer");
  settle();
  EXPECT_EQ(text_of(merged("opt/app/late.py")), "late 1");
  struct stat after {};
  ASSERT_EQ(::lstat(merged("opt/app/late.py").c_str(), &after), 0);
  EXPECT_EQ(stamp_of(after).mtime_ns, stamp_of(before).mtime_ns);
  EXPECT_EQ(after.st_mode, before.st_mode);
}

TEST_F(KeeperTest, AndOneThatIsOverwrittenInPlaceOrRemoved) {
  start();
  read_inside("opt/app/main.py");
  write_text(lower("opt/app/late.py"), "LATE 2");
  std::filesystem::remove(lower("opt/app/main.py"));
  settle();
  EXPECT_EQ(text_of(merged("opt/app/late.py")), "late 1");
  EXPECT_EQ(text_of(merged("opt/app/main.py")), "main");
}

TEST_F(KeeperTest, AWholeDirectoryIsReplaced) {
  start();
  read_inside("opt/app/main.py");
  std::filesystem::rename(lower("opt/app"), lower("opt/old"));
  write_text(lower("opt/app/main.py"), "new");
  settle();
  EXPECT_EQ(text_of(merged("opt/app/main.py")), "main");
  EXPECT_EQ(text_of(merged("opt/app/late.py")), "late 1");
}

TEST_F(KeeperTest, ALinkToALibraryGoesOnLeadingToIt) {
  start();
  read_inside("usr/lib/libx.so.1");
  write_text(lower("usr/lib/libx.so.1.1"), "library 2");
  std::filesystem::remove(lower("usr/lib/libx.so.1"));
  std::filesystem::create_symlink("libx.so.1.1", lower("usr/lib/libx.so.1"));
  std::filesystem::remove(lower("usr/lib/libx.so.1.0"));
  settle();
  EXPECT_EQ(text_of(merged("usr/lib/libx.so.1")), "library 1");
}

TEST_F(KeeperTest, TheProgramsOwnVersionIsLeftAlone) {
  start();
  read_inside("opt/app/main.py");
  write_text(merged("opt/app/main.py"), "the program's");
  replace_text(lower("opt/app/main.py"), "other");
  settle();
  EXPECT_EQ(text_of(merged("opt/app/main.py")), "the program's");
}

TEST_F(KeeperTest, NothingIsWrittenWhileTheUpperLayerIsCaptured) {
  start();
  read_inside("opt/app/main.py");
  {
    const auto hold = keeper_->hold();
    replace_text(lower("opt/app/late.py"), "late 2");
    EXPECT_FALSE(keeper_->settle(std::chrono::milliseconds(200)));
    EXPECT_FALSE(std::filesystem::exists(at("upper") / "opt/app/late.py"));
  }
  settle();
  EXPECT_EQ(text_of(merged("opt/app/late.py")), "late 1");
}

TEST_F(KeeperTest, WhatIsBeyondTheBoundIsNamed) {
  max_bytes_ = 5;
  start();
  read_inside("opt/app/main.py");
  ASSERT_FALSE(keeper_->warnings().empty());
  EXPECT_NE(keeper_->warnings()[0].find("/opt/app/late.py"), std::string::npos);
  replace_text(lower("opt/app/late.py"), "late 2");
  settle();
  EXPECT_EQ(reported(), (std::vector<std::string>{"/opt/app/late.py"}));
}

TEST_F(KeeperTest, AnotherKeeperGoesOnWithTheJournal) {
  start();
  read_inside("opt/app/main.py");
  keeper_.reset();
  replace_text(lower("opt/app/late.py"), "late 2");
  start();
  settle();
  EXPECT_EQ(text_of(merged("opt/app/late.py")), "late 1");
  EXPECT_EQ(keeper_->view().entries.at("/opt/app/main.py").opened, true);
}

TEST_F(KeeperTest, TheSameContentUnderAnotherStampIsNoChange) {
  start();
  read_inside("opt/app/main.py");
  replace_text(lower("opt/app/main.py"), "main");
  settle();
  EXPECT_FALSE(std::filesystem::exists(at("upper") / "opt/app/main.py"));
  replace_text(lower("opt/app/main.py"), "mine");
  settle();
  EXPECT_EQ(text_of(merged("opt/app/main.py")), "main");
}

TEST_F(KeeperTest, ServesIntoAnUpperLayerThatIsNotMounted) {
  start();
  read_inside("opt/app/main.py");
  const Entry entry = keeper_->view().entries.at("/opt/app/main.py");
  ASSERT_TRUE(entry.saved);
  std::filesystem::permissions(lower("opt/app"), std::filesystem::perms(0750));
  const auto upper = directory_.path() / "other-upper";
  const auto fill = [&](int fd) -> Status {
    CACS_ASSIGN(const UniqueFd content, keeper_->content(entry.digest));
    return copy_file(content.get(), fd);
  };
  std::filesystem::create_directories(upper);
  ASSERT_TRUE(serve(at("lower"), upper, entry, fill).ok());
  EXPECT_EQ(text_of(upper / "opt/app/main.py"), "main");
  EXPECT_EQ(std::filesystem::status(upper / "opt/app").permissions(), std::filesystem::perms(0750));
  EXPECT_TRUE(hidden_by(upper, "/opt/app/main.py"));
  EXPECT_FALSE(hidden_by(upper, "/opt/app/late.py"));
}

}  // namespace
}  // namespace cacs::basefs
