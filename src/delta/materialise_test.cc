#include "delta/materialise.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "delta/stage.h"
#include "delta/test_support.h"

namespace cacs::delta {
namespace {

const FetchContent kNothing = [](std::string_view, int, const Entry&) -> Status { return {}; };

Listing one_file(std::uint64_t size) {
  return {{{.path = "", .type = EntryType::kDirectory, .mode = 0755}, {.path = "f", .mode = 0600, .size = size}}};
}

TEST(Materialise, RefusesATargetThatIsNotAnEmptyDirectory) {
  const TestPlace place(TestFileSystem::kDisk);
  write_all(place.path() / "there", "x");
  EXPECT_EQ(materialise(one_file(0), place.path(), kNothing).error().code, ErrorCode::kConflict);
  EXPECT_FALSE(materialise(one_file(0), place.path() / "there", kNothing).ok());
  EXPECT_EQ(materialise(one_file(0), place.path() / "missing", kNothing).error().code, ErrorCode::kNotFound);
  ASSERT_EQ(::symlink(place.make("real").c_str(), (place.path() / "link").c_str()), 0);
  EXPECT_FALSE(materialise(one_file(0), place.path() / "link", kNothing).ok());
}

TEST(Materialise, RefusesAHostileListingBeforeItTouchesAnything) {
  const TestPlace place(TestFileSystem::kDisk);
  const auto target = place.make("target");
  Listing listing = one_file(0);
  listing.entries.push_back({.path = "../escaped"});
  EXPECT_EQ(materialise(listing, target, kNothing).error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(std::filesystem::is_empty(target));
  EXPECT_FALSE(std::filesystem::exists(place.path() / "escaped"));
}

TEST(Materialise, AContentOfAnotherLengthIsCorrupt) {
  const TestPlace place(TestFileSystem::kDisk);
  const Status done = materialise(one_file(3), place.make("t"),
                                  [](std::string_view, int fd, const Entry&) { return write_full(fd, "four"); });
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(done.error().message.find("'f'"), std::string::npos) << done.error().message;
}

TEST(Materialise, AFailedFetchIsReportedWithItsFile) {
  const TestPlace place(TestFileSystem::kDisk);
  const Status done = materialise(one_file(3), place.make("t"), [](std::string_view, int, const Entry&) -> Status {
    return make_error(ErrorCode::kUnavailable, "the store is away");
  });
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(done.error().message.find("'f'"), std::string::npos);
}

TEST(Materialise, HolesStayHoles) {
  const TestPlace place(TestFileSystem::kDisk);
  const auto target = place.make("t");
  ASSERT_TRUE(materialise(one_file(std::uint64_t{1} << 40U), target, kNothing).ok());
  struct stat info {};
  ASSERT_EQ(::stat((target / "f").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, off_t{1} << 40);
  EXPECT_LE(info.st_blocks, 8);
}

TEST(Stage, CopyKeepsHolesAtBothEnds) {
  const TestPlace place(TestFileSystem::kDisk);
  const UniqueFd in(::open((place.path() / "in").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const UniqueFd out(::open((place.path() / "out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::pwrite(in.get(), "x", 1, 5 << 20), 1);
  ASSERT_EQ(::ftruncate(in.get(), 10 << 20), 0);
  ASSERT_TRUE(copy_sparse(in.get(), out.get(), 10 << 20).ok());
  EXPECT_EQ(read_all(place.path() / "in"), read_all(place.path() / "out"));
  struct stat info {};
  ASSERT_EQ(::fstat(out.get(), &info), 0);
  EXPECT_LE(info.st_blocks, 16);
}

}  // namespace
}  // namespace cacs::delta
