#include "repository/backend/cached_backend.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "repository/backend/cache_entry.h"
#include "repository/backend/faulty_backend.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/memory_backend.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

using Bytes = std::vector<std::byte>;

class CachedBackendTest : public ::testing::Test {
 protected:
  /// A client with a cache: a new process, if there was one before.
  std::unique_ptr<CachedBackend> open(std::uint64_t max_bytes = std::uint64_t{1} << 30U, std::size_t block = 10'000) {
    auto far = std::make_unique<FaultyBackend>(make_memory_backend(store_), 1);
    far_ = far.get();
    auto near = std::make_unique<FaultyBackend>(make_memory_backend(cache_), 1);
    near_ = near.get();
    auto made = make_cached_backend(std::move(far), std::move(near),
                                    {.max_bytes = max_bytes, .block_bytes = block, .immutable = [](const auto& name) {
                                       return name.starts_with("packs/");
                                     }});
    EXPECT_OK(made);
    return made.ok() ? std::move(*made) : nullptr;
  }
  void put(const std::string& name, const Bytes& bytes) {
    ASSERT_TRUE(store_->put(name, std::make_shared<const Bytes>(bytes), Overwrite::kYes));
  }
  static void expect_reads(Backend& backend, const std::string& name, const Bytes& bytes, std::uint64_t offset,
                           std::size_t length) {
    Bytes out(length, std::byte{0xaa});
    const auto got = backend.read(name, offset, out);
    ASSERT_OK(got);
    const std::size_t there = offset >= bytes.size() ? 0 : std::min<std::size_t>(length, bytes.size() - offset);
    ASSERT_EQ(*got, there);
    ASSERT_TRUE(there == 0 || std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(there),
                                         bytes.begin() + static_cast<std::ptrdiff_t>(offset)));
  }
  [[nodiscard]] std::uint64_t cache_bytes() const {
    std::uint64_t sum = 0;
    for (const auto& info : cache_->list("")) sum += info.size;
    return sum;
  }

  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  std::shared_ptr<MemoryStore> cache_ = std::make_shared<MemoryStore>();
  FaultyBackend* far_ = nullptr;
  FaultyBackend* near_ = nullptr;
};

TEST_F(CachedBackendTest, ReadsTheSecondTimeFromTheCacheAlsoInTheNextProcess) {
  const Bytes small = object_bytes(777, 1);
  const Bytes large = object_bytes(95'000, 2);
  put("packs/small", small);
  put("packs/large", large);
  auto backend = open();
  expect_reads(*backend, "packs/small", small, 0, 1000);
  expect_reads(*backend, "packs/large", large, 25'000, 10);
  EXPECT_EQ(far_->operations(), 2U);
  for (int process = 0; process < 2; ++process) {
    const std::uint64_t before = far_->operations();
    expect_reads(*backend, "packs/small", small, 700, 500);
    expect_reads(*backend, "packs/large", large, 20'000, 10'000);
    const auto size = backend->size("packs/small");
    ASSERT_OK(size);
    EXPECT_EQ(*size, 777U);
    EXPECT_EQ(far_->operations(), before);
    backend = open();
  }
}

TEST_F(CachedBackendTest, FetchesNeighboursByOneRequestAndOnlyWhatIsMissing) {
  const Bytes bytes = object_bytes(400'000, 2);
  put("packs/a", bytes);
  const auto backend = open();
  expect_reads(*backend, "packs/a", bytes, 35'000, 10);  // block 3
  expect_reads(*backend, "packs/a", bytes, 60'000, 1);   // block 6
  EXPECT_EQ(far_->operations(), 2U);
  expect_reads(*backend, "packs/a", bytes, 0, 100'000);
  EXPECT_EQ(far_->operations(), 5U);  // 0-2, 4-5, 7-9
  expect_reads(*backend, "packs/a", bytes, 0, 400'000);
  EXPECT_EQ(far_->operations(), 7U);  // 16 blocks at most: 10-25, 26-39
  const auto stats = backend->stats();
  EXPECT_EQ(stats.misses, 40U);
  EXPECT_EQ(stats.hits, 2U + 10U);
}

TEST_F(CachedBackendTest, KeepsOnlyWhatIsImmutable) {
  put("head", object_bytes(10, 1));
  const auto backend = open();
  expect_reads(*backend, "head", object_bytes(10, 1), 0, 20);
  put("head", object_bytes(10, 2));
  expect_reads(*backend, "head", object_bytes(10, 2), 0, 20);
  EXPECT_TRUE(cache_->list("").empty());
}

TEST_F(CachedBackendTest, ForgetsWhatIsRemovedThroughIt) {
  const Bytes bytes = object_bytes(95'000, 2);
  put("packs/a", bytes);
  put("packs/b", bytes);
  const auto backend = open();
  expect_reads(*backend, "packs/a", bytes, 0, 95'000);
  expect_reads(*backend, "packs/b", bytes, 0, 5);
  ASSERT_OK(backend->remove("packs/a"));
  EXPECT_EQ(cache_->list("").size(), 1U);
  Bytes out(10);
  EXPECT_CODE(backend->read("packs/a", 0, out), ErrorCode::kNotFound);
}

TEST_F(CachedBackendTest, DrivesOutWhatWasUsedLongestAgo) {
  constexpr std::uint64_t kRoom = 10 * 12'288;  // of blocks with 10'000 bytes
  std::vector<Bytes> objects;
  const auto name = [](std::size_t i) { return "packs/" + std::to_string(i); };
  for (std::size_t i = 0; i < 30; ++i) {
    objects.push_back(object_bytes(10'000, i));
    put(name(i), objects.back());
  }
  auto backend = open(kRoom);
  for (std::size_t i = 0; i < 30; ++i) {
    expect_reads(*backend, name(i), objects[i], 0, 10'000);
    expect_reads(*backend, name(0), objects[0], 0, 10);  // is in use all the time
    EXPECT_LE(backend->stats().bytes, kRoom);
    EXPECT_EQ(cache_->list("").size(), std::min<std::size_t>(i + 1, 10));
  }
  EXPECT_EQ(far_->operations(), 30U);
  expect_reads(*backend, name(29), objects[29], 0, 10);
  EXPECT_EQ(far_->operations(), 30U);
  expect_reads(*backend, name(5), objects[5], 0, 10);
  EXPECT_EQ(far_->operations(), 31U);
  backend = open(kRoom / 2);  // a smaller bound holds from the start
  EXPECT_EQ(cache_->list("").size(), 5U);
  backend = open(100);  // nothing fits
  expect_reads(*backend, name(5), objects[5], 0, 10);
  EXPECT_TRUE(cache_->list("").empty());
}

TEST_F(CachedBackendTest, EveryFlippedBitAndEveryCutIsAMiss) {
  const Bytes bytes = object_bytes(40, 1);
  put("packs/a", bytes);
  expect_reads(*open(), "packs/a", bytes, 0, 40);
  ASSERT_EQ(cache_->list("").size(), 1U);
  const std::string key = cache_->list("")[0].name;
  const Bytes sound = *cache_->get(key);
  std::vector<Bytes> damaged;
  for (std::size_t bit = 0; bit < sound.size() * 8; ++bit) {
    damaged.push_back(sound);
    damaged.back()[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
  }
  for (std::size_t cut = 0; cut < sound.size(); ++cut)
    damaged.emplace_back(sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(cut));
  damaged.push_back(sound);
  damaged.back().push_back(std::byte{0});
  damaged.emplace_back(100'000, std::byte{1});
  for (const auto& entry : damaged) {
    cache_->put(key, std::make_shared<const Bytes>(entry), Overwrite::kYes);
    const auto backend = open();
    expect_reads(*backend, "packs/a", bytes, 0, 100);
    EXPECT_EQ(far_->operations(), 1U);
    EXPECT_EQ(backend->stats().damaged, 1U);
    EXPECT_TRUE(*cache_->get(key) == sound) << "it was not replaced";
  }
}

TEST_F(CachedBackendTest, EntriesThatWereExchangedAreMisses) {
  for (const char* name : {"packs/a", "packs/b"}) put(name, object_bytes(30'000, name[6] == 'a' ? 1 : 2));
  expect_reads(*open(), "packs/a", object_bytes(30'000, 1), 0, 30'000);
  expect_reads(*open(), "packs/b", object_bytes(30'000, 2), 0, 30'000);
  const auto entries = cache_->list("");
  ASSERT_EQ(entries.size(), 6U);
  const auto first = cache_->get(entries[0].name);
  for (std::size_t i = 0; i + 1 < entries.size(); ++i) {
    cache_->put(entries[i].name, cache_->get(entries[i + 1].name), Overwrite::kYes);
  }
  cache_->put(entries.back().name, first, Overwrite::kYes);
  const auto backend = open();
  expect_reads(*backend, "packs/a", object_bytes(30'000, 1), 0, 30'000);
  expect_reads(*backend, "packs/b", object_bytes(30'000, 2), 0, 30'000);
  EXPECT_EQ(backend->stats().damaged, 6U);
}

TEST_F(CachedBackendTest, LeavesAloneWhatIsNotItsOwn) {
  cache_->put("README", std::make_shared<const Bytes>(100), Overwrite::kNo);
  cache_->put("00/" + std::string(32, 'x') + "." + std::string(16, '0'), std::make_shared<const Bytes>(100),
              Overwrite::kNo);
  const auto backend = open(1);
  EXPECT_EQ(backend->stats().bytes, 0U);
  EXPECT_EQ(cache_->list("").size(), 2U);
}

TEST_F(CachedBackendTest, ACacheThatFailsFailsNothing) {
  const Bytes bytes = object_bytes(95'000, 2);
  put("packs/a", bytes);
  const auto backend = open();
  for (const ErrorCode code : {ErrorCode::kNoSpace, ErrorCode::kIo, ErrorCode::kPermission}) {
    near_->set_faults({.error = 0.5, .code = code});
    for (int round = 0; round < 20; ++round) expect_reads(*backend, "packs/a", bytes, 1234, 90'000);
  }
  EXPECT_GT(backend->stats().failures, 0U);
  // One that others empty meanwhile is no damage.
  near_->set_faults({});
  expect_reads(*backend, "packs/a", bytes, 0, 95'000);
  const auto damaged = backend->stats().damaged;
  for (const auto& info : cache_->list("")) cache_->remove(info.name);
  expect_reads(*backend, "packs/a", bytes, 0, 95'000);
  EXPECT_EQ(backend->stats().damaged, damaged);
}

TEST_F(CachedBackendTest, AFarStoreThatFailsIsSeen) {
  put("packs/a", object_bytes(95'000, 2));
  const auto backend = open();
  far_->set_faults({.error = 1, .code = ErrorCode::kTimeout});
  Bytes out(10);
  EXPECT_CODE(backend->read("packs/a", 0, out), ErrorCode::kTimeout);
  far_->set_faults({});
  EXPECT_CODE(backend->read("packs/b", 0, out), ErrorCode::kNotFound);
  EXPECT_TRUE(cache_->list("").empty());
}

TEST_F(CachedBackendTest, RandomReadsAreThoseOfTheObject) {
  std::mt19937_64 random(5);
  std::vector<Bytes> objects;
  for (std::size_t i = 0; i < 6; ++i) {
    // Also whole numbers of blocks, and nothing.
    objects.push_back(object_bytes(i < 3 ? i * 30'000 : random() % 200'000, i));
    put("packs/" + std::to_string(i), objects.back());
  }
  auto backend = open(300'000);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t which = random() % objects.size();
    const std::uint64_t offset = random() % (objects[which].size() + 20'000);
    expect_reads(*backend, "packs/" + std::to_string(which), objects[which], offset,
                 random() % (round % 7 == 0 ? 150'000 : 3000));
    if (HasFatalFailure()) return;
    if (round % 500 == 499) backend = open(300'000);
    if (random() % 50 == 0) {
      const auto entries = cache_->list("");
      if (entries.empty()) continue;
      const auto& victim = entries[random() % entries.size()].name;
      Bytes entry = *cache_->get(victim);
      entry[random() % entry.size()] ^= std::byte{4};
      cache_->put(victim, std::make_shared<const Bytes>(entry), Overwrite::kYes);
    }
  }
  EXPECT_LE(cache_bytes(), 300'000U);
}

/// A process that fills a cache on a real directory is killed again and again; the next one reads what is right.
TEST_F(CachedBackendTest, SurvivesAKillAtAnyTime) {
  const TemporaryDirectory directory;
  const auto open_files = [&] {
    return make_file_backend(make_file_storage(directory.path()), {.durability = Durability::kUntilPowerLoss});
  };
  const Bytes bytes = object_bytes(3'000'000, 1);
  put("packs/a", bytes);
  const CacheOptions options{
      .max_bytes = 1'000'000, .block_bytes = 10'000, .immutable = [](const std::string&) { return true; }};
  const auto read_all = [&](Backend& backend, std::uint64_t seed, int rounds) {
    std::mt19937_64 random(seed);
    for (int round = 0; round < rounds; ++round) {
      expect_reads(backend, "packs/a", bytes, random() % bytes.size(), random() % 50'000);
    }
  };
  for (std::uint64_t round = 0; round < 20; ++round) {
    int ready[2] = {-1, -1};
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto backend = make_cached_backend(make_memory_backend(store_), open_files(), options);
      if (!backend || ::write(ready[1], "x", 1) != 1) ::_exit(1);
      read_all(**backend, round, 1'000'000);
      ::_exit(1);
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    ::usleep(static_cast<useconds_t>(1000 * (round % 10)));  // any time will do
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    ::close(ready[0]);
    ::close(ready[1]);
    auto files = open_files();
    ASSERT_OK(files->remove_stale_temporaries(StaleOf::kThisHost));
    auto backend = make_cached_backend(make_memory_backend(store_), std::move(files), options);
    ASSERT_OK(backend);
    read_all(**backend, round + 100, 30);
    EXPECT_EQ((*backend)->stats().damaged, 0U);
  }
}

}  // namespace
}  // namespace cacs::repository
