// What the collector takes for needed.

#include "repository/reach.h"

#include <gtest/gtest.h>

#include "repository/core.h"
#include "repository/page_ingest.h"
#include "repository/repository.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

/// The root node of a page map, as it is stored.
Result<std::string> root_node_of(const TestStore& store, const BlobRef& blob) {
  Core core(store.place());
  CACS_TRY(core.store.refresh());
  ReadContext context(core.keys());
  CACS_ASSIGN(const OpenPageMap map, open_page_map(core.store, context, blob));
  CACS_ASSIGN(const Slice slice, core.store.read(map.root.ref, context));
  return std::string(reinterpret_cast<const char*>(slice.bytes.data()), slice.bytes.size());
}

/// The same bytes may be a node for one and content for another, as when a checkpointed process has read a repository:
/// they are stored once, and what they reach as a node has to stay.
TEST(ReachTest, ANodeThatIsSomeonesContentTooIsStillANode) {
  const TestStore store(Sealing::kNone);
  auto repository = Repository::create(store.place());
  ASSERT_OK(repository);
  const std::string memory = random_bytes(3 * kPageBytes, 1);
  auto writer = (*repository)->begin("test");
  ASSERT_OK(writer);
  const auto blob = put_text(**writer, memory, StreamKind::kMemory);
  ASSERT_OK(blob);
  const std::string first = new_uuid();
  ASSERT_OK((*writer)->commit({.checkpoint = first, .application = "app", .entries = {{"memory", *blob}}}));
  const auto node = root_node_of(store, *blob);
  ASSERT_OK(node);

  writer = (*repository)->begin("test");
  ASSERT_OK(writer);
  const auto content = put_text(**writer, *node, StreamKind::kFile);
  ASSERT_OK(content);
  ASSERT_EQ(content->pack, blob->pack) << "the case that is tested: one slot for both";
  ASSERT_OK((*writer)->reuse(*blob));
  const std::string id = new_uuid();
  // The content comes first, by its name.
  ASSERT_OK((*writer)->commit(
      {.checkpoint = id, .application = "app", .entries = {{"a file", *content}, {"memory", *blob}}}));
  ASSERT_OK((*repository)->remove(first));
  ASSERT_OK((*repository)->collect({.max_garbage = 0}));
  repository = Repository::open(store.place());
  ASSERT_OK(repository);
  ASSERT_OK((*repository)->verify(id));
  EXPECT_EQ(*read_text(**repository, *blob), memory);
}

}  // namespace
}  // namespace cacs::repository
