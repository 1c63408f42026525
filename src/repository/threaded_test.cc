// Writers, readers, removals and collections at once, on one handle and on two; and the pool that they work with.

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "repository/test_support.h"
#include "repository/work_pool.h"

namespace cacs::repository {
namespace {

/// The bytes of one checkpoint: a half that all share, a half of its own.
std::string contents_of(std::uint64_t number) {
  return random_bytes(20 * kPageBytes, 1) + random_bytes(15 * kPageBytes, number + 100);
}

Status write_one(Repository& repository, std::uint64_t number, const BlobRef& parent) {
  const std::string id = new_uuid();
  const std::string contents = contents_of(number);
  {
    CACS_ASSIGN(auto writer, repository.begin("thread"));
    CACS_ASSIGN(const BlobRef memory, put_text(*writer, contents, StreamKind::kMemory, &parent));
    CACS_ASSIGN(const BlobRef file, put_text(*writer, contents, StreamKind::kFile));
    CACS_TRY(writer->commit({.checkpoint = id, .application = "app", .entries = {{"memory", memory}, {"file", file}}}));
  }
  CACS_ASSIGN(const Manifest loaded, repository.load(id));
  for (const auto& entry : loaded.entries) {
    CACS_ASSIGN(const std::string bytes, read_text(repository, entry.blob));
    if (bytes != contents) return make_error(ErrorCode::kInternal, "wrong bytes");
  }
  if (number % 2 == 0) return repository.remove(id);
  return {};
}

/// Reads one checkpoint that stays, at random, until `done`.
Status read_on(Repository& repository, const BlobRef& blob, const std::string& expected, std::atomic<bool>& done) {
  std::mt19937_64 random(5);
  while (!done) {
    CACS_ASSIGN(const auto reader, repository.open_reader(blob));
    std::vector<std::byte> out(10000);
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t offset = random() % expected.size();
      CACS_ASSIGN(const std::size_t count, reader->read_at(offset, out));
      const auto want = as_bytes(expected).subspan(offset, std::min<std::size_t>(out.size(), expected.size() - offset));
      if (count != want.size() || !std::equal(want.begin(), want.end(), out.begin())) {
        return make_error(ErrorCode::kInternal, "wrong bytes");
      }
    }
  }
  return {};
}

TEST(RepositoryThreadedTest, WritersReadersAndACollectorAtOnce) {
  const TestStore store;
  auto one = Repository::create(store.place());
  ASSERT_OK(one);
  auto two = Repository::open(store.place());
  ASSERT_OK(two);
  const std::string expected = contents_of(0);
  auto writer = (*one)->begin("first");
  ASSERT_OK(writer);
  const auto blob = put_text(**writer, expected, StreamKind::kMemory);
  ASSERT_OK(blob);
  ASSERT_OK((*writer)->commit({.checkpoint = new_uuid(), .application = "app", .entries = {{"memory", *blob}}}));
  writer->reset();

  constexpr std::uint64_t kEach = 6;
  std::atomic<bool> done{false};
  const auto expect_ok = [](const Status& status) {
    if (!status) ADD_FAILURE() << status.error().to_string();
  };
  std::vector<std::thread> writers;
  for (std::uint64_t i = 0; i < 3; ++i) {
    writers.emplace_back([&, i] {
      Repository& repository = i % 2 == 0 ? **one : **two;
      for (std::uint64_t k = 0; k < kEach; ++k) expect_ok(write_one(repository, i * kEach + k, *blob));
    });
  }
  std::vector<std::thread> others;
  for (Repository* repository : {one->get(), two->get()}) {
    others.emplace_back([&, repository] { expect_ok(read_on(*repository, *blob, expected, done)); });
  }
  std::size_t rewritten = 0;
  others.emplace_back([&] {
    do {
      const auto collected = (*one)->collect({.max_garbage = 0});
      expect_ok(collected.ok() ? Status() : Status(collected.error()));
      if (collected) rewritten += collected->packs_removed;
      const auto checked = (*two)->check(false);
      expect_ok(checked.ok() ? Status() : Status(checked.error()));
      if (checked && !checked->problems.empty()) expect_ok(checked->problems.front());
    } while (!done);
  });
  for (auto& thread : writers) thread.join();
  done = true;
  for (auto& thread : others) thread.join();

  const auto list = (*two)->list();
  ASSERT_OK(list);
  EXPECT_EQ(list->size(), 3 * kEach / 2 + 1);
  for (const auto& summary : *list) ASSERT_OK((*two)->verify(summary.head.checkpoint));
  const auto collected = (*two)->collect({.max_garbage = 0});
  ASSERT_OK(collected);
  EXPECT_GT(rewritten + collected->packs_removed, 0U);
  EXPECT_TRUE((*one)->check(true)->problems.empty());
}

TEST(WorkPoolThreadedTest, DoesEveryPartOnceAndNoneAfterItReturned) {
  for (const std::size_t workers : {1U, 2U, 5U}) {
    WorkPool pool(workers);
    ASSERT_EQ(pool.workers(), workers);
    for (const std::size_t count : {0U, 1U, 2U, 3U, 100U, 1000U}) {
      // Plain numbers: a part that is done twice, or late, is a race that TSan sees.
      std::vector<int> times(count);
      std::vector<std::size_t> by_worker(workers);
      for (int round = 1; round <= 20; ++round) {
        pool.run(count, [&](std::size_t index, std::size_t worker) {
          ++times.at(index);
          ++by_worker.at(worker);
        });
        EXPECT_EQ(times, std::vector<int>(count, round));
      }
      EXPECT_EQ(std::accumulate(by_worker.begin(), by_worker.end(), std::size_t{0}), 20 * count);
    }
  }
}

}  // namespace
}  // namespace cacs::repository
