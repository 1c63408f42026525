#include "repository/levels/level_copier.h"

#include <gmock/gmock.h>

#include "repository/backend/fake_clock.h"
#include "repository/backend/faulty_backend.h"
#include "repository/backend/limited_backend.h"
#include "repository/keys/master_keys.h"
#include "repository/keys/slots.h"
#include "repository/layout.h"
#include "repository/levels/test_support.h"
#include "repository/unlock.h"

namespace cacs::repository {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class LevelCopierTest : public ::testing::TestWithParam<Sealing> {
 protected:
  TwoStores stores{GetParam()};
  std::unique_ptr<Backend> to = make_memory_backend(stores.far);
  LevelCopier copier{*stores.repository, *to};
};

INSTANTIATE_TEST_SUITE_P(Sealed, LevelCopierTest, ::testing::Values(Sealing::kAes256Gcm, Sealing::kNone));

TEST_P(LevelCopierTest, ACopyIsARepositoryWithThatCheckpoint) {
  const auto copied = copier.copy(kSecond);
  ASSERT_OK(copied);
  EXPECT_EQ(copied->packs, 2U);  // of the first, half of whose memory it shares, and its own
  EXPECT_EQ(copied->packs_copied, 2U);
  const auto there = stores.open_far();
  ASSERT_OK(there);
  const auto list = (*there)->list();
  ASSERT_OK(list);
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->front().head.checkpoint, kSecond);
  ASSERT_OK(expect_sound(**there));
  auto names = names_in(*stores.far);
  EXPECT_EQ(std::erase(names, std::string(kCopyName)), 1U);
  for (const auto& name : names) {
    EXPECT_EQ(*stores.far->get(name), *stores.local.objects->get(name)) << name;  // byte for byte
  }
}

TEST_P(LevelCopierTest, WhatIsThereIsNotSentAgain) {
  ASSERT_OK(copier.copy(kFirst));
  const auto second = copier.copy(kSecond);
  ASSERT_OK(second);
  EXPECT_EQ(second->packs_copied, 1U);
  std::uint64_t total = 1;
  const auto again =
      copier.copy(kSecond, {.progress = [&](const CopyProgress& progress) { total += progress.bytes_total; }});
  ASSERT_OK(again);
  EXPECT_EQ(again->packs, 2U);
  EXPECT_EQ(again->packs_copied, 0U);
  EXPECT_EQ(again->bytes_copied, 0U);
  EXPECT_EQ(total, 1U);  // never called
}

TEST_P(LevelCopierTest, ProgressEndsAtTheTotal) {
  CopyProgress last;
  std::uint64_t before = 0;
  const auto copied = copier.copy(kThird, {.progress = [&](const CopyProgress& progress) {
                                    EXPECT_GT(progress.bytes_done, before);
                                    before = progress.bytes_done;
                                    last = progress;
                                  }});
  ASSERT_OK(copied);
  EXPECT_GT(last.bytes_total, 70000U);
  EXPECT_EQ(last.bytes_done, last.bytes_total);
  EXPECT_EQ(copied->bytes_copied, last.bytes_total);
}

TEST_P(LevelCopierTest, AnotherRepositoryThereIsRefusedAndLeftAlone) {
  ASSERT_OK(Repository::create({make_memory_backend(stores.far), stores.local.keys, make_process_gate()}));
  const auto before = names_in(*stores.far);
  const auto copied = copier.copy(kFirst);
  ASSERT_FALSE(copied.ok());
  EXPECT_EQ(copied.error().code, ErrorCode::kConflict);
  EXPECT_EQ(names_in(*stores.far), before);
}

TEST_P(LevelCopierTest, ACheckpointThatIsNotHereIsNotFound) {
  const auto copied = copier.copy("01900000-0000-7000-8000-00000000000f");
  ASSERT_FALSE(copied.ok());
  EXPECT_EQ(copied.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(names_in(*stores.far, "packs/"), SizeIs(0));
}

TEST_P(LevelCopierTest, RemovalIsRepeatable) {
  ASSERT_OK(copier.copy(kFirst));
  ASSERT_OK(copier.remove(kFirst));
  ASSERT_OK(copier.remove(kFirst));
  EXPECT_THAT(names_in(*stores.far, "manifests/"), SizeIs(0));
  EXPECT_FALSE(copier.remove("../repository").ok());
}

// --- generations -----------------------------------------------------------------------------------------------------

std::vector<std::uint32_t> generations_in(const MemoryStore& store) {
  std::vector<std::uint32_t> generations;
  for (const auto& name : names_in(store, "packs/")) generations.push_back(parse_pack_name(name)->generation);
  std::sort(generations.begin(), generations.end());
  return generations;
}

TEST_P(LevelCopierTest, AnEmptyPlaceGetsTheCurrentGeneration) {
  ASSERT_OK(stores.remove_first());
  ASSERT_OK(copier.copy(kSecond));
  EXPECT_THAT(generations_in(*stores.far), ElementsAre(1, 2));
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_sound(**there));
}

TEST_P(LevelCopierTest, AnEarlierGenerationThereCovers) {
  ASSERT_OK(copier.copy(kFirst));
  ASSERT_OK(stores.remove_first());
  const auto copied = copier.copy(kSecond);
  ASSERT_OK(copied);
  EXPECT_EQ(copied->packs_copied, 1U);
  EXPECT_THAT(generations_in(*stores.far), ElementsAre(1, 1));
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_whole(**there, kFirst));  // removed here, not there: whole
  ASSERT_OK(expect_whole(**there, kSecond));
}

/// The later generation would hide the earlier one, which the first checkpoint needs there.
TEST_P(LevelCopierTest, ALateListingDoesNotLetALaterGenerationHideAnEarlierOne) {
  FaultyBackend late(make_memory_backend(stores.far), 1, {.late_listing = 1'000'000});
  LevelCopier to_late(*stores.repository, late);
  ASSERT_OK(to_late.copy(kFirst));
  ASSERT_OK(stores.remove_first());
  const auto copied = to_late.copy(kSecond);
  ASSERT_OK(copied);
  EXPECT_EQ(copied->packs_copied, 1U);
  EXPECT_THAT(generations_in(*stores.far), ElementsAre(1, 1));
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_sound(**there));
}

/// A listing that still shows what was removed must not pass for presence.
TEST_P(LevelCopierTest, ALateListingDoesNotPassARemovedPackForThere) {
  FaultyBackend late(make_memory_backend(stores.far), 1);
  LevelCopier to_late(*stores.repository, late);
  ASSERT_OK(to_late.copy(kThird));
  late.set_faults({.late_listing = 1'000'000});
  for (const auto& name : names_in(*stores.far, "packs/")) ASSERT_OK(late.remove(name));
  bool listed = false;
  ASSERT_OK(late.list("packs/", [&](const ObjectInfo&) -> Status {
    listed = true;
    return {};
  }));
  ASSERT_TRUE(listed);
  const auto copied = to_late.copy(kThird);
  ASSERT_OK(copied);
  EXPECT_EQ(copied->packs_copied, 1U);
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_whole(**there, kThird));
}

TEST_P(LevelCopierTest, ALaterGenerationAloneIsComparedSlotBySlot) {
  ASSERT_OK(stores.repository->remove(kThird));
  const auto old = clone_of(*stores.local.objects);  // a backup with all of the first pack
  ASSERT_OK(stores.remove_first());
  ASSERT_OK(copier.copy(kSecond));
  // What was put back from the backup has generation 1 of the pack.
  const auto restored = Repository::open({make_memory_backend(old), stores.local.keys, make_process_gate()});
  ASSERT_OK(restored);
  LevelCopier of_old(**restored, *to);
  const auto same = of_old.copy(kSecond);
  ASSERT_OK(same);
  EXPECT_EQ(same->packs_copied, 0U);
  const auto more = of_old.copy(kFirst);
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().code, ErrorCode::kConflict);
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_sound(**there));
}

// --- meanwhile -------------------------------------------------------------------------------------------------------

TEST_P(LevelCopierTest, ACollectionMeanwhileIsFollowed) {
  bool collected = false;
  const auto copied = copier.copy(kSecond, {.progress = [&](const CopyProgress&) {
                                    if (!std::exchange(collected, true)) ASSERT_OK(stores.remove_first());
                                  }});
  ASSERT_OK(copied);
  EXPECT_THAT(generations_in(*stores.far), ElementsAre(1, 2));
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_sound(**there));
}

TEST_P(LevelCopierTest, ACheckpointThatIsRemovedMeanwhileDoesNotAppear) {
  bool removed = false;
  const auto copied = copier.copy(kFirst, {.progress = [&](const CopyProgress&) {
                                    if (!std::exchange(removed, true)) ASSERT_OK(stores.remove_first());
                                  }});
  ASSERT_FALSE(copied.ok());
  EXPECT_EQ(copied.error().code, ErrorCode::kNotFound) << copied.error().to_string();
  EXPECT_THAT(names_in(*stores.far, "manifests/"), SizeIs(0));
}

TEST_P(LevelCopierTest, AStopIsObeyedAndTheCopyGoesOnLater) {
  std::stop_source stop;
  const auto stopped = copier.copy(kSecond, {.stop = stop.get_token(), .progress = [&](const CopyProgress& progress) {
                                               if (progress.bytes_done * 2 > progress.bytes_total) stop.request_stop();
                                             }});
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kAborted);
  EXPECT_THAT(names_in(*stores.far, "manifests/"), SizeIs(0));
  const std::size_t before = names_in(*stores.far, "packs/").size();
  const auto copied = copier.copy(kSecond);
  ASSERT_OK(copied);
  EXPECT_EQ(copied->packs_copied, 2 - before);
}

// --- damage ----------------------------------------------------------------------------------------------------------

TEST_P(LevelCopierTest, DamageHereDoesNotSpread) {
  ASSERT_OK(stores.repository->load(kThird));
  const auto clean = clone_of(*stores.local.objects);
  for (const auto& name : names_in(*clean, "packs/")) {
    const std::size_t size = clean->get(name)->size();
    for (const std::size_t at : {std::size_t{20}, std::size_t{70}, size / 2, size - 60, size - 10}) {
      SCOPED_TRACE(name + " at " + std::to_string(at));
      const auto objects = clone_of(*clean);
      flip(*objects, name, at);
      const auto far = std::make_shared<MemoryStore>();
      const auto damaged = Repository::open({make_memory_backend(objects), stores.local.keys, make_process_gate()});
      ASSERT_OK(damaged);
      const auto backend = make_memory_backend(far);
      LevelCopier copier_of_damaged(**damaged, *backend);
      int failed = 0;
      for (const auto& id : {kFirst, kSecond, kThird}) {
        const auto copied = copier_of_damaged.copy(id);
        if (copied.ok()) continue;
        ++failed;
        EXPECT_EQ(copied.error().code, ErrorCode::kCorrupt) << copied.error().to_string();
      }
      EXPECT_GE(failed, 1);
      const auto there = Repository::open({make_memory_backend(far), stores.local.keys, make_process_gate()});
      ASSERT_OK(there);
      const auto list = (*there)->list();
      ASSERT_OK(list);
      EXPECT_EQ(list->size(), 3U - static_cast<unsigned>(failed));
      for (const auto& summary : *list) EXPECT_TRUE(expect_whole(**there, summary.head.checkpoint).ok());
    }
  }
}

TEST_P(LevelCopierTest, WhatIsCutShortThereIsWrittenAnew) {
  ASSERT_OK(copier.copy(kThird));
  const std::string pack = names_in(*stores.far, "packs/").front();
  auto bytes = *stores.far->get(pack);
  bytes.pop_back();
  stores.far->put(pack, std::make_shared<const std::vector<std::byte>>(std::move(bytes)), Overwrite::kYes);
  const std::string manifest = names_in(*stores.far, "manifests/").front();
  flip(*stores.far, manifest, 60);
  ASSERT_OK(copier.copy(kThird));
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_sound(**there));
}

// --- rate ------------------------------------------------------------------------------------------------------------

TEST_P(LevelCopierTest, TheRateIsHonoured) {
  const auto clock = std::make_shared<FakeClock>();
  const auto limited =
      make_limited_backend(make_memory_backend(stores.far), {.upload_rate = 10'000, .burst = 1'000, .clock = clock});
  LevelCopier slow(*stores.repository, *limited);
  const auto copied = slow.copy(kThird);
  ASSERT_OK(copied);
  const double seconds = std::chrono::duration<double>(clock->now()).count();
  EXPECT_GT(copied->bytes_copied, 80'000U);
  EXPECT_GE(seconds, (static_cast<double>(copied->bytes_copied) - 1'000) / 10'000);
  EXPECT_LE(seconds, (static_cast<double>(copied->bytes_copied) + 10'000) / 10'000);
}

TEST_P(LevelCopierTest, AStopEndsTheWaitForTheRate) {
  std::stop_source stop;
  const auto limited =
      make_limited_backend(make_memory_backend(stores.far), {.upload_rate = 1, .burst = 1, .stop = stop.get_token()});
  LevelCopier slow(*stores.repository, *limited);
  stop.request_stop();  // a steady clock: without the stop this would take a day
  const auto copied = slow.copy(kThird);
  ASSERT_FALSE(copied.ok());
  EXPECT_EQ(copied.error().code, ErrorCode::kAborted);
}

// --- key slots -------------------------------------------------------------------------------------------------------

struct KeyedStores {
  std::shared_ptr<MemoryStore> here = std::make_shared<MemoryStore>();
  std::shared_ptr<MemoryStore> far = std::make_shared<MemoryStore>();
  SecretKey key = SecretKey::random();

  [[nodiscard]] Result<std::unique_ptr<Repository>> open(const std::shared_ptr<MemoryStore>& store) const {
    return open_repository({make_memory_backend(store), make_process_gate()},
                           [&]() -> Result<Credential> { return Credential(key); });
  }
};

TEST(LevelKeysTest, TheCopyOpensWithTheSameKeyAlsoAfterARotation) {
  KeyedStores stores;
  const auto made =
      create_repository({make_memory_backend(stores.here), make_process_gate()}, Credential(stores.key), {});
  ASSERT_OK(made);
  ASSERT_OK(commit(**made, kFirst));
  const auto to = make_memory_backend(stores.far);
  ASSERT_OK(LevelCopier(**made, *to).copy(kFirst));
  auto there = stores.open(stores.far);
  ASSERT_OK(there);
  ASSERT_OK(expect_whole(**there, kFirst));

  // The slot is resealed with another generation of keys.
  const auto here = make_memory_backend(stores.here);
  const auto descriptor = read_descriptor(*here);
  ASSERT_OK(descriptor);
  const auto slots = load_slots(*here, descriptor->id);
  ASSERT_OK(slots);
  const auto unlocked = unlock(slots->slots, Credential(stores.key));
  ASSERT_OK(unlocked);
  const std::vector<Credential> credentials = {Credential(stores.key)};
  const auto rotation = rotate(slots->slots, unlocked->keys, credentials);
  ASSERT_OK(rotation);
  for (const auto& slot : rotation->resealed) ASSERT_OK(store_slot(*here, slot));
  const auto rotated = stores.open(stores.here);
  ASSERT_OK(rotated);
  ASSERT_OK(commit(**rotated, kThird));
  ASSERT_OK(LevelCopier(**rotated, *to).copy(kThird));
  there = stores.open(stores.far);
  ASSERT_OK(there);
  ASSERT_OK(expect_whole(**there, kThird));

  // An older slot does not take the place of a newer one.
  for (const auto& slot : slots->slots) ASSERT_OK(store_slot(*here, slot));
  ASSERT_OK(LevelCopier(**rotated, *to).prepare());
  there = stores.open(stores.far);
  ASSERT_OK(there);
  ASSERT_OK(expect_whole(**there, kThird));
}

// Two stores that rewrite one pack would have different bytes under one name.
TEST(LevelCopier, NoPackOfACopyIsRewritten) {
  const TwoStores stores;
  {
    const auto backend = make_memory_backend(stores.far);
    LevelCopier to_far(*stores.repository, *backend);
    for (const auto& id : {kFirst, kSecond}) ASSERT_OK(to_far.copy(id));
  }
  const auto far = stores.open_far();
  ASSERT_OK(far);
  ASSERT_OK((*far)->remove(kFirst));
  const auto there = (*far)->collect({.max_garbage = 0});
  ASSERT_OK(there);
  EXPECT_EQ(there->packs_written, 0U);
  // Here, in the first one's own repository, the same removal does rewrite.
  ASSERT_OK(stores.repository->remove(kFirst));
  const auto here = stores.repository->collect({.max_garbage = 0});
  ASSERT_OK(here);
  EXPECT_GT(here->packs_written, 0U);
  const auto backend = make_memory_backend(stores.far);
  ASSERT_OK(LevelCopier(*stores.repository, *backend).copy(kSecond));
  ASSERT_OK(expect_whole(**far, kSecond));
  ASSERT_OK(expect_sound(**far));
}

}  // namespace
}  // namespace cacs::repository
