#include "delta/listing.h"

#include <gtest/gtest.h>

#include "delta/baseline.h"
#include "delta/diff.h"

namespace cacs::delta {
namespace {

Entry directory(std::string path) { return {.path = std::move(path), .type = EntryType::kDirectory, .mode = 0755}; }
Entry file(std::string path, std::string token = "t") {
  return {.path = std::move(path), .mode = 0644, .size = 3, .token = std::move(token)};
}

Listing example() {
  Listing listing{{directory(""), directory("a"), file("a/x\n\xff"), file("a/y"), file("z")}};
  listing.entries[2].xattrs = {{.name = "user.a", .value = std::string("\0b", 2)}};
  listing.entries[3].mtime = {.seconds = -5, .nanoseconds = 999'999'999};
  listing.entries.push_back({.path = "link", .type = EntryType::kSymlink, .mode = 0777, .symlink_target = "../../etc"});
  listing.entries.push_back({.path = "gone", .type = EntryType::kCharDevice});
  listing.entries.push_back({.path = "disk", .type = EntryType::kBlockDevice, .rdev_major = 8, .rdev_minor = 1});
  listing.entries[3].link_group = 4;
  Entry hard = file("hard", "");
  hard.link_group = 4;
  listing.entries.push_back(hard);
  return listing;
}

TEST(Listing, ComesBackFromItsBinaryForm) {
  const Listing listing = example();
  ASSERT_TRUE(validate(listing).ok()) << validate(listing).error().to_string();
  const auto again = parse_listing(serialise(listing));
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(*again, listing);
}

TEST(Listing, FirstVersionStaysReadable) {
  // What the first version wrote; must be read for ever.
  const std::string stored(
      "CACSDLTL\x01\x01\x02"
      "\x00\x00\x02\xed\x03\x00\x00\x02\x00\x05\x00\x00"
      "\x00\x01"
      "f\x01\xa4\x03\x01\x02\x02\x07\x09\x00\x00\x03\x01t",
      11 + 12 + 16);
  const auto listing = parse_listing(stored);
  ASSERT_TRUE(listing.ok()) << listing.error().to_string();
  EXPECT_EQ(listing->entries.at(1).path, "f");
  EXPECT_EQ(listing->entries.at(1).mode, 0644U);
  EXPECT_EQ(listing->entries.at(1).mtime, (Timestamp{.seconds = 1, .nanoseconds = 7}));
  EXPECT_EQ(listing->entries.at(1).token, "t");
  EXPECT_EQ(serialise(*listing), stored);
}

TEST(Listing, EveryCutAndMostFlipsAreNoticedAndNoneHurts) {
  const std::string stored = serialise(example());
  for (std::size_t size = 0; size < stored.size(); ++size) {
    EXPECT_FALSE(parse_listing(std::string_view(stored).substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(parse_listing(stored + "x").ok());
  for (std::size_t i = 0; i < stored.size() * 8; ++i) {
    std::string flipped = stored;
    flipped[i / 8] = static_cast<char>(static_cast<unsigned char>(flipped[i / 8]) ^ (1U << (i % 8)));
    const auto parsed = parse_listing(flipped);
    EXPECT_TRUE(!parsed.ok() || validate(*parsed).ok());
  }
}

TEST(Listing, ANewerFormatIsRefusedAsSuch) {
  std::string stored = serialise(example());
  stored[9] = 2;
  const auto parsed = parse_listing(stored);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, ErrorCode::kUnsupported);
}

TEST(Listing, HostilePathsAreRefused) {
  EXPECT_FALSE(validate({}).ok());
  EXPECT_FALSE(validate({{file("")}}).ok());
  EXPECT_FALSE(validate({{directory("a")}}).ok());
  for (const char* path : {"..", ".", "/etc", "a//b", "a/", "a/..", "a/../b", "b/c", "a/./x"}) {
    EXPECT_FALSE(validate({{directory(""), directory("a"), file(path)}}).ok()) << path;
  }
  EXPECT_FALSE(validate({{directory(""), file(std::string("a\0b", 3))}}).ok());
  EXPECT_FALSE(validate({{directory(""), file(std::string(256, 'n'))}}).ok());
  EXPECT_FALSE(validate({{directory(""), file("a"), file("a")}}).ok()) << "twice";
  EXPECT_FALSE(validate({{directory(""), directory("")}}).ok()) << "two roots";
  EXPECT_FALSE(validate({{directory(""), file("a"), file("a/b")}}).ok()) << "below a file";
  Entry link{.path = "a", .type = EntryType::kSymlink, .symlink_target = "/etc"};
  EXPECT_FALSE(validate({{directory(""), link, file("a/passwd")}}).ok()) << "below a link";
  EXPECT_FALSE(validate({{directory(""), file("d/f"), directory("d")}}).ok()) << "before its directory";
}

TEST(Listing, HardLinksJoinOneTypeAndNoDirectories) {
  Listing listing = example();
  listing.entries[1].link_group = 4;
  EXPECT_FALSE(validate(listing).ok());
  listing = example();
  listing.entries[5].link_group = 4;
  EXPECT_FALSE(validate(listing).ok());
}

TEST(Listing, APrefixLongerThanThePathBeforeIsRefused) {
  std::string stored = "CACSDLTL\x01\x01\x02";
  stored.append("\0\0\2\0\0\0\0\0\0\0\0", 11);
  stored.append("\x05\x01x\1\0\0\0\0\0\0\0\0\0\0", 14);
  EXPECT_FALSE(parse_listing(stored).ok());
  stored[stored.size() - 14] = '\0';
  EXPECT_TRUE(parse_listing(stored).ok()) << "the rest of it is right";
}

TEST(Baseline, DamageIsNoticedAndAnEmptyOneIsFine) {
  const auto empty = parse_baseline(serialise(Baseline{}));
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->empty());
  Baseline baseline{.tree = {.device = 1, .inode = 2, .boot_id = "b"}, .listing = example()};
  baseline.identities.resize(baseline.listing.entries.size());
  const std::string stored = serialise(baseline);
  ASSERT_TRUE(parse_baseline(stored).ok());
  for (std::size_t size = 0; size < stored.size(); ++size) {
    EXPECT_FALSE(parse_baseline(std::string_view(stored).substr(0, size)).ok()) << size;
  }
  baseline.identities.pop_back();
  EXPECT_FALSE(parse_baseline(serialise(baseline)).ok());
}

TEST(Diff, NamesEveryKindOfDifference) {
  Listing before{{directory(""), file("same"), file("changed", "1"), file("old name"), file("deleted")}};
  Listing after{{directory(""), file("same"), file("changed", "2"), file("new name"), file("created")}};
  for (std::size_t i = 1; i < 5; ++i) {
    before.entries[i].inode = i;
    after.entries[i].inode = i;
  }
  after.entries[4].inode = 99;
  const Difference difference = diff(before, after);
  EXPECT_EQ(difference.created, std::vector<std::string>{"created"});
  EXPECT_EQ(difference.changed, std::vector<std::string>{"changed"});
  EXPECT_EQ(difference.deleted, std::vector<std::string>{"deleted"});
  ASSERT_EQ(difference.renamed.size(), 1U);
  EXPECT_EQ(difference.renamed[0].first, "old name");
  EXPECT_EQ(difference.renamed[0].second, "new name");
  EXPECT_TRUE(diff(before, before).empty());
}

TEST(Diff, AHardLinkChangesWithItsLeader) {
  Listing before = example();
  Listing after = example();
  after.entries[3].token = "other";
  EXPECT_EQ(diff(before, after).changed, (std::vector<std::string>{"a/y", "hard"}));
}

}  // namespace
}  // namespace cacs::delta
