#include "pod/restored_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

namespace cacs::pod {
namespace {

class RestoredFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    std::string pattern = "/tmp/cacs-restored-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    for (const char* name : {"from", "upper", "outside"}) ASSERT_TRUE(make_directories(dir_ / name).ok());
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(dir_).ok()); }

  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(make_directories((dir_ / path).parent_path()).ok());
    ASSERT_TRUE(write_file_durably(dir_ / path, text).ok());
  }
  std::string get(const std::string& path) { return read_text_file(dir_ / path).value(); }
  bool there(const std::string& path) { return std::filesystem::exists(std::filesystem::symlink_status(dir_ / path)); }

  std::filesystem::path dir_;
};

TEST_F(RestoredFiles, TheProgramsStandOverThoseOfAStart) {
  put("upper/job/in", "of the start");
  put("upper/job/kept", "of the start");
  put("upper/etc/hosts", "ours");
  put("from/job/in", "of the program");
  put("from/job/deep/state", "saved");
  put("from/new/state", "saved too");
  ASSERT_EQ(::chmod((dir_ / "from/job").c_str(), 0711), 0);
  ASSERT_EQ(::chown((dir_ / "from/job").c_str(), 11, 12), 0);
  const auto status = put_restored_files(dir_ / "from", dir_ / "upper");
  ASSERT_TRUE(status.ok()) << status.error().to_string();
  EXPECT_EQ(get("upper/job/in"), "of the program");
  EXPECT_EQ(get("upper/job/kept"), "of the start");
  EXPECT_EQ(get("upper/job/deep/state"), "saved");
  EXPECT_EQ(get("upper/new/state"), "saved too");
  EXPECT_EQ(get("upper/etc/hosts"), "ours");
  struct stat info {};
  ASSERT_EQ(::stat((dir_ / "upper/job").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0711U);
  EXPECT_EQ(info.st_uid, 11U);
}

TEST_F(RestoredFiles, OfOursOnlyTheOutputComesBack) {
  put("upper/.cacs/cacs-init", "ours");
  put("upper/.cacs/log/stdout", "");
  put("from/.cacs/cacs-init", "another");
  put("from/.cacs/exit", "1 0");
  put("from/.cacs/log/stdout", "printed");
  const auto status = put_restored_files(dir_ / "from", dir_ / "upper");
  ASSERT_TRUE(status.ok()) << status.error().to_string();
  EXPECT_EQ(get("upper/.cacs/cacs-init"), "ours");
  EXPECT_EQ(get("upper/.cacs/log/stdout"), "printed");
  EXPECT_FALSE(there("upper/.cacs/exit"));
}

/// A program may put a link anywhere that it can write: it is moved as one, and nothing is written through it.
TEST_F(RestoredFiles, NoLinkLeadsOut) {
  put("upper/job/in", "of the start");
  put("upper/.cacs/log/stdout", "");
  put("upper/etc/hosts", "ours");
  put("outside/hosts", "the machine's");
  put("outside/stdout", "the machine's");
  ASSERT_TRUE(make_directories(dir_ / "from/.cacs").ok());
  for (const char* name : {"from/job", "from/etc", "from/.cacs/log"}) {
    ASSERT_EQ(::symlink((dir_ / "outside").c_str(), (dir_ / name).c_str()), 0);
  }
  const auto status = put_restored_files(dir_ / "from", dir_ / "upper");
  ASSERT_TRUE(status.ok()) << status.error().to_string();
  EXPECT_TRUE(std::filesystem::is_symlink(dir_ / "upper/job"));
  EXPECT_TRUE(std::filesystem::is_symlink(dir_ / "upper/etc"));
  EXPECT_FALSE(std::filesystem::is_symlink(dir_ / "upper/.cacs/log"));
  EXPECT_EQ(get("upper/.cacs/log/stdout"), "");
  EXPECT_EQ(get("outside/hosts"), "the machine's");
  EXPECT_EQ(get("outside/stdout"), "the machine's");
}

}  // namespace
}  // namespace cacs::pod
