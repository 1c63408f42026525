#include "inspect/diff.h"

#include <fcntl.h>

#include "inspect/test_support.h"

namespace cacs::inspect {
namespace {

using Changes = std::map<std::string, Change>;

Changes diff(TestCheckpoints& checkpoints, const std::string& before, const std::string& after,
             const std::string& path = "") {
  Changes changes;
  const Status status = diff_trees(checkpoints.repository(), *checkpoints.tree(before), *checkpoints.tree(after), path,
                                   [&changes](const Change& change) -> Status {
                                     EXPECT_TRUE(changes.emplace(change.path, change).second) << change.path;
                                     return {};
                                   });
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  return changes;
}

std::vector<std::string> names(const Changes& changes) {
  std::vector<std::string> names;
  for (const auto& [name, change] : changes) names.push_back(name);
  return names;
}

constexpr char kHeap[] = "pod-0/memory/1/005000000000-005000008000.heap";

TEST(DiffTrees, OfTheSameIsNothing) {
  TestCheckpoints checkpoints;
  checkpoints.write("file", "text");
  const std::string one = checkpoints.take({{0, 'a'}});
  const std::string other = checkpoints.take({{0, 'a'}});
  EXPECT_EQ(names(diff(checkpoints, one, one)), std::vector<std::string>{});
  EXPECT_EQ(names(diff(checkpoints, one, other)), std::vector<std::string>{});
}

TEST(DiffTrees, MemoryByRegionAndPage) {
  TestCheckpoints checkpoints;
  const std::string one = checkpoints.take({{0, 'a'}, {1, 'b'}, {2, 'c'}});
  // Page 0 has changed, 1 has not, 2 is saved no more, 7 is new; and shared memory has changed.
  const std::string other = checkpoints.take({{0, 'A'}, {1, 'b'}, {7, 'd'}}, 'S');
  const Changes changes = diff(checkpoints, one, other, "pod-0/memory");
  EXPECT_EQ(names(changes),
            (std::vector<std::string>{kHeap, "pod-0/memory/1/7f0000100000-7f0000102000.shared-memory"}));
  const Change& heap = changes.at(kHeap);
  EXPECT_EQ(heap.kind, ChangeKind::kChanged);
  EXPECT_TRUE(heap.memory);
  EXPECT_FALSE(heap.attributes);
  EXPECT_EQ(heap.pages, 3U);
  EXPECT_EQ(heap.pages_total, 8U);
  EXPECT_EQ(heap.bytes_added, 3 * kPage);
  EXPECT_EQ(changes.rbegin()->second.pages, 1U);
  // A path narrows it; the same seen from the other side.
  EXPECT_EQ(names(diff(checkpoints, one, other, kHeap)), std::vector<std::string>{kHeap});
  EXPECT_EQ(diff(checkpoints, other, one, kHeap).at(kHeap).pages, 3U);
  // Of the engine's files, the one that says which pages there are; those with the pages are told by region.
  EXPECT_EQ(names(diff(checkpoints, one, other, "pod-0/images")),
            std::vector<std::string>{"pod-0/images/pagemap-1.img"});
}

TEST(DiffTrees, FilesAddedRemovedAndChanged) {
  TestCheckpoints checkpoints;
  const std::string large = repository::random_bytes(4 << 20U, 1);
  checkpoints.write("stays", "the same");
  checkpoints.write("grows", large);
  checkpoints.write("goes/away", "12345");
  checkpoints.write("mode", "text");
  const std::string one = checkpoints.take({});
  const auto root = checkpoints.files();
  {
    const auto fd = open_file(root / "grows", O_WRONLY | O_APPEND);
    ASSERT_OK(fd);
    ASSERT_OK(write_full(fd->get(), std::string_view("more")));
  }
  std::filesystem::remove_all(root / "goes");
  std::filesystem::permissions(root / "mode", std::filesystem::perms::owner_all);
  checkpoints.write("new", "1234567");
  const std::string other = checkpoints.take({});
  Changes changes = diff(checkpoints, one, other);
  EXPECT_EQ(names(changes), (std::vector<std::string>{"pod-0/files", "pod-0/files/goes", "pod-0/files/goes/away",
                                                      "pod-0/files/grows", "pod-0/files/mode", "pod-0/files/new"}));
  EXPECT_TRUE(changes.at("pod-0/files").attributes);  // its time
  EXPECT_EQ(changes.at("pod-0/files/goes").kind, ChangeKind::kRemoved);
  EXPECT_EQ(changes.at("pod-0/files/goes/away").bytes_removed, 5U);
  EXPECT_EQ(changes.at("pod-0/files/new").kind, ChangeKind::kAdded);
  EXPECT_EQ(changes.at("pod-0/files/new").bytes_added, 7U);
  const Change& grows = changes.at("pod-0/files/grows");
  EXPECT_EQ(grows.bytes_added - grows.bytes_removed, 4U);
  EXPECT_LE(grows.bytes_added, 300U << 10U);
  EXPECT_TRUE(changes.at("pod-0/files/mode").attributes);
  EXPECT_EQ(changes.at("pod-0/files/mode").bytes_added, 0U);
  EXPECT_EQ(names(diff(checkpoints, one, other, "/pod-0/files/goes/")),
            (std::vector<std::string>{"pod-0/files/goes", "pod-0/files/goes/away"}));
  const Status none = diff_trees(checkpoints.repository(), *checkpoints.tree(one), *checkpoints.tree(other), "pod-9",
                                 [](const Change&) { return Status(); });
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace cacs::inspect
