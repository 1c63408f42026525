// Writers, readers, removals and collections at once, on one handle and on two.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "repository/test_support.h"

namespace cacs::repository {
namespace {

/// The bytes of one checkpoint: a half that all share, a half of its own.
std::string contents_of(std::uint64_t number) { return random_bytes(150000, 1) + random_bytes(50000, number + 100); }

void write_checkpoints(Repository& repository, std::uint64_t first, std::uint64_t count, std::atomic<int>& failures) {
  for (std::uint64_t number = first; number < first + count; ++number) {
    const auto commit = [&]() -> Status {
      const std::string id = new_uuid();
      {
        CACS_ASSIGN(auto writer, repository.begin("thread"));
        CACS_ASSIGN(const BlobRef blob, put_text(*writer, contents_of(number), StreamKind::kMemory));
        Manifest manifest{.checkpoint = id, .application = "app", .incarnation = static_cast<int>(number)};
        manifest.entries = {{"data", blob}};
        CACS_TRY(writer->commit(std::move(manifest)));
      }
      CACS_ASSIGN(const Manifest loaded, repository.load(id));
      CACS_ASSIGN(const std::string bytes, read_text(repository, loaded.entries.at(0).blob));
      if (bytes != contents_of(number)) return make_error(ErrorCode::kInternal, "wrong bytes");
      if (number % 2 == 0) return repository.remove(id);
      return {};
    };
    if (const auto status = commit(); !status) {
      ADD_FAILURE() << status.error().to_string();
      ++failures;
    }
  }
}

TEST(RepositoryThreadedTest, WritersReadersAndCollectorsAtOnce) {
  const TemporaryDirectory directory;
  auto one = Repository::create(directory.path() / "repo");
  ASSERT_OK(one);
  auto two = Repository::open(directory.path() / "repo");
  ASSERT_OK(two);
  constexpr std::uint64_t kEach = 8;
  std::atomic<int> failures{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> writers;
  for (std::uint64_t i = 0; i < 4; ++i) {
    Repository& repository = i % 2 == 0 ? **one : **two;
    writers.emplace_back([&, i] { write_checkpoints(repository, i * kEach, kEach, failures); });
  }
  int collections = 0;
  std::thread collector([&] {
    while (!done) {
      const auto collected = (*one)->collect({.max_garbage = 0, .max_small_packs = 2});
      if (!collected) {
        ADD_FAILURE() << collected.error().to_string();
        return;
      }
      ++collections;
      const auto checked = (*two)->check(false);
      if (!checked || !checked->problems.empty()) {
        ADD_FAILURE() << (checked ? checked->problems[0].to_string() : checked.error().to_string());
        return;
      }
    }
  });
  for (auto& writer : writers) writer.join();
  done = true;
  collector.join();
  EXPECT_EQ(failures, 0);
  EXPECT_GT(collections, 0);
  const auto list = (*two)->list();
  ASSERT_OK(list);
  EXPECT_EQ(list->size(), 4 * kEach / 2);
  for (const auto& summary : *list) ASSERT_OK((*two)->verify(summary.head.checkpoint));
  ASSERT_OK((*two)->collect({.max_garbage = 0}));
  EXPECT_TRUE((*one)->check(true)->problems.empty());
}

}  // namespace
}  // namespace cacs::repository
