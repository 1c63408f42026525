#include "engine/criu_pagemap.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "engine/criu_image.pb.h"
#include "engine/test_support.h"

namespace cacs::engine {
namespace {

constexpr std::uint32_t kInParent = 1;
constexpr std::uint32_t kLazy = 2;
constexpr std::uint32_t kPresent = 4;

std::string head(std::uint32_t pages_id) {
  image::PageMapHead made;
  made.set_pages_id(pages_id);
  return made.SerializeAsString();
}

/// As CRIU writes them since 4.2.
std::string pages(std::uint64_t address, std::uint64_t count, std::uint32_t flags = kPresent) {
  image::PageMapEntry made;
  made.set_address(address);
  made.set_compat_pages(0);
  made.set_flags(flags);
  made.set_pages(count);
  return made.SerializeAsString();
}

/// As CRIU wrote them up to 4.1; up to 3.4 without flags.
std::string old_pages(std::uint64_t address, std::uint32_t count, std::optional<std::uint32_t> flags = kPresent) {
  image::PageMapEntry made;
  made.set_address(address);
  made.set_compat_pages(count);
  if (flags) made.set_flags(*flags);
  return made.SerializeAsString();
}

std::string map_of(std::initializer_list<std::string> entries, std::uint32_t pages_id = 7) {
  std::string image = test_image(kPageMapMagic, {head(pages_id)});
  for (const auto& entry : entries) image += test_entry(entry);
  return image;
}

/// What is wrong with a map; "" if it is sound.
std::string problem(const std::string& image, std::uint64_t pages_in_file) {
  const auto map = parse_page_map(image, pages_in_file * kPageBytes);
  if (map) return "";
  EXPECT_EQ(map.error().code, ErrorCode::kCorrupt);
  return map.error().message;
}

TEST(CriuPageMap, WhatCriuHasWritten) {
  // The first three extents of the map of a memfd, byte for byte as CRIU 4.2.1 has written it.
  constexpr unsigned char kBytes[] = {
      0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56,                                       // page map
      0x02, 0x00, 0x00, 0x00, 0x08, 0x01,                                                   // of pages-1.img
      0x08, 0x00, 0x00, 0x00, 0x08, 0x00, 0x10, 0x00, 0x20, 0x04, 0x28, 0x01,               // one page at 0
      0x0a, 0x00, 0x00, 0x00, 0x08, 0x80, 0xe0, 0x01, 0x10, 0x00, 0x20, 0x04, 0x28, 0x01,   // at 7 pages
      0x0a, 0x00, 0x00, 0x00, 0x08, 0x80, 0xc0, 0x03, 0x10, 0x00, 0x20, 0x04, 0x28, 0x02};  // two at 14 pages
  const std::string image(reinterpret_cast<const char*>(kBytes), sizeof kBytes);
  EXPECT_EQ(*pages_id_of(image), 1U);
  const auto map = parse_page_map(image, 4 * kPageBytes);
  ASSERT_TRUE(map.ok()) << map.error().to_string();
  EXPECT_EQ(*map, (PageMap{1, {{0, 1}, {0x7000, 1}, {0xe000, 2}}, 0}));
}

TEST(CriuPageMap, ExtentsThatTouchAreOne) {
  const auto map =
      parse_page_map(map_of({pages(0x1000, 2), pages(0x3000, 1, kPresent | kLazy), pages(0x5000, 1)}), 4 * kPageBytes);
  ASSERT_TRUE(map.ok()) << map.error().to_string();
  EXPECT_EQ(map->extents, (std::vector<Extent>{{0x1000, 3}, {0x5000, 1}}));
}

TEST(CriuPageMap, PagesElsewhereTakeNoPlaceInTheFile) {
  const auto map =
      parse_page_map(map_of({pages(0x1000, 1), pages(0x2000, 5, kInParent), pages(0x7000, 2, kLazy), pages(0x9000, 1)}),
                     2 * kPageBytes);
  ASSERT_TRUE(map.ok()) << map.error().to_string();
  EXPECT_EQ(map->extents, (std::vector<Extent>{{0x1000, 1}, {0x9000, 1}}));
  EXPECT_EQ(map->pages_elsewhere, 7U);
}

TEST(CriuPageMap, MapsOfOlderVersions) {
  image::PageMapEntry in_parent;
  in_parent.set_address(0x9000);
  in_parent.set_compat_pages(3);
  in_parent.set_in_parent(true);
  const auto map =
      parse_page_map(map_of({old_pages(0x1000, 2), old_pages(0x5000, 1, std::nullopt), in_parent.SerializeAsString()}),
                     3 * kPageBytes);
  ASSERT_TRUE(map.ok()) << map.error().to_string();
  EXPECT_EQ(map->extents, (std::vector<Extent>{{0x1000, 2}, {0x5000, 1}}));
  EXPECT_EQ(map->pages_elsewhere, 3U);
}

TEST(CriuPageMap, TheCountOf64BitsIsTheOneThatCounts) {
  image::PageMapEntry both;
  both.set_address(0);
  both.set_compat_pages(2);
  both.set_pages((std::uint64_t{1} << 32U) + 1);
  both.set_flags(kPresent);
  const std::uint64_t pages_in_file = (std::uint64_t{1} << 32U) + 1;
  const auto map = parse_page_map(map_of({both.SerializeAsString()}), pages_in_file * kPageBytes);
  ASSERT_TRUE(map.ok()) << map.error().to_string();
  EXPECT_EQ(map->extents, (std::vector<Extent>{{0, pages_in_file}}));
}

TEST(CriuPageMap, AMapOfNothingIsSound) {
  const auto map = parse_page_map(map_of({}), 0);
  ASSERT_TRUE(map.ok());
  EXPECT_TRUE(map->extents.empty());
}

TEST(CriuPageMap, AddressesAreHeldToMemory) {
  constexpr std::uint64_t kLast = std::numeric_limits<std::uint64_t>::max() - (kPageBytes - 1);
  EXPECT_EQ(problem(map_of({pages(kLast, 1)}), 1), "");
  EXPECT_NE(problem(map_of({pages(kLast, 2)}), 2).find("beyond the end of memory"), std::string::npos);
  constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();
  EXPECT_NE(problem(map_of({pages(0x1000, kHuge)}), 1).find("beyond the end of memory"), std::string::npos);
  EXPECT_NE(problem(map_of({pages(0x1000, kHuge, kInParent)}), 0).find("beyond the end of memory"), std::string::npos);
  EXPECT_NE(problem(map_of({pages(0x1001, 1)}), 1).find("no address of one"), std::string::npos);
  EXPECT_NE(problem(map_of({pages(0x1000, 0)}), 0).find("no pages"), std::string::npos);
}

TEST(CriuPageMap, AddressesRise) {
  constexpr const char* kProblem = "not in the order of their addresses";
  EXPECT_EQ(problem(map_of({pages(0x1000, 1), pages(0x2000, 1)}), 2), "");
  EXPECT_NE(problem(map_of({pages(0x2000, 1), pages(0x1000, 1)}), 2).find(kProblem), std::string::npos);
  EXPECT_NE(problem(map_of({pages(0x1000, 2), pages(0x2000, 1)}), 3).find(kProblem), std::string::npos);
  EXPECT_NE(problem(map_of({pages(0x1000, 1), pages(0x1000, 1)}), 2).find(kProblem), std::string::npos);
  EXPECT_NE(problem(map_of({pages(0x1000, 2, kInParent), pages(0x2000, 1)}), 1).find(kProblem), std::string::npos);
}

TEST(CriuPageMap, FlagsAreThoseThatAreKnown) {
  for (const std::uint32_t flags : {0U, kPresent | kInParent, kInParent | kLazy, 8U, kPresent | 8U, ~0U}) {
    EXPECT_NE(problem(map_of({pages(0x1000, 1, flags)}), 1).find("flags"), std::string::npos) << flags;
  }
}

TEST(CriuPageMap, ThePagesFileIsAsLongAsTheMapSays) {
  const std::string image = map_of({pages(0x1000, 2), pages(0x5000, 1)});
  EXPECT_NE(problem(image, 2).find("more pages"), std::string::npos);
  EXPECT_EQ(problem(image, 3), "");
  EXPECT_NE(problem(image, 4).find("fewer pages"), std::string::npos);
  const auto ragged = parse_page_map(image, 3 * kPageBytes + 1);
  ASSERT_FALSE(ragged.ok());
  EXPECT_NE(ragged.error().message.find("does not end with a page"), std::string::npos);
}

TEST(CriuPageMap, WhatIsNoPageMapIsRefused) {
  const std::string good = map_of({pages(0x1000, 2), pages(0x5000, 1)});
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(parse_page_map(good.substr(0, length), 3 * kPageBytes).ok()) << length;
  }
  EXPECT_NE(problem(test_image(kFilesMagic, {head(7)}), 0).find("does not begin as one"), std::string::npos);
  EXPECT_NE(problem(test_image(kPageMapMagic, {}), 0).find("which pages"), std::string::npos);
  EXPECT_NE(problem(test_image(kPageMapMagic, {""}), 0).find("which pages"), std::string::npos);
  EXPECT_NE(problem(map_of({"\x08"}), 0).find("cannot be read"), std::string::npos);
  image::PageMapEntry nowhere;
  nowhere.set_pages(1);
  EXPECT_NE(problem(map_of({nowhere.SerializeAsString()}), 1).find("no address"), std::string::npos);
}

/// The images of a process 5, of shared memory 0 and 3, and of a memfd 4.
class CriuPageMaps : public testing::Test {
 protected:
  void SetUp() override {
    image::MemfdInode board;
    board.set_name("board");
    board.set_inode_id(1);
    board.set_shared_id(4);
    image::MemfdInode nameless;
    nameless.set_name("/dev/zero");
    nameless.set_inode_id(2);
    nameless.set_shared_id(3);
    put("memfd.img", test_image(kMemfdMagic, {board.SerializeAsString(), nameless.SerializeAsString()}));
    put("pagemap-5.img", map_of({pages(0x400000, 2)}, 3));
    put("pages-3.img", std::string(2 * kPageBytes, 'a'));
    put("pagemap-shmem-0.img", map_of({pages(0, 1)}, 12));
    put("pages-12.img", std::string(kPageBytes, 'b'));
    put("pagemap-shmem-3.img", map_of({}, 2));
    put("pages-2.img", "");
    put("pagemap-shmem-4.img", map_of({pages(0x3000, 1)}, 1));
    put("pages-1.img", std::string(kPageBytes, 'c'));
    put("core-5.img", "not looked at");
  }

  void put(const std::string& name, std::string_view bytes) const { ASSERT_TRUE(images_.write(name, bytes)); }
  void drop(const std::string& name) const { ASSERT_TRUE(std::filesystem::remove(images_.path() / name)); }

  /// Refused, and the message has this in it.
  void expect_problem(std::string_view text) const {
    const auto maps = list_page_maps(images_.path());
    ASSERT_FALSE(maps.ok());
    EXPECT_EQ(maps.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(maps.error().message.find(text), std::string::npos) << maps.error().message;
  }

  TestImages images_;
};

TEST_F(CriuPageMaps, EveryPagesFileHasItsOwner) {
  const auto maps = list_page_maps(images_.path());
  ASSERT_TRUE(maps.ok()) << maps.error().to_string();
  const std::map<std::string, PageMapOf> expected = {
      {"pages-1.img", {PagesOf::kMemfd, 4, "board", {1, {{0x3000, 1}}, 0}}},
      {"pages-12.img", {PagesOf::kSharedMemory, 0, "", {12, {{0, 1}}, 0}}},
      {"pages-2.img", {PagesOf::kSharedMemory, 3, "", {2, {}, 0}}},
      {"pages-3.img", {PagesOf::kTask, 5, "", {3, {{0x400000, 2}}, 0}}}};
  EXPECT_EQ(*maps, expected);
}

TEST_F(CriuPageMaps, ADirectoryWithoutAny) {
  const TestImages empty;
  const auto maps = list_page_maps(empty.path());
  ASSERT_TRUE(maps.ok()) << maps.error().to_string();
  EXPECT_TRUE(maps->empty());
  EXPECT_EQ(list_page_maps(empty.path() / "none").error().code, ErrorCode::kNotFound);
}

TEST_F(CriuPageMaps, APagesFileOfAnotherLength) {
  put("pages-3.img", std::string(3 * kPageBytes, 'a'));
  expect_problem("fewer pages than the pages file");
  expect_problem("pagemap-5.img, of pages-3.img");
  put("pages-3.img", std::string(kPageBytes, 'a'));
  expect_problem("more pages than the pages file");
  put("pages-3.img", std::string(2 * kPageBytes - 1, 'a'));
  expect_problem("does not end with a page");
}

TEST_F(CriuPageMaps, APagesFileThatIsNotThere) {
  drop("pages-2.img");
  expect_problem("is about pages-2.img, which is not there");
}

TEST_F(CriuPageMaps, APagesFileWithoutAMap) {
  drop("pagemap-shmem-3.img");
  expect_problem("pages-2.img has no page map");
}

TEST_F(CriuPageMaps, APagesFileWithTwoMaps) {
  put("pagemap-6.img", map_of({pages(0x400000, 2)}, 3));
  expect_problem("pages-3.img is claimed by two page maps");
}

TEST_F(CriuPageMaps, NamesThatAreNotCrius) {
  for (const std::string name : {"pagemap-.img", "pagemap-05.img", "pagemap-+5.img", "pagemap-5", "pagemap-5.img.tmp",
                                 "pagemap-4194305.img", "pagemap-shmem-18446744073709551616.img", "pagemap-shmem-.img",
                                 "pages-4294967296.img", "pages-x.img", "pages-01.img"}) {
    put(name, map_of({}, 99));
    expect_problem(name);
    drop(name);
  }
  std::filesystem::create_symlink("pages-3.img", images_.path() / "pages-99.img");
  expect_problem("pages-99.img is not a pages file");
}

TEST_F(CriuPageMaps, TwoMemoriesOfOneNumber) {
  image::MemfdInode board;
  board.set_inode_id(1);
  board.set_shared_id(4);
  image::MemfdInode other = board;
  other.set_inode_id(2);
  put("memfd.img", test_image(kMemfdMagic, {board.SerializeAsString(), other.SerializeAsString()}));
  expect_problem("memfd.img has two memories of the number 4");
}

}  // namespace
}  // namespace cacs::engine
