#include "inspect/tree.h"

#include "inspect/test_support.h"

namespace cacs::inspect {
namespace {

using Names = std::vector<std::string>;
using delta::EntryType;

Names names_in(CheckpointTree& tree, const std::string& path) {
  Names names;
  const Status status = tree.list(path, [&names](std::string_view name, const Node& /*node*/) -> Status {
    names.emplace_back(name);
    return {};
  });
  EXPECT_TRUE(status.ok()) << path << ": " << status.error().to_string();
  return names;
}

TEST(PathBefore, WhatIsInADirectoryFollowsIt) {
  const Names sorted = {"", "a", "a/b", "a/b/c", "a/c", std::string("a\0", 2), "a b", "a!", "a-b/x", "b"};
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    for (std::size_t j = 0; j < sorted.size(); ++j)
      EXPECT_EQ(path_before(sorted[i], sorted[j]), i < j) << i << ' ' << j;
  }
}

TEST(CheckpointTree, ShowsThePartsOfACheckpoint) {
  TestCheckpoints checkpoints;
  checkpoints.write("dir/file", "text");
  const auto tree = checkpoints.tree(checkpoints.take({{0, 'a'}}));
  EXPECT_EQ(names_in(*tree, ""), (Names{"manifest.json", "pod-0"}));
  EXPECT_EQ(names_in(*tree, "/pod-0/"), (Names{"files", "images", "memory", "shm"}));
  EXPECT_EQ(names_in(*tree, "pod-0/images"),
            (Names{"core-1.img", "files.img", "mm-1.img", "pagemap-1.img", "pagemap-shmem-5.img", "pages-1.img",
                   "pages-2.img", "pstree.img"}));
  const std::string manifest = checkpoints.bytes(*tree, "manifest.json");
  const auto json = parse_json_object(manifest, "manifest");
  ASSERT_OK(json);
  EXPECT_EQ(json_string_or(*json, "application", ""), "app");
  EXPECT_EQ(json->at("meta").as_object().at("name").as_string(), "lj-melt");
  EXPECT_FALSE(json->contains("entries"));
  EXPECT_EQ(manifest.back(), '\n');
  EXPECT_EQ(tree->find("manifest.json")->size, manifest.size());
  EXPECT_EQ(tree->find("")->mtime.seconds, 1795256430);
  EXPECT_EQ(tree->find("pod-0/images/pages-2.img")->size, 2 * kPage);
  EXPECT_EQ(checkpoints.bytes(*tree, "pod-0/images/pages-2.img").substr(kPage - 1, 2), "0s");
  for (const char* wrong : {"pod-1", "pod-0/file", "pod-0/files/dir/none", "manifest.json/x", "pod-0/images/a/b",
                            "pod-0/files/dir/file/x", "pod-0/files//dir", "pod-0/files/.."}) {
    const auto found = tree->find(wrong);
    ASSERT_FALSE(found.ok()) << wrong;
    EXPECT_EQ(found.error().code, ErrorCode::kNotFound) << wrong;
  }
  EXPECT_EQ(tree->list("manifest.json", {}).error().code, ErrorCode::kInvalidArgument);
}

TEST(CheckpointTree, FilesAreAsTheyWereCaptured) {
  TestCheckpoints checkpoints;
  const std::string large = repository::random_bytes(3 << 20U, 7);
  checkpoints.write("dir/large", large);
  checkpoints.write("dir/sub/deep", "deep");
  checkpoints.write("dir!", "beside it");
  checkpoints.write("empty", "");
  const auto root = checkpoints.files();
  std::filesystem::create_symlink("../large", root / "dir/sub/link");
  std::filesystem::create_hard_link(root / "dir/large", root / "dir/twin");
  const bool is_root = ::geteuid() == 0;
  if (is_root) {
    ASSERT_EQ(::mknod((root / "gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  }
  const auto tree = checkpoints.tree(checkpoints.take({}));

  Names expected = {"dir", "dir!", "empty"};
  if (is_root) expected.emplace_back("gone");
  EXPECT_EQ(names_in(*tree, "pod-0/files"), expected);
  EXPECT_EQ(names_in(*tree, "pod-0/files/dir"), (Names{"large", "sub", "twin"}));
  EXPECT_EQ(names_in(*tree, "pod-0/files/dir/sub"), (Names{"deep", "link"}));
  EXPECT_EQ(names_in(*tree, "pod-0/shm"), Names{});

  const auto node = tree->find("pod-0/files/dir/large");
  ASSERT_OK(node);
  struct stat status {};
  ASSERT_EQ(::stat((root / "dir/large").c_str(), &status), 0);
  EXPECT_EQ(node->mode, 0640U);
  EXPECT_EQ(node->uid, status.st_uid);
  EXPECT_EQ(node->mtime.seconds, status.st_mtim.tv_sec);
  EXPECT_EQ(node->mtime.nanoseconds, status.st_mtim.tv_nsec);
  EXPECT_EQ(node->size, large.size());
  EXPECT_NE(node->link_group, 0U);
  EXPECT_EQ(tree->find("pod-0/files/dir/twin")->link_group, node->link_group);
  EXPECT_TRUE(checkpoints.bytes(*tree, "pod-0/files/dir/large") == large);
  EXPECT_TRUE(checkpoints.bytes(*tree, "pod-0/files/dir/twin") == large);
  EXPECT_TRUE(checkpoints.bytes(*tree, "pod-0/files/dir/large", 1000, 70000) == large.substr(1000, 70000));
  EXPECT_EQ(checkpoints.bytes(*tree, "pod-0/files/dir/large", large.size() - 1, 10), large.substr(large.size() - 1));
  EXPECT_EQ(checkpoints.bytes(*tree, "pod-0/files/dir/large", large.size(), 10), "");
  EXPECT_EQ(checkpoints.bytes(*tree, "pod-0/files/empty"), "");
  EXPECT_EQ(tree->find("pod-0/files/dir/sub/link")->type, EntryType::kSymlink);
  EXPECT_EQ(tree->find("pod-0/files/dir/sub/link")->target, "../large");
  if (is_root) {
    EXPECT_TRUE(tree->find("pod-0/files/gone")->whiteout);
  }
  const auto folder = tree->find("pod-0/files/dir");
  ASSERT_OK(folder);
  EXPECT_EQ(open_file_reader(checkpoints.repository(), *folder).error().code, ErrorCode::kInvalidArgument);
}

TEST(CheckpointTree, MemoryIsReadByAddress) {
  TestCheckpoints checkpoints;
  const auto tree = checkpoints.tree(checkpoints.take({{1, 'b'}, {2, 'c'}, {5, 'e'}}));
  const std::string heap = "pod-0/memory/1/005000000000-005000008000.heap";
  const std::string program = "pod-0/memory/1/7f0000000000-7f0000004000.program";
  const std::string shared = "pod-0/memory/1/7f0000100000-7f0000102000.shared-memory";
  EXPECT_EQ(names_in(*tree, "pod-0/memory"), Names{"1"});
  EXPECT_EQ(names_in(*tree, "pod-0/memory/1"),
            (Names{"005000000000-005000008000.heap", "7f0000000000-7f0000004000.program",
                   "7f0000100000-7f0000102000.shared-memory", "comm", "maps"}));
  const auto page = [](char byte) { return std::string(kPage, byte); };
  const std::string zeros = page('\0');
  EXPECT_TRUE(checkpoints.bytes(*tree, heap) ==
              zeros + page('b') + page('c') + zeros + zeros + page('e') + zeros + zeros);
  EXPECT_EQ(checkpoints.bytes(*tree, heap, 2 * kPage - 1, 3), "bcc");
  EXPECT_EQ(checkpoints.bytes(*tree, heap, 6 * kPage - 1, 3), std::string("e\0\0", 3));
  EXPECT_EQ(checkpoints.bytes(*tree, heap, 8 * kPage - 1, 3), std::string(1, '\0'));
  EXPECT_EQ(checkpoints.bytes(*tree, heap, 8 * kPage, 3), "");
  EXPECT_TRUE(checkpoints.bytes(*tree, program) == zeros + page('f') + zeros + zeros);
  EXPECT_TRUE(checkpoints.bytes(*tree, shared) == page('s') + zeros);
  const auto heap_facts = tree->find(heap)->region;
  ASSERT_TRUE(heap_facts.has_value());
  EXPECT_EQ(heap_facts->pages, 8U);
  EXPECT_EQ(heap_facts->saved, 3U);
  EXPECT_EQ(heap_facts->elsewhere(), 0U);
  EXPECT_EQ(tree->find(program)->region->elsewhere(), 3U);
  EXPECT_EQ(tree->find(shared)->region->saved, 1U);
  EXPECT_EQ(checkpoints.bytes(*tree, "pod-0/memory/1/comm"), "worker\n");
  EXPECT_EQ(checkpoints.bytes(*tree, "pod-0/memory/1/maps"),
            "005000000000-005000008000 rw-p 00000000 heap 3/8\n"
            "7f0000000000-7f0000004000 rw-p 00000000 file 1/4 /bin/program\n"
            "7f0000100000-7f0000102000 rw-s 00001000 shared-memory 1/2\n");
  for (const char* wrong : {"pod-0/memory/2", "pod-0/memory/01", "pod-0/memory/1/005000000000-005000008000",
                            "pod-0/memory/1/5000000000-5000008000.heap", "pod-0/memory/1/x", "pod-0/memory/x/maps"}) {
    EXPECT_FALSE(tree->find(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace cacs::inspect
