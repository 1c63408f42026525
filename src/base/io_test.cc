#include "base/io.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace cacs {
namespace {

class IoTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "cacs-io-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(dir_).ok()); }
  std::filesystem::path dir_;
};

TEST_F(IoTest, WritesDurablyAndLeavesNoTemporaryFile) {
  ASSERT_TRUE(write_file_durably(dir_ / "a", "one").ok());
  ASSERT_TRUE(write_file_durably(dir_ / "a", "two").ok());
  EXPECT_EQ(read_text_file(dir_ / "a").value(), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_), {}), 1);
}

TEST_F(IoTest, ErrorsNameThePath) {
  const auto result = read_text_file(dir_ / "missing");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_NE(result.error().message.find("missing"), std::string::npos);
  ASSERT_TRUE(write_file_durably(dir_ / "long", std::string(100, 'x')).ok());
  EXPECT_EQ(read_text_file(dir_ / "long", 10).error().code, ErrorCode::kTooLarge);
}

TEST_F(IoTest, RemoveTreeDoesNotFollowLinks) {
  ASSERT_TRUE(make_directories(dir_ / "keep/inner").ok());
  ASSERT_TRUE(make_directories(dir_ / "gone/deep/er").ok());
  ASSERT_EQ(::symlink((dir_ / "keep").c_str(), (dir_ / "gone/link").c_str()), 0);
  EXPECT_TRUE(remove_tree(dir_ / "gone").ok());
  EXPECT_FALSE(std::filesystem::exists(dir_ / "gone"));
  EXPECT_TRUE(std::filesystem::exists(dir_ / "keep/inner"));
  EXPECT_TRUE(remove_tree(dir_ / "gone").ok());
}

}  // namespace
}  // namespace cacs
