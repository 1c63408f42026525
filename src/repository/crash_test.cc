// Crashes after every single operation on the storage, then looks at what is left (docs/repository.md, *What a crash
// leaves*).

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "base/uuid.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/forgetful_storage.h"
#include "repository/layout.h"
#include "repository/repository.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

using Crash = ForgetfulDisk::Crash;
/// Entry to bytes. Names that start with "memory" are stored as pages, others as files.
using Contents = std::map<std::string, std::string>;

/// What the world knows of a checkpoint: the answers it has had.
enum class Known { kMaybe, kCommitted, kMaybeRemoved, kRemoved };

struct Expected {
  Known known = Known::kMaybe;
  Contents contents;
  Contents perhaps;  ///< what it is being extended by: all of it, or none
};

Result<Place> place_on(const std::shared_ptr<ForgetfulDisk>& disk) {
  auto backend = make_file_backend(disk->mount(disk));
  CACS_TRY(backend->remove_stale_temporaries(StaleOf::kThisHost));
  return Place{std::move(backend), test_keys(), make_process_gate()};
}

Result<std::unique_ptr<Repository>> create_on(const std::shared_ptr<ForgetfulDisk>& disk) {
  CACS_ASSIGN(Place place, place_on(disk));
  return Repository::create(std::move(place));
}

/// A life of a repository, that ends where the disk fails.
class Life {
 public:
  explicit Life(std::shared_ptr<ForgetfulDisk> disk) : disk_(std::move(disk)) {}

  std::map<std::string, Expected> checkpoints;
  Contents in_pieces;  ///< what entries of pieces hold, committed or not

  Status open() {
    CACS_ASSIGN(Place place, place_on(disk_));
    CACS_ASSIGN(repository_, Repository::open(std::move(place)));
    return {};
  }

  /// `parent`: the checkpoint whose entries of the same names are the parents of the pages, or "".
  Status commit(const std::string& id, const Contents& contents, const std::string& parent = "") {
    checkpoints[id] = {.contents = contents};
    Manifest before;
    if (!parent.empty()) {
      CACS_ASSIGN(before, repository_->load(parent));
    }
    CACS_ASSIGN(auto writer, repository_->begin("life"));
    Manifest manifest{.checkpoint = id, .application = "app"};
    CACS_ASSIGN(manifest.entries, put(*writer, contents, before.entries));
    CACS_TRY(writer->commit(std::move(manifest)));
    checkpoints[id].known = Known::kCommitted;
    return {};
  }

  Status commit_in_pieces(const std::string& id, const std::vector<Contents>& parts) {
    std::vector<std::string> pieces;
    Expected expected;
    for (const auto& part : parts) {
      CACS_ASSIGN(std::string piece, store_piece(part));
      pieces.push_back(std::move(piece));
      expected.contents.insert(part.begin(), part.end());
    }
    checkpoints[id] = expected;
    auto status = repository_->commit_checkpoint({.checkpoint = id, .application = "app"}, pieces);
    if (status.ok()) checkpoints[id].known = Known::kCommitted;
    return status;
  }

  Status extend(const std::string& id, const Contents& part) {
    CACS_ASSIGN(const std::string piece, store_piece(part));
    Expected& expected = checkpoints[id];
    expected.perhaps = part;
    CACS_TRY(repository_->extend_checkpoint(id, {piece}, {{"extended", true}}));
    expected.contents.insert(part.begin(), part.end());
    expected.perhaps.clear();
    return {};
  }

  Status abandon_piece() {
    CACS_ASSIGN(const std::string piece, store_piece({{"memory abandoned", random_bytes(9000, 99)}}));
    return repository_->drop_piece(piece);
  }

  /// A session that commits the blobs of an earlier checkpoint without their bytes.
  Status reuse(const std::string& from, const std::string& id) {
    CACS_ASSIGN(const Manifest old, repository_->load(from));
    checkpoints[id] = {.contents = checkpoints[from].contents};
    CACS_ASSIGN(auto writer, repository_->begin("reuse"));
    for (const auto& entry : old.entries) CACS_TRY(writer->reuse(entry.blob));
    CACS_TRY(writer->commit({.checkpoint = id, .application = "app", .entries = old.entries}));
    checkpoints[id].known = Known::kCommitted;
    return {};
  }

  Status remove(const std::string& id) {
    checkpoints[id].known = Known::kMaybeRemoved;
    CACS_TRY(repository_->remove(id));
    checkpoints[id].known = Known::kRemoved;
    return {};
  }

  Status collect() {
    CACS_TRY(repository_->collect({.max_garbage = 0, .wait = GateWait::kFail}));
    return {};
  }

  Repository& repository() { return *repository_; }
  void close() { repository_.reset(); }

 private:
  static Result<std::vector<Entry>> put(Writer& writer, const Contents& contents, const std::vector<Entry>& parents) {
    std::vector<Entry> entries;
    for (const auto& [name, bytes] : contents) {
      const auto parent = std::ranges::find(parents, name, &Entry::name);
      const StreamKind kind = name.starts_with("memory") ? StreamKind::kMemory : StreamKind::kFile;
      CACS_ASSIGN(const BlobRef blob, put_text(writer, bytes, kind, parent == parents.end() ? nullptr : &parent->blob));
      entries.push_back({name, blob});
    }
    return entries;
  }

  Result<std::string> store_piece(const Contents& part) {
    in_pieces.insert(part.begin(), part.end());
    CACS_ASSIGN(auto writer, repository_->begin("part"));
    CACS_ASSIGN(auto entries, put(*writer, part, {}));
    return writer->finish_piece(std::move(entries), {});
  }

  std::shared_ptr<ForgetfulDisk> disk_;
  std::unique_ptr<Repository> repository_;
};

const std::string kFirst = "01900000-0000-7000-8000-000000000001";
const std::string kSecond = "01900000-0000-7000-8000-000000000002";
const std::string kThird = "01900000-0000-7000-8000-000000000003";
const std::string kFourth = "01900000-0000-7000-8000-000000000004";

std::string pages(std::size_t count, std::uint64_t seed) { return random_bytes(count * kPageBytes, seed); }

Status prepare(Life& life) {
  CACS_TRY(life.open());
  return life.commit(kFirst, {{"memory", pages(10, 1)}, {"log", "line 1\n"}});
}

/// Everything a repository does, with what one step leaves for the next: shared pages and nodes, garbage, packs that
/// are rewritten twice.
Status live(Life& life) {
  const std::string memory = pages(10, 1);
  CACS_TRY(life.open());
  CACS_TRY(
      life.commit(kSecond, {{"memory", memory.substr(0, 5 * kPageBytes) + pages(5, 2)}, {"log", "line 2\n"}}, kFirst));
  CACS_TRY(life.commit_in_pieces(kThird, {{{"memory 0", memory.substr(0, 7 * kPageBytes)}},
                                          {{"memory 1", random_bytes(9000, 3)}, {"empty", ""}}}));
  CACS_TRY(life.extend(kThird, {{"memory 2", memory.substr(0, 3 * kPageBytes) + pages(2, 5)}, {"late", "line 3\n"}}));
  CACS_TRY(life.abandon_piece());
  CACS_TRY(life.reuse(kSecond, kFourth));
  CACS_TRY(life.collect());
  CACS_TRY(life.remove(kFirst));
  CACS_TRY(life.collect());  // the first pack is rewritten without the last pages of kFirst
  CACS_TRY(life.remove(kThird));
  CACS_TRY(life.remove(kSecond));
  CACS_TRY(life.collect());  // and without two pages of kThird
  CACS_TRY(life.remove(kFourth));
  return life.collect();
}

void expect_sound(Life& life, const std::string& where) {
  SCOPED_TRACE(where);
  Repository& repository = life.repository();
  const auto list = repository.list();
  ASSERT_OK(list);
  std::set<std::string> visible;
  for (const auto& summary : *list) {
    if (summary.problem) ADD_FAILURE() << summary.problem->to_string();
    visible.insert(summary.head.checkpoint);
  }
  for (const auto& [id, expected] : life.checkpoints) {
    if (expected.known == Known::kCommitted) {
      EXPECT_TRUE(visible.contains(id)) << "lost " << id;
    }
    if (expected.known == Known::kRemoved) {
      EXPECT_FALSE(visible.contains(id)) << "back again: " << id;
    }
    if (visible.erase(id) == 0) continue;
    // Whatever can be seen is whole, also if nobody had an answer for it.
    const auto manifest = repository.load(id);
    ASSERT_OK(manifest);
    Contents contents = expected.contents;
    if (manifest->entries.size() != contents.size()) contents.insert(expected.perhaps.begin(), expected.perhaps.end());
    ASSERT_EQ(manifest->entries.size(), contents.size());
    for (const auto& entry : manifest->entries) {
      const auto bytes = read_text(repository, entry.blob);
      ASSERT_OK(bytes);
      ASSERT_TRUE(*bytes == contents.at(entry.name)) << entry.name;
    }
  }
  for (const auto& id : visible) ADD_FAILURE() << "a checkpoint nobody made: " << id;
  const auto pieces = repository.list_pieces();
  ASSERT_OK(pieces);
  for (const auto& id : *pieces) {
    const auto piece = repository.load_piece(id);
    ASSERT_OK(piece);
    for (const auto& entry : piece->entries) {
      const auto bytes = read_text(repository, entry.blob);
      ASSERT_OK(bytes);
      ASSERT_TRUE(*bytes == life.in_pieces.at(entry.name)) << entry.name;
    }
  }
}

/// After a collection there is nothing but what checkpoints need.
void expect_no_garbage(ForgetfulDisk& disk, Life& life) {
  Repository& repository = life.repository();
  ASSERT_OK(repository.drop_all_pieces());
  ASSERT_OK(repository.collect({.max_garbage = 0}));
  const auto stats = repository.stats();
  ASSERT_OK(stats);
  const auto checked = repository.check(true);
  ASSERT_OK(checked);
  for (const auto& problem : checked->problems) ADD_FAILURE() << problem.to_string();
  const auto again = repository.collect({.max_garbage = 0});
  ASSERT_OK(again);
  EXPECT_EQ(again->bytes_garbage, 0U);
  EXPECT_EQ(again->packs_removed, 0U);
  EXPECT_EQ(again->packs_written, 0U);
  const auto names = disk.file_names();
  EXPECT_EQ(names.size(), 1 + stats->checkpoints + stats->packs);
  std::set<PackId> packs;
  for (const auto& name : names) {
    if (const auto pack = parse_pack_name(name)) {
      EXPECT_TRUE(packs.insert(pack->id).second) << "two generations: " << name;
    } else {
      EXPECT_TRUE(name == kDescriptorName || name.starts_with(kManifestPrefix)) << "left behind: " << name;
    }
    EXPECT_FALSE(is_temporary_name(name.substr(name.rfind('/') + 1))) << name;
  }
  expect_sound(life, "after a collection");
  // Every checkpoint removed: nothing at all is left.
  const auto list = repository.list();
  ASSERT_OK(list);
  for (const auto& summary : *list) ASSERT_OK(repository.remove(summary.head.checkpoint));
  ASSERT_OK(repository.collect());
  EXPECT_EQ(disk.file_names(), std::vector<std::string>{std::string(kDescriptorName)});
}

std::shared_ptr<ForgetfulDisk> prepared_disk(std::map<std::string, Expected>& checkpoints) {
  auto disk = std::make_shared<ForgetfulDisk>();
  EXPECT_TRUE(create_on(disk).ok());
  Life life(disk);
  EXPECT_TRUE(prepare(life).ok());
  checkpoints = life.checkpoints;
  return disk;
}

/// Runs live() with a crash at each operation in turn; returns how many there are.
std::uint64_t crash_everywhere(Crash how, std::uint64_t seed) {
  std::map<std::string, Expected> before;
  const auto prepared = prepared_disk(before);
  for (std::uint64_t at = 1;; ++at) {
    const auto disk = prepared->clone();
    Life life(disk);
    life.checkpoints = before;
    disk->fail_at(at, true);
    const Status status = live(life);
    if (!disk->failed()) {
      if (!status) ADD_FAILURE() << status.error().to_string();
      return at - 1;
    }
    EXPECT_FALSE(status.ok());
    life.close();
    disk->crash(how, seed * 1000003 + at);
    const std::string where = "crash at operation " + std::to_string(at) + ", seed " + std::to_string(seed);
    const auto opened = life.open();
    if (!opened) {
      ADD_FAILURE() << where << ": " << opened.error().to_string();
      return at;
    }
    expect_sound(life, where);
    // What a killed process was about to remove is gone for the next one, which collects on that.
    if (how == Crash::kKeepAll) {
      const auto collected = life.collect();
      if (!collected) ADD_FAILURE() << where << ": " << collected.error().to_string();
      expect_sound(life, where + ", and a collection");
    }
    // A second crash right after the recovery takes nothing away either.
    life.close();
    disk->crash(Crash::kLoseAll, 0);
    const auto opened_again = life.open();
    if (!opened_again) {
      ADD_FAILURE() << where << ", and again: " << opened_again.error().to_string();
      return at;
    }
    expect_sound(life, where + ", and again");
    // Life goes on, on the ruins: what is left is built on.
    const auto next = life.commit(new_uuid(), {{"memory", pages(10, 1)}, {"log", "line 1\n"}});
    if (!next) ADD_FAILURE() << where << ", the next checkpoint: " << next.error().to_string();
    SCOPED_TRACE(where);
    expect_no_garbage(*disk, life);
    if (::testing::Test::HasFailure()) return at;
  }
}

TEST(CrashTest, KilledProcessLosesNothing) { EXPECT_GT(crash_everywhere(Crash::kKeepAll, 0), 80U); }

TEST(CrashTest, PowerLossLosesNothingThatWasCommitted) { EXPECT_GT(crash_everywhere(Crash::kLoseAll, 0), 80U); }

TEST(CrashTest, PowerLossThatKeepsSomeOfTheUnsyncedLosesNothingThatWasCommitted) {
  for (std::uint64_t seed = 1; seed <= 2 && !HasFailure(); ++seed) crash_everywhere(Crash::kLoseSome, seed);
}

/// That the crashes above do interrupt collections that write next generations.
TEST(CrashTest, TheLifeRewritesAPackTwice) {
  std::map<std::string, Expected> before;
  const auto prepared = prepared_disk(before);
  std::set<std::uint32_t> generations;
  for (std::uint64_t at = 1;; ++at) {
    const auto disk = prepared->clone();
    Life life(disk);
    disk->fail_at(at, true);
    static_cast<void>(live(life).ok());
    for (const auto& name : disk->file_names()) {
      if (const auto pack = parse_pack_name(name)) generations.insert(pack->generation);
    }
    if (!disk->failed()) break;
  }
  EXPECT_EQ(generations, (std::set<std::uint32_t>{1, 2, 3}));
}

TEST(CrashTest, CreatingIsAllOrNothing) {
  for (const Crash how : {Crash::kKeepAll, Crash::kLoseAll, Crash::kLoseSome}) {
    for (std::uint64_t at = 1;; ++at) {
      const auto disk = std::make_shared<ForgetfulDisk>();
      disk->fail_at(at, true);
      const bool made = create_on(disk).ok();
      if (!disk->failed()) {
        EXPECT_TRUE(made);
        EXPECT_GT(at, 3U);
        break;
      }
      disk->crash(how, at);
      Life life(disk);
      const auto opened = life.open();
      if (!opened) {
        EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
        ASSERT_OK(create_on(disk));
      }
    }
  }
}

/// One operation fails and life goes on, as with a full disk.
TEST(CrashTest, OneFailedOperationIsReportedAndHarmsNothing) {
  std::map<std::string, Expected> before;
  const auto prepared = prepared_disk(before);
  const std::vector<std::function<Status(Life&)>> steps = {
      [](Life& life) {
        return life.commit(kSecond, {{"memory", pages(5, 1) + pages(3, 8)}}, kFirst);
      },
      [](Life& life) {
        return life.commit_in_pieces(kThird, {{{"memory a", random_bytes(30000, 9)}}, {{"b", "b"}}});
      },
      [](Life& life) { return life.remove(kFirst); },
      [](Life& life) { return life.collect(); },
  };
  for (std::uint64_t at = 1;; ++at) {
    SCOPED_TRACE("failure of operation " + std::to_string(at));
    const auto disk = prepared->clone();
    Life life(disk);
    life.checkpoints = before;
    ASSERT_OK(life.open());
    disk->fail_at(at, false);
    int failures = 0;
    for (const auto& step : steps) failures += step(life).ok() ? 0 : 1;
    if (!disk->failed()) {
      EXPECT_EQ(failures, 0);
      EXPECT_GT(at, 30U);
      break;
    }
    expect_sound(life, "in the same process");
    life.close();
    disk->crash(Crash::kLoseAll, 0);
    ASSERT_OK(life.open());
    expect_sound(life, "after a power loss");
    expect_no_garbage(*disk, life);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cacs::repository
