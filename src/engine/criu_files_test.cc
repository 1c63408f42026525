#include "engine/criu_files.h"

#include <gtest/gtest.h>

#include <climits>

#include "engine/criu_image.pb.h"
#include "engine/test_support.h"

namespace cacs::engine {
namespace {

std::string regular(std::uint32_t id, const std::string& name) {
  image::NamedFile made;
  made.set_id(id);
  made.mutable_regular()->set_name(name);
  return made.SerializeAsString();
}

std::string memfd(std::uint32_t id, std::uint32_t inode) {
  image::NamedFile made;
  made.set_id(id);
  made.mutable_memfd()->set_inode_id(inode);
  return made.SerializeAsString();
}

std::string inode(std::uint64_t id, std::uint32_t shared_id, const std::string& name, std::uint64_t bytes) {
  image::MemfdInode made;
  made.set_inode_id(id);
  made.set_shared_id(shared_id);
  made.set_name(name);
  made.set_size(bytes);
  return made.SerializeAsString();
}

std::string problem_of_files(const std::string& image) {
  const auto files = parse_open_files(image);
  if (files) return "";
  EXPECT_EQ(files.error().code, ErrorCode::kCorrupt);
  return files.error().message;
}

TEST(CriuFiles, NamesOfWhatCanBeMapped) {
  image::File timer;
  timer.mutable_timerfd()->set_clock_id(1);
  const auto files = parse_open_files(
      test_image(kFilesMagic, {regular(1, "/bin/a"), timer.SerializeAsString(), memfd(4, 2), regular(5, "/b\xff\n")}));
  ASSERT_TRUE(files.ok()) << files.error().to_string();
  EXPECT_EQ(files->paths, (std::map<std::uint32_t, std::string>{{1, "/bin/a"}, {5, "/b\xff\n"}}));
  EXPECT_EQ(files->memfds, (std::map<std::uint32_t, std::uint64_t>{{4, 2}}));
}

TEST(CriuFiles, WhatCannotBeIsRefused) {
  EXPECT_NE(problem_of_files(test_image(kFilesMagic, {regular(1, "/a"), regular(1, "/b")})).find("number 1"),
            std::string::npos);
  EXPECT_NE(problem_of_files(test_image(kFilesMagic, {regular(1, "/a"), memfd(1, 1)})).find("number 1"),
            std::string::npos);
  EXPECT_NE(problem_of_files(test_image(kFilesMagic, {regular(1, "")})).find("no sound name"), std::string::npos);
  EXPECT_NE(problem_of_files(test_image(kFilesMagic, {regular(1, std::string("/a\0b", 4))})).find("no sound name"),
            std::string::npos);
  EXPECT_NE(problem_of_files(test_image(kFilesMagic, {regular(1, std::string(PATH_MAX, 'a'))})).find("no sound name"),
            std::string::npos);
  EXPECT_EQ(problem_of_files(test_image(kFilesMagic, {regular(1, std::string(PATH_MAX - 1, 'a'))})), "");
  image::NamedFile unnumbered;
  unnumbered.mutable_regular()->set_name("/a");
  EXPECT_NE(problem_of_files(test_image(kFilesMagic, {unnumbered.SerializeAsString()})).find("without a number"),
            std::string::npos);
  EXPECT_NE(problem_of_files(test_image(kMemfdMagic, {})).find("does not begin"), std::string::npos);
}

TEST(CriuFiles, MemoryWithADescriptor) {
  const auto memory =
      parse_memfds(test_image(kMemfdMagic, {inode(1, 4, "board", 100), inode(2, 3, "/dev/zero", 8192)}));
  ASSERT_TRUE(memory.ok()) << memory.error().to_string();
  EXPECT_EQ(*memory, (std::map<std::uint64_t, Memfd>{{1, {"board", false, 4, 100}}, {2, {"", true, 3, 8192}}}));
  EXPECT_EQ(parse_memfds(test_image(kMemfdMagic, {inode(1, 4, "a", 1), inode(1, 5, "b", 1)})).error().code,
            ErrorCode::kCorrupt);
  EXPECT_EQ(parse_memfds(test_image(kMemfdMagic, {inode(1, 4, std::string(PATH_MAX, 'a'), 1)})).error().code,
            ErrorCode::kCorrupt);
  EXPECT_EQ(parse_memfds(test_image(kMemfdMagic, {""})).error().code, ErrorCode::kCorrupt);
}

TEST(CriuFiles, OfADirectory) {
  const TestImages images;
  EXPECT_EQ(read_mapped_files(images.path()).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(images.write("files.img", test_image(kFilesMagic, {regular(1, "/bin/a")})));
  auto files = read_mapped_files(images.path());
  ASSERT_TRUE(files.ok()) << files.error().to_string();
  EXPECT_TRUE(files->memory.empty());
  ASSERT_TRUE(images.write("memfd.img", test_image(kMemfdMagic, {inode(1, 4, "board", 100)})));
  files = read_mapped_files(images.path());
  ASSERT_TRUE(files.ok()) << files.error().to_string();
  EXPECT_EQ(files->memory.at(1).name, "board");
  ASSERT_TRUE(images.write("memfd.img", "x"));
  EXPECT_NE(read_mapped_files(images.path()).error().message.find("memfd.img"), std::string::npos);
}

TEST(CriuImages, NamesWithNumbers) {
  EXPECT_EQ(numbered_image("pages-1.img", "pages-", 9), 1U);
  EXPECT_EQ(numbered_image("pages-0.img", "pages-", 9), 0U);
  EXPECT_EQ(numbered_image("pages-18446744073709551615.img", "pages-", ~std::uint64_t{0}), ~std::uint64_t{0});
  for (const char* name : {"pages-10.img", "pages-.img", "pages-01.img", "pages--1.img", "pages- 1.img", "pages-1.im",
                           "pages-1.img.", "xpages-1.img", "pages-1x.img", "pages-", ""}) {
    EXPECT_FALSE(numbered_image(name, "pages-", 9)) << name;
  }
}

TEST(CriuImages, EntriesAreBounded) {
  const std::string image = test_image(kFilesMagic, {std::string(64, 'x')});
  auto reader = ImageReader::open(image, kFilesMagic, "it", 64);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(**reader->next(), std::string(64, 'x'));
  EXPECT_FALSE(reader->next()->has_value());
  auto narrow = ImageReader::open(image, kFilesMagic, "it", 63);
  ASSERT_TRUE(narrow.ok());
  EXPECT_EQ(narrow->next().error().message, "it has an entry that is longer than it");
}

}  // namespace
}  // namespace cacs::engine
