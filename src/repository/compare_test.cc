#include "repository/compare.h"

#include "repository/test_support.h"

namespace cacs::repository {
namespace {

class Compare : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Repository::create(store_.place());
    ASSERT_OK(made);
    repository_ = *std::move(made);
    auto writer = repository_->begin("test");
    ASSERT_OK(writer);
    writer_ = *std::move(writer);
  }

  BlobRef put(std::string_view text, StreamKind kind = StreamKind::kFile, const BlobRef* parent = nullptr) {
    auto blob = put_text(*writer_, text, kind, parent);
    EXPECT_TRUE(blob.ok()) << blob.error().to_string();
    return *blob;
  }
  BlobRef put_at(std::string_view text, const PageLayout& layout, const BlobRef* parent = nullptr) {
    auto blob = writer_->put_pages(MemoryPageSource(as_bytes(text)), layout, parent);
    EXPECT_TRUE(blob.ok()) << blob.error().to_string();
    return *blob;
  }
  /// Makes what was put readable.
  void commit(std::vector<BlobRef> blobs) {
    Manifest manifest;
    manifest.checkpoint = new_uuid();
    for (std::size_t i = 0; i < blobs.size(); ++i) manifest.entries.push_back({std::to_string(i), blobs[i]});
    ASSERT_OK(writer_->commit(manifest));
  }
  std::vector<std::uint64_t> differing(const BlobRef& one, const BlobRef& other, const PageRange& range = {}) {
    std::vector<std::uint64_t> pages;
    const Status status =
        repository_->compare_pages(one, other, range, [&](std::uint64_t page, std::uint64_t count) -> Status {
          for (std::uint64_t i = 0; i < count; ++i) pages.push_back(page + i);
          return {};
        });
    EXPECT_TRUE(status.ok()) << status.error().to_string();
    return pages;
  }
  FileDifference difference(const BlobRef& one, const BlobRef& other) {
    auto found = repository_->compare_files(one, other);
    EXPECT_TRUE(found.ok()) << found.error().to_string();
    return found.ok() ? *found : FileDifference{};
  }

  TestStore store_;
  std::unique_ptr<Repository> repository_;
  std::unique_ptr<Writer> writer_;
};

using Pages = std::vector<std::uint64_t>;

TEST_F(Compare, PagesByAddressWhateverTheTreesHeight) {
  const std::string text = random_bytes(300 * kPageBytes, 1);
  std::string changed = text;
  changed[7 * kPageBytes + 5] ^= 1;
  changed[200 * kPageBytes] ^= 1;
  const BlobRef before = put_at(text, {{.page = 1000, .count = 300}});
  const BlobRef after = put_at(changed, {{.page = 1000, .count = 300}}, &before);
  // The same pages, and one far above, which makes the tree higher.
  const BlobRef higher =
      put_at(text + std::string(kPageBytes, 'h'), {{.page = 1000, .count = 300}, {.page = 1U << 30U, .count = 1}});
  // Zeros where there was something.
  const BlobRef zeros = put_at(std::string(kPageBytes, '\0') + text.substr(kPageBytes), {{.page = 1000, .count = 300}});
  commit({before, after, higher, zeros});
  EXPECT_EQ(differing(before, after), (Pages{1007, 1200}));
  EXPECT_EQ(differing(after, before), (Pages{1007, 1200}));
  EXPECT_EQ(differing(before, after, {.first = 1008, .end = 1201}), (Pages{1200}));
  EXPECT_EQ(differing(before, after, {.first = 1008, .end = 1200}), Pages{});
  EXPECT_EQ(differing(before, higher), (Pages{1U << 30U}));
  EXPECT_EQ(differing(higher, after), (Pages{1007, 1200, 1U << 30U}));
  EXPECT_EQ(differing(zeros, before), (Pages{1000}));
  EXPECT_EQ(differing(before, before), Pages{});
  EXPECT_EQ(differing({}, zeros).size(), 299U);
}

TEST_F(Compare, EqualContentInDifferentPacksIsNoDifference) {
  const std::string text = random_bytes(100 * kPageBytes, 2);
  const BlobRef pages = put_at(text, {{.page = 0, .count = 100}});
  const BlobRef file = put(text);
  commit({pages, file});
  // A handle that knows nothing of the first session's packs stores the same again.
  TestStore other;
  auto second = Repository::create(other.place());
  ASSERT_OK(second);
  auto writer = (*second)->begin("again");
  ASSERT_OK(writer);
  auto again = (*writer)->put_pages(MemoryPageSource(as_bytes(text)), {{.page = 0, .count = 100}}, nullptr);
  auto file_again = put_text(**writer, text);
  ASSERT_OK(again);
  ASSERT_OK(file_again);
  Manifest manifest;
  manifest.checkpoint = new_uuid();
  manifest.entries = {{"file", *file_again}, {"pages", *again}};
  ASSERT_OK((*writer)->commit(manifest));
  for (const auto& pack : other.objects->list("packs/")) {
    ASSERT_TRUE(store_.objects->put(pack.name, other.objects->get(pack.name), Overwrite::kNo));
  }
  auto reopened = Repository::open(store_.place());
  ASSERT_OK(reopened);
  repository_ = *std::move(reopened);
  EXPECT_NE(*again, pages);
  EXPECT_EQ(differing(pages, *again), Pages{});
  const FileDifference same = difference(file, *file_again);
  EXPECT_EQ(same.added + same.removed, 0U);
}

TEST_F(Compare, FilesByTheirPartsWhereverTheyLie) {
  const std::string text = random_bytes(std::size_t{24} << 20U, 3);
  const BlobRef before = put(text);
  const BlobRef inserted = put("in front" + text);
  const BlobRef small = put("small");
  const BlobRef longer = put(text + random_bytes(1 << 20U, 4));
  const BlobRef holed = put(text.substr(0, 1 << 20U) + std::string(1 << 20U, '\0') + text.substr(2 << 20U));
  commit({before, inserted, small, longer, holed});
  const FileDifference front = difference(before, inserted);
  EXPECT_TRUE(front.exact);
  EXPECT_GE(front.added, 8U);
  EXPECT_LE(front.added, 512U << 10U);
  EXPECT_EQ(front.added - front.removed, 8U);
  EXPECT_EQ(difference(small, before).added, before.size);
  EXPECT_EQ(difference(before, small).removed, before.size);
  const FileDifference end = difference(before, longer);
  EXPECT_EQ(end.added - end.removed, 1U << 20U);
  EXPECT_LE(end.removed, 256U << 10U);
  const FileDifference hole = difference(before, holed);
  EXPECT_EQ(hole.removed - hole.added, 1U << 20U);
  EXPECT_LE(hole.added, 512U << 10U);
  EXPECT_EQ(difference({}, small).added, 5U);
  EXPECT_EQ(difference(before, before).added, 0U);
}

TEST_F(Compare, StoredPagesAreThoseThatAreNotZeros) {
  std::string text = random_bytes(200 * kPageBytes, 5);
  for (const std::size_t page : {0U, 1U, 70U, 199U}) text.replace(page * kPageBytes, kPageBytes, kPageBytes, '\0');
  const BlobRef placed = put_at(text, {{.page = 5, .count = 100}, {.page = 4096, .count = 100}});
  const BlobRef plain = put(text.substr(0, 10 * kPageBytes + 3), StreamKind::kMemory);
  const BlobRef file = put("a file");
  commit({placed, plain, file});
  auto stored = repository_->stored_pages(placed);
  ASSERT_OK(stored);
  EXPECT_EQ(*stored, (PageLayout{{.page = 2, .count = 68}, {.page = 71, .count = 128}}));
  stored = repository_->stored_pages(plain);
  ASSERT_OK(stored);
  EXPECT_EQ(*stored, (PageLayout{{.page = 2, .count = 9}}));
  EXPECT_EQ(repository_->stored_pages(file).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(repository_->compare_files(placed, file).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cacs::repository
