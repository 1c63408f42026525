#include "delta/delta_store.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/io.h"
#include "delta/loop_device.h"
#include "delta/test_support.h"

namespace cacs::delta {
namespace {

constexpr std::uint64_t kSmall = std::uint64_t{512} << 20U;

std::uint64_t allocated(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

DeltaStore must_open(const std::filesystem::path& state, const DeltaStoreOptions& options = {.image_bytes = kSmall}) {
  auto store = open_delta_store(state, options);
  if (!store.ok()) ADD_FAILURE() << store.error().to_string();
  return std::move(*store);
}

TEST(DeltaStore, AnImageIsMadeFoundAgainAndLeavesNothingAttached) {
  const TestPlace place(TestFileSystem::kDisk);
  const DeltaStore store = must_open(place.path());
  ASSERT_EQ(store.kind, DeltaStoreKind::kImage) << store.problem;
  EXPECT_TRUE(*can_share_blocks(store.directory));
  EXPECT_LT(allocated(store.image), kSmall / 4) << "the image is not sparse";
  write_all(store.directory / "f", "kept");
  EXPECT_EQ(must_open(place.path()).kind, DeltaStoreKind::kImage) << "while it is mounted";
  struct stat info {};
  ASSERT_EQ(::stat(store.directory.c_str(), &info), 0);
  const dev_t device = info.st_dev;
  EXPECT_EQ(loop_backing_file(device), store.image);
  ASSERT_TRUE(close_delta_store(store).ok());
  EXPECT_TRUE(close_delta_store(store).ok()) << "closing twice";
  EXPECT_NE(loop_backing_file(device), store.image) << "the loop device is still attached";
  const DeltaStore again = must_open(place.path());  // as after a reboot
  EXPECT_EQ(read_all(again.directory / "f"), "kept");
  EXPECT_TRUE(close_delta_store(again).ok());
}

TEST(DeltaStore, AFileSystemThatSharesBlocksIsUsedAsItIs) {
  const TestPlace place(TestFileSystem::kXfsImage);
  const DeltaStore store = must_open(place.make("state"));
  EXPECT_EQ(store.kind, DeltaStoreKind::kNative);
  EXPECT_TRUE(store.image.empty());
}

TEST(DeltaStore, WhereNoImageFitsItCopiesAndSaysWhy) {
  const TestPlace place(TestFileSystem::kTmpfs);
  ASSERT_EQ(::mount("tmpfs", place.make("small").c_str(), "tmpfs", 0, "size=16m"), 0) << std::strerror(errno);
  const DeltaStore store = must_open(place.path() / "small", {});
  EXPECT_EQ(store.kind, DeltaStoreKind::kCopy);
  EXPECT_NE(store.problem.find("too small"), std::string::npos) << store.problem;
  EXPECT_NE(store.problem.find("free some space"), std::string::npos) << store.problem;
  EXPECT_TRUE(std::filesystem::is_empty(store.directory));
  EXPECT_EQ(::umount2((place.path() / "small").c_str(), 0), 0);
}

TEST(DeltaStore, DeltasAreNeverHiddenByANewImage) {
  const TestPlace place(TestFileSystem::kDisk);
  const DeltaStore off = must_open(place.path(), {.may_make_image = false});
  EXPECT_EQ(off.kind, DeltaStoreKind::kCopy);
  write_all(off.directory / "delta of a pod", "x");
  const DeltaStore later = must_open(place.path());
  EXPECT_EQ(later.kind, DeltaStoreKind::kCopy);
  EXPECT_NE(later.problem.find("already holds deltas"), std::string::npos) << later.problem;
  EXPECT_EQ(read_all(later.directory / "delta of a pod"), "x");
}

TEST(DeltaStore, AHalfMadeImageIsMadeAgainAndADamagedOneIsAnError) {
  const TestPlace place(TestFileSystem::kDisk);
  write_all(place.path() / "delta.img.tmp", "half");
  const DeltaStore store = must_open(place.path());
  ASSERT_EQ(store.kind, DeltaStoreKind::kImage) << store.problem;
  EXPECT_FALSE(std::filesystem::exists(place.path() / "delta.img.tmp"));
  ASSERT_TRUE(close_delta_store(store).ok());
  write_all(store.image, std::string(1 << 20, 'z'));
  const auto damaged = open_delta_store(place.path(), {.image_bytes = kSmall});
  ASSERT_FALSE(damaged.ok());
  EXPECT_NE(damaged.error().message.find("delta.img"), std::string::npos) << damaged.error().message;
  EXPECT_FALSE(damaged.error().hint.empty());
}

TEST(DeltaStore, ItGrowsWhileInUseAndGivesSpaceBack) {
  const TestPlace place(TestFileSystem::kDisk);
  const DeltaStore store = must_open(place.path());
  ASSERT_EQ(store.kind, DeltaStoreKind::kImage) << store.problem;
  EXPECT_FALSE(check_room(store, std::uint64_t{900} << 20U).ok());
  const Status grown = grow_delta_store(store, std::uint64_t{1} << 30U);
  ASSERT_TRUE(grown.ok()) << grown.error().to_string();
  const auto room = check_room(store, std::uint64_t{800} << 20U);
  ASSERT_TRUE(room.ok()) << room.error().to_string();
  EXPECT_GT(room->image_free, std::uint64_t{800} << 20U);

  const std::uint64_t before = allocated(store.image);
  write_all(store.directory / "big", std::string(64 << 20, 'b'));
  ASSERT_TRUE(presync(store.directory).ok());
  EXPECT_GT(allocated(store.image), before + (60U << 20U));
  std::filesystem::remove(store.directory / "big");
  ASSERT_TRUE(close_delta_store(store).ok());  // a mount's end waits for its discards
  EXPECT_LT(allocated(store.image), before + (16U << 20U));
}

TEST(DeltaStore, AFullHostDiskIsNamedAsSuch) {
  const TestPlace place(TestFileSystem::kTmpfs);
  const auto host = place.make("host");
  ASSERT_EQ(::mount("tmpfs", host.c_str(), "tmpfs", 0, "size=200m"), 0) << std::strerror(errno);
  const DeltaStore store = must_open(host);
  ASSERT_EQ(store.kind, DeltaStoreKind::kImage) << store.problem;
  const auto room = check_room(store, std::uint64_t{300} << 20U);
  ASSERT_FALSE(room.ok());
  EXPECT_EQ(room.error().code, ErrorCode::kNoSpace);
  EXPECT_NE(room.error().message.find(host.native() + "'"), std::string::npos) << room.error().message;
  EXPECT_NE(room.error().hint.find("host's disk"), std::string::npos) << room.error().hint;
  EXPECT_TRUE(close_delta_store(store).ok());
  EXPECT_EQ(::umount2(host.c_str(), 0), 0) << std::strerror(errno);
}

}  // namespace
}  // namespace cacs::delta
