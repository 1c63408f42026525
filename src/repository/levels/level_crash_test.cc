// Copies, records and removals, interrupted after every operation on either store.

#include <gtest/gtest.h>

#include "repository/backend/faulty_backend.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/forgetful_storage.h"
#include "repository/levels/test_support.h"

namespace cacs::repository {
namespace {

using Crash = ForgetfulDisk::Crash;
using Disk = std::shared_ptr<ForgetfulDisk>;

Result<std::unique_ptr<Backend>> mount(const Disk& disk) {
  auto backend = make_file_backend(disk->mount(disk));
  CACS_TRY(backend->remove_stale_temporaries(StaleOf::kThisHost));
  return std::unique_ptr<Backend>(std::move(backend));
}

Result<std::unique_ptr<Repository>> open(const Disk& disk) {
  CACS_ASSIGN(auto backend, mount(disk));
  return Repository::open({std::move(backend), test_keys(), make_process_gate()});
}

/// The first two checkpoints of test_support.h.
Disk prepared_disk() {
  auto disk = std::make_shared<ForgetfulDisk>();
  auto backend = mount(disk);
  EXPECT_TRUE(backend.ok());
  const auto made = Repository::create({*std::move(backend), test_keys(), make_process_gate()});
  EXPECT_TRUE(made.ok());
  EXPECT_TRUE(commit(**made, kFirst).ok());
  EXPECT_TRUE(commit(**made, kSecond, kFirst).ok());
  return disk;
}

/// What can be seen there is whole, or there is no repository yet.
Status expect_sound_there(const Disk& disk) {
  const auto there = open(disk);
  if (!there && there.error().code == ErrorCode::kNotFound) return {};
  if (!there) return there.error();
  return expect_sound(**there);
}

/// Copies two checkpoints with a crash of the far store at each of its operations in turn, each time to the end after
/// that; returns how many operations there are.
std::uint64_t crash_far_everywhere(Crash how, std::uint64_t seed) {
  const Disk local = prepared_disk();
  for (std::uint64_t at = 1;; ++at) {
    SCOPED_TRACE("crash at operation " + std::to_string(at) + ", seed " + std::to_string(seed));
    const auto far = std::make_shared<ForgetfulDisk>();
    auto repository = open(local);
    auto to = mount(far);
    EXPECT_TRUE(repository.ok() && to.ok());
    far->fail_at(at, true);
    LevelCopier copier(**repository, **to);
    bool first = false;
    Status status = [&]() -> Status {
      CACS_TRY(copier.copy(kFirst));
      first = true;
      CACS_TRY(copier.copy(kSecond));
      return {};
    }();
    const bool failed = far->failed();
    EXPECT_TRUE(status.ok() || failed);  // a temporary name that could not be removed is no failure
    const bool second = status.ok();
    far->crash(how, seed * 1000003 + at);
    const auto sound = expect_sound_there(far);
    EXPECT_TRUE(sound.ok()) << sound.error().to_string();
    if (first) {
      const auto there = open(far);
      EXPECT_TRUE(there.ok() && expect_whole(**there, kFirst).ok()) << "lost what had been reached";
      EXPECT_TRUE(!second || expect_whole(**there, kSecond).ok()) << "lost what had been reached";
    }
    // Resumed, from another process's view.
    auto again = mount(far);
    EXPECT_TRUE(again.ok());
    LevelCopier resumed(**repository, **again);
    for (const auto& id : {kFirst, kSecond}) {
      const auto copied = resumed.copy(id);
      EXPECT_TRUE(copied.ok()) << copied.error().to_string();
    }
    far->crash(Crash::kLoseAll, 0);
    const auto whole = open(far);
    EXPECT_TRUE(whole.ok() && expect_sound(**whole).ok() && expect_whole(**whole, kFirst).ok() &&
                expect_whole(**whole, kSecond).ok());
    if (!failed || ::testing::Test::HasFailure()) return at - 1;
  }
}

TEST(LevelCrashTest, AKilledStoreHasAWholeCheckpointOrNone) {
  EXPECT_GT(crash_far_everywhere(Crash::kKeepAll, 0), 20U);
}

TEST(LevelCrashTest, AStoreThatLosesPowerHasAWholeCheckpointOrNone) {
  EXPECT_GT(crash_far_everywhere(Crash::kLoseAll, 0), 20U);
}

TEST(LevelCrashTest, AStoreThatLosesSomeHasAWholeCheckpointOrNone) {
  for (std::uint64_t seed = 1; seed <= 2 && !HasFailure(); ++seed) crash_far_everywhere(Crash::kLoseSome, seed);
}

/// One operation fails, of either store, with and without effect; the same objects go on.
TEST(LevelCrashTest, OneFailureLeavesNothingHalfAndTheNextTrySucceeds) {
  TwoStores stores;
  const auto clean = clone_of(*stores.local.objects);
  for (const bool far_fails : {false, true}) {
    for (const bool lost : {false, true}) {
      for (std::uint64_t at = 1;; ++at) {
        SCOPED_TRACE("operation " + std::to_string(at) + (far_fails ? " far" : " near") + (lost ? ", lost" : ""));
        const auto far = std::make_shared<MemoryStore>();
        auto near_backend = std::make_unique<FaultyBackend>(make_memory_backend(clone_of(*clean)), 1);
        FaultyBackend& near = *near_backend;
        FaultyBackend to(make_memory_backend(far), 1);
        const auto repository = Repository::open({std::move(near_backend), stores.local.keys, make_process_gate()});
        ASSERT_OK(repository);
        FaultyBackend& faulty = far_fails ? to : near;
        const std::uint64_t before = faulty.operations();
        faulty.fail_at(at, ErrorCode::kUnavailable, lost);
        LevelCopier copier(**repository, to);
        const auto copied = copier.copy(kSecond);
        const bool over = faulty.operations() - before < at;
        EXPECT_EQ(copied.ok() || lost, over || lost);  // what is lost of a reading operation goes unnoticed
        const auto there = Repository::open({make_memory_backend(far), stores.local.keys, make_process_gate()});
        if (there) {
          ASSERT_OK(expect_sound(**there));
        } else {
          EXPECT_EQ(there.error().code, ErrorCode::kNotFound);
        }
        if (copied.ok()) {
          ASSERT_TRUE(there.ok());
          ASSERT_OK(expect_whole(**there, kSecond));
        }
        faulty.fail_at(0, ErrorCode::kUnavailable);
        ASSERT_OK(copier.copy(kSecond));
        const auto whole = Repository::open({make_memory_backend(far), stores.local.keys, make_process_gate()});
        ASSERT_OK(whole);
        ASSERT_OK(expect_whole(**whole, kSecond));
        if (over) {
          EXPECT_GT(at, 10U);
          break;
        }
      }
    }
  }
}

// --- records and removals --------------------------------------------------------------------------------------------

bool wanted(const Manifest& /*head*/) { return true; }

RemotePlace place_on(const Disk& far) {
  return {.connect = [far]() { return mount(far); }, .name = "far"};
}

/// Both checkpoints are copied, then the first is removed from both levels.
Status live(Levels& levels) {
  CACS_TRY(levels.copy(kFirst));
  CACS_TRY(levels.copy(kSecond));
  CACS_TRY(levels.remove(kFirst));
  return levels.finish_removal(kFirst);
}

/// What the records say is so.
void expect_true_records(Repository& repository, const Disk& far) {
  const auto records = list_level_records(repository.core().backend(), repository.core().keys());
  ASSERT_OK(records);
  for (const auto& record : *records) {
    if (record.removing || record.reached.empty()) continue;
    const auto there = open(far);
    ASSERT_OK(there);
    ASSERT_OK(expect_whole(**there, record.checkpoint));
  }
}

/// Goes on after a start as an agent does, to the end.
Status finish(Levels& levels) {
  CACS_ASSIGN(const LevelsWork work, levels.outstanding(wanted));
  for (const auto& id : work.removals) CACS_TRY(levels.finish_removal(id));
  for (const auto& id : work.copies) CACS_TRY(levels.copy(id));
  return {};
}

/// The process dies, with a crash of the near or of the far store, at each operation in turn.
std::uint64_t crash_life_everywhere(bool far_crashes, Crash how) {
  const Disk prepared = prepared_disk();
  for (std::uint64_t at = 1;; ++at) {
    SCOPED_TRACE("crash at operation " + std::to_string(at) + (far_crashes ? " far" : " near"));
    const Disk local = prepared->clone();
    const auto far = std::make_shared<ForgetfulDisk>();
    const Disk& crashing = far_crashes ? far : local;
    bool failed = false;
    {
      const auto repository = open(local);
      EXPECT_TRUE(repository.ok());
      Levels levels(**repository, std::make_shared<RemoteLevel>((*repository)->core(), place_on(far)));
      crashing->fail_at(at, true);
      const Status status = live(levels);
      failed = crashing->failed();
      EXPECT_EQ(status.ok(), !failed);
    }
    crashing->crash(how, at);
    const auto repository = open(local);
    EXPECT_TRUE(repository.ok());
    if (!repository) return at;
    expect_true_records(**repository, far);
    const auto sound = expect_sound_there(far);
    EXPECT_TRUE(sound.ok()) << sound.error().to_string();
    Levels levels(**repository, std::make_shared<RemoteLevel>((*repository)->core(), place_on(far)));
    const auto before = levels.is_removing(kFirst);
    EXPECT_TRUE(before.ok());
    const auto finished = finish(levels);
    EXPECT_TRUE(finished.ok()) << finished.error().to_string();
    // The second is at both levels; the first at both or at none.
    const std::vector<std::string> both = {"local", "remote"};
    const auto of_second = levels.levels_of(kSecond);
    EXPECT_TRUE(of_second.ok() && *of_second == both);
    const auto of_first = levels.levels_of(kFirst);
    EXPECT_TRUE(of_first.ok() && (*of_first == both || of_first->empty()));
    if (before.ok() && *before && of_first.ok()) {
      EXPECT_TRUE(of_first->empty()) << "a removal was forgotten";
    }
    const auto there = open(far);
    EXPECT_TRUE(there.ok() && expect_sound(**there).ok() && expect_whole(**there, kSecond).ok());
    if (there && of_first.ok()) {
      EXPECT_EQ(expect_whole(**there, kFirst).ok(), !of_first->empty());
    }
    const auto left = levels.outstanding(wanted);
    EXPECT_TRUE(left.ok() && left->copies.empty() && left->removals.empty());
    if (!failed || ::testing::Test::HasFailure()) return at - 1;
  }
}

TEST(LevelCrashTest, RecordsAreTrueAndRemovalsAreFinishedWhenTheNearStoreCrashes) {
  EXPECT_GT(crash_life_everywhere(false, Crash::kKeepAll), 8U);
  EXPECT_GT(crash_life_everywhere(false, Crash::kLoseAll), 8U);
}

TEST(LevelCrashTest, RecordsAreTrueAndRemovalsAreFinishedWhenTheFarStoreCrashes) {
  EXPECT_GT(crash_life_everywhere(true, Crash::kKeepAll), 20U);
  EXPECT_GT(crash_life_everywhere(true, Crash::kLoseAll), 20U);
}

}  // namespace
}  // namespace cacs::repository
