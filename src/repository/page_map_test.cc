// Page maps against a model: memories that change, grow, move and part, deleted and collected in any order.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "repository/test_support.h"

namespace cacs::repository {
namespace {

/// A page that does not compress, of its own for each seed; zeros for 0.
std::string page_of(std::uint64_t seed) {
  std::string page(kPageBytes, '\0');
  if (seed == 0) return page;
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ULL;
  for (std::size_t at = 0; at < kPageBytes; at += 8) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    std::memcpy(page.data() + at, &state, 8);
  }
  return page;
}

/// A memory: its regions in the order of the stream, and a seed for each page that there is.
struct Memory {
  PageLayout regions;
  std::map<std::uint64_t, std::uint64_t> pages;

  [[nodiscard]] std::string bytes() const {
    std::string all;
    for (const auto& region : regions) {
      for (std::uint64_t i = 0; i < region.count; ++i) all += page_of(pages.at(region.page + i));
    }
    return all;
  }
  [[nodiscard]] bool is_free(const PageExtent& extent) const {
    const auto next = pages.lower_bound(extent.page);
    return extent.page + extent.count <= kMaxPageNumber &&
           (next == pages.end() || next->first >= extent.page + extent.count);
  }
  static constexpr std::uint64_t kMaxPageNumber = std::uint64_t{1} << 50U;
};

class Changes {
 public:
  explicit Changes(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  Memory fresh() {
    Memory memory;
    for (std::uint64_t i = 0, count = 1 + below(4); i < count; ++i) map(memory);
    return memory;
  }

  /// A few changes of any kind.
  void change(Memory& memory) {
    for (std::uint64_t i = 0, count = 1 + below(4); i < count; ++i) {
      if (memory.regions.empty()) map(memory);
      const std::size_t which = below(memory.regions.size());
      switch (below(7)) {
        case 0:
          map(memory);
          break;
        case 1:
          unmap(memory, which);
          break;
        case 2:
          grow(memory, which);
          break;
        case 3:
          move(memory, which);
          break;
        case 4:
          std::swap(memory.regions[which], memory.regions[below(memory.regions.size())]);
          break;
        default:
          for (std::uint64_t k = 0; k < 5; ++k) {
            const auto& region = memory.regions[which];
            memory.pages[region.page + below(region.count)] = content();
          }
      }
    }
  }

 private:
  /// Zeros now and then, and pages that are elsewhere too.
  std::uint64_t content() { return below(5) == 0 ? 0 : (below(4) == 0 ? 1 + below(20) : random_()); }

  void map(Memory& memory) {
    for (;;) {
      // Low, where programs are, as high as addresses go, and the highest page that there is.
      constexpr std::array<std::uint64_t, 4> kBases{0, 0x400, 0x7ffff0000, Memory::kMaxPageNumber - 300};
      const PageExtent extent{.page = kBases.at(below(4)) + below(200), .count = 1 + below(100)};
      if (!memory.is_free(extent)) {
        if (below(8) == 0) return;
        continue;
      }
      memory.regions.insert(memory.regions.begin() + static_cast<std::ptrdiff_t>(below(memory.regions.size() + 1)),
                            extent);
      for (std::uint64_t i = 0; i < extent.count; ++i) memory.pages[extent.page + i] = content();
      return;
    }
  }
  void unmap(Memory& memory, std::size_t which) {
    const PageExtent region = memory.regions[which];
    for (std::uint64_t i = 0; i < region.count; ++i) memory.pages.erase(region.page + i);
    memory.regions.erase(memory.regions.begin() + static_cast<std::ptrdiff_t>(which));
  }
  void grow(Memory& memory, std::size_t which) {
    auto& region = memory.regions[which];
    const PageExtent more{.page = region.page + region.count, .count = 1 + below(70)};
    if (!memory.is_free(more)) return;
    for (std::uint64_t i = 0; i < more.count; ++i) memory.pages[more.page + i] = content();
    region.count += more.count;
  }
  void move(Memory& memory, std::size_t which) {
    auto& region = memory.regions[which];
    const PageExtent to{.page = 0x10000 + below(5000), .count = region.count};
    if (!memory.is_free(to)) return;
    for (std::uint64_t i = 0; i < to.count; ++i) {
      auto page = memory.pages.extract(region.page + i);
      page.key() = to.page + i;
      memory.pages.insert(std::move(page));
    }
    region = to;
  }

  std::mt19937_64 random_;
};

struct Version {
  Memory memory;
  BlobRef blob;
};

class PageMapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = Repository::create(store_.place());
    ASSERT_OK(made);
    repository_ = *std::move(made);
  }
  void reopen() {
    auto opened = Repository::open(store_.place());
    ASSERT_OK(opened);
    repository_ = *std::move(opened);
  }

  Result<std::string> store(const Memory& memory, const BlobRef* parent) {
    const std::string bytes = memory.bytes();
    CACS_ASSIGN(auto writer, repository_->begin("test"));
    CACS_ASSIGN(const BlobRef blob, writer->put_pages(MemoryPageSource(as_bytes(bytes)), memory.regions, parent));
    const std::string id = new_uuid();
    CACS_TRY(writer->commit({.checkpoint = id, .application = "app", .entries = {{"memory", blob}}}));
    versions_[id] = {.memory = memory, .blob = blob};
    return id;
  }

  void expect_version(const Version& version, Changes& random) {
    const std::string expected = version.memory.bytes();
    const auto bytes = read_text(*repository_, version.blob);
    ASSERT_OK(bytes);
    ASSERT_TRUE(*bytes == expected);
    const auto layout = repository_->page_layout(version.blob);
    ASSERT_OK(layout);
    ASSERT_EQ(*layout, version.memory.regions);
    if (expected.empty()) return;
    const auto reader = repository_->open_reader(version.blob);
    ASSERT_OK(reader);
    ASSERT_EQ((*reader)->size(), expected.size());
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t offset = random.below(expected.size());
      std::string out(random.below(20000), 'x');
      const auto count = (*reader)->read_at(offset, std::as_writable_bytes(std::span(out)));
      ASSERT_OK(count);
      ASSERT_EQ(*count, std::min<std::uint64_t>(out.size(), expected.size() - offset));
      out.resize(*count);
      ASSERT_TRUE(out == expected.substr(offset, *count)) << offset;
    }
    if (random.below(4) != 0) return;
    const auto path = directory_.path() / "restored";
    auto fd = open_file(path, O_RDWR | O_CREAT | O_TRUNC);
    ASSERT_OK(fd);
    ASSERT_OK(repository_->restore_blob(version.blob, fd->get()));
    std::string restored(expected.size(), 'x');
    ASSERT_EQ(std::filesystem::file_size(path), expected.size());
    ASSERT_EQ(::pread(fd->get(), restored.data(), restored.size(), 0), static_cast<ssize_t>(restored.size()));
    ASSERT_TRUE(restored == expected);
  }

  std::string pick(Changes& random) {
    return std::next(versions_.begin(), static_cast<std::ptrdiff_t>(random.below(versions_.size())))->first;
  }

  /// Versions, clones, deletions and collections; every version is read after each step that could have harmed it.
  void live(std::uint64_t seed) {
    Changes random(seed);
    for (int step = 0; step < 30 && !HasFailure(); ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
      const std::uint64_t what = versions_.empty() ? 0 : random.below(10);
      if (what == 0) {
        ASSERT_OK(store(random.fresh(), nullptr));
      } else if (what < 6) {
        // Of any version, so that they branch; now and then of a parent that it has nothing to do with.
        Memory memory = versions_.at(pick(random)).memory;
        const BlobRef parent = versions_.at(pick(random)).blob;
        random.change(memory);
        ASSERT_OK(store(memory, random.below(5) == 0 ? nullptr : &parent));
      } else if (what < 8) {
        const std::string id = pick(random);
        ASSERT_OK(repository_->remove(id));
        versions_.erase(id);
      } else {
        const auto collected = repository_->collect({.max_garbage = random.below(2) == 0 ? 0 : 0.5});
        ASSERT_OK(collected);
        if (random.below(2) == 0) reopen();
        for (const auto& [id, version] : versions_) expect_version(version, random);
      }
    }
    reopen();
    for (const auto& [id, version] : versions_) expect_version(version, random);
    const auto checked = repository_->check(true);
    ASSERT_OK(checked);
    for (const auto& problem : checked->problems) ADD_FAILURE() << problem.to_string();
    for (const auto& [id, version] : versions_) ASSERT_OK(repository_->remove(id));
    versions_.clear();
    ASSERT_OK(repository_->collect());
    EXPECT_EQ(repository_->stats()->packs, 0U);
  }

  TestStore store_;
  TemporaryDirectory directory_;
  std::unique_ptr<Repository> repository_;
  std::map<std::string, Version> versions_;
};

TEST_F(PageMapTest, EveryVersionReadsBackWhateverBecomesOfTheOthers) {
  for (std::uint64_t seed = 1; seed <= 12 && !HasFailure(); ++seed) live(seed);
}

TEST_F(PageMapTest, AVersionCostsWhatChanged) {
  constexpr std::size_t kPages = 16384;  // 64 MiB
  constexpr std::size_t kChanged = 16;   // 0.1 %
  std::string bytes;
  bytes.reserve(kPages * kPageBytes);
  for (std::size_t i = 0; i < kPages; ++i) bytes += page_of(i + 1);
  const PageLayout layout{{.page = 0x400, .count = 1000}, {.page = 0x7f0000000, .count = kPages - 1000}};
  const auto store_bytes = [&](const BlobRef* parent) -> Result<std::pair<BlobRef, std::uint64_t>> {
    CACS_ASSIGN(auto writer, repository_->begin("test"));
    CACS_ASSIGN(const BlobRef blob, writer->put_pages(MemoryPageSource(as_bytes(bytes)), layout, parent));
    CACS_TRY(writer->commit({.checkpoint = new_uuid(), .application = "app", .entries = {{"memory", blob}}}));
    return std::pair(blob, writer->stored_bytes());
  };
  const auto first = store_bytes(nullptr);
  ASSERT_OK(first);
  // Ids, nodes and frames.
  EXPECT_LT(first->second - bytes.size(), bytes.size() / 200);
  for (const bool with_parent : {true, false}) {
    for (std::size_t i = 0; i < kChanged; ++i) {
      bytes.replace(i * (kPages / kChanged) * kPageBytes, kPageBytes, page_of(100000 + 2 * i + (with_parent ? 1 : 0)));
    }
    reopen();
    const auto next = store_bytes(with_parent ? &first->first : nullptr);
    ASSERT_OK(next);
    EXPECT_GE(next->second, kChanged * kPageBytes);
    EXPECT_LE(next->second, kChanged * kPageBytes + (256U << 10U)) << (with_parent ? "with" : "without") << " parent";
    const auto read = read_text(*repository_, next->first);
    ASSERT_OK(read);
    ASSERT_TRUE(*read == bytes);
  }
}

TEST_F(PageMapTest, FourRanksThatAreAlikeCostOne) {
  constexpr std::size_t kPages = 2048;
  std::string bytes;
  for (std::size_t i = 0; i < kPages; ++i) bytes += page_of(i + 1);
  std::vector<std::string> pieces;
  std::uint64_t stored = 0;
  for (std::uint64_t rank = 0; rank < 4; ++rank) {
    reopen();  // each on a node of its own
    auto writer = repository_->begin("rank");
    ASSERT_OK(writer);
    const PageLayout layout{{.page = 0x400 + 77 * rank, .count = kPages}};
    const auto blob = (*writer)->put_pages(MemoryPageSource(as_bytes(bytes)), layout, nullptr);
    ASSERT_OK(blob);
    const auto piece = (*writer)->finish_piece({{"memory " + std::to_string(rank), *blob}}, {});
    ASSERT_OK(piece);
    pieces.push_back(*piece);
    if (rank == 0) stored = (*writer)->stored_bytes();
  }
  const std::string id = new_uuid();
  ASSERT_OK(repository_->commit_checkpoint({.checkpoint = id, .application = "app"}, pieces));
  EXPECT_LT(repository_->stats()->stored_bytes, stored + stored / 50);
  const auto manifest = repository_->load(id);
  ASSERT_OK(manifest);
  for (const auto& entry : manifest->entries) {
    const auto read = read_text(*repository_, entry.blob);
    ASSERT_OK(read);
    ASSERT_TRUE(*read == bytes);
  }
}

TEST_F(PageMapTest, RefusesLayoutsThatCannotBe) {
  const std::string bytes(2 * kPageBytes, 'x');
  auto writer = repository_->begin("test");
  ASSERT_OK(writer);
  constexpr std::uint64_t kTop = Memory::kMaxPageNumber;
  for (const PageLayout& layout :
       std::vector<PageLayout>{{{.page = 1, .count = 1}},                           // fewer pages than the source has
                               {{.page = 1, .count = 3}},                           // more
                               {{.page = 1, .count = 0}, {.page = 1, .count = 2}},  // none
                               {{.page = 1, .count = 1}, {.page = 1, .count = 1}},  // one twice
                               {{.page = kTop - 1, .count = 2}},                    // too far up
                               {{.page = ~std::uint64_t{0}, .count = 2}}}) {
    const auto blob = (*writer)->put_pages(MemoryPageSource(as_bytes(bytes)), layout, nullptr);
    ASSERT_FALSE(blob.ok());
    EXPECT_EQ(blob.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace cacs::repository
