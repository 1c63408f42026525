#include "delta/memory_stage.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "delta/test_support.h"

namespace cacs::delta {
namespace {

constexpr std::uint64_t kPlenty = std::uint64_t{1} << 30U;
constexpr std::size_t kMiB = std::size_t{1} << 20U;

std::string pattern(std::size_t bytes, char seed) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(static_cast<std::size_t>(seed) + i / 7 + i % 13);
  return text;
}

class MemoryStageTest : public ::testing::Test {
 protected:
  /// Captures with what was prepared, rebuilds and compares; the number of files that memory took.
  std::size_t check(MemoryStage& stage) {
    const Snapshot snapshot = must_capture(root_, staging_, {}, {.memory = &stage});
    const Baseline baseline = repository_.store(snapshot);
    const auto copy = place_.path() / ("copy" + std::to_string(copies_++));
    repository_.rebuild(baseline.listing, copy);
    EXPECT_EQ(account_of(copy), account_of(root_));
    return snapshot.stats().memory_files;
  }

  TestPlace place_{TestFileSystem::kTmpfs};
  std::filesystem::path root_ = place_.make("root");
  std::filesystem::path staging_ = place_.make("staging");
  TestRepository repository_;
  int copies_ = 0;
};

TEST_F(MemoryStageTest, WhatIsWrittenAfterThePreparationIsCaptured) {
  write_all(root_ / "large", pattern(3 * kMiB + 123, 'a'));
  write_all(root_ / "small", "x");
  std::filesystem::create_directory(root_ / "below");
  write_all(root_ / "below/other", pattern(kMiB, 'b'));
  auto stage = MemoryStage::prepare(root_, kPlenty);
  EXPECT_EQ(stage.files(), 2U);
  write_all(root_ / "large", pattern(3 * kMiB + 123, 'c'));
  write_all(root_ / "new", pattern(2 * kMiB, 'd'));
  std::filesystem::remove(root_ / "below/other");
  EXPECT_EQ(check(stage), 1U);
}

TEST_F(MemoryStageTest, FilesThatChangeTheirSizeAreCopiedLikeOthers) {
  write_all(root_ / "grown", pattern(2 * kMiB, 'a'));
  write_all(root_ / "cut", pattern(2 * kMiB, 'b'));
  auto stage = MemoryStage::prepare(root_, kPlenty);
  EXPECT_EQ(stage.files(), 2U);
  write_all(root_ / "grown", pattern(2 * kMiB + 1, 'a'));
  std::filesystem::resize_file(root_ / "cut", kMiB);
  EXPECT_EQ(check(stage), 0U);
}

TEST_F(MemoryStageTest, HolesThatComeAndGo) {
  const auto path = root_ / "sparse";
  write_all(path, "");
  std::filesystem::resize_file(path, 16 * kMiB);
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const std::string data = pattern(2 * kMiB, 'a');
  ASSERT_TRUE(pwrite_full(fd.get(), as_bytes(data), 4 * kMiB).ok());
  auto stage = MemoryStage::prepare(root_, kPlenty);
  EXPECT_EQ(stage.files(), 1U);
  ASSERT_TRUE(pwrite_full(fd.get(), as_bytes(data), 9 * kMiB + 5).ok());
  ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * kMiB, kMiB), 0);
  EXPECT_EQ(check(stage), 1U);
}

TEST_F(MemoryStageTest, TwoNamesOfOneFileTakeOneRoom) {
  write_all(root_ / "one", pattern(2 * kMiB, 'a'));
  std::filesystem::create_hard_link(root_ / "one", root_ / "two");
  auto stage = MemoryStage::prepare(root_, kPlenty);
  EXPECT_EQ(stage.files(), 1U);
  EXPECT_EQ(check(stage), 1U);
}

TEST_F(MemoryStageTest, TheBudgetIsKept) {
  for (const char* name : {"a", "b", "c"}) write_all(root_ / name, pattern(2 * kMiB, *name));
  EXPECT_EQ(MemoryStage::prepare(root_, 5 * kMiB).files(), 2U);
  EXPECT_EQ(MemoryStage::prepare(root_, 0).files(), 0U);
  auto some = MemoryStage::prepare(root_, 3 * kMiB);
  EXPECT_EQ(check(some), 1U);
  EXPECT_GT(memory_stage_budget(), 0U);
}

TEST_F(MemoryStageTest, OnADiskThereIsNothingToPrepare) {
  const TestPlace disk(TestFileSystem::kDisk);
  write_all(disk.path() / "large", pattern(2 * kMiB, 'a'));
  EXPECT_EQ(MemoryStage::prepare(disk.path(), kPlenty).files(), 0U);
  EXPECT_EQ(MemoryStage::prepare(disk.path() / "nothing", kPlenty).files(), 0U);
}

}  // namespace
}  // namespace cacs::delta
