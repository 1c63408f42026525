#include "repository/levels/levels.h"

#include <gmock/gmock.h>

#include "repository/backend/faulty_backend.h"
#include "repository/keys/key_file.h"
#include "repository/levels/test_support.h"
#include "repository/unlock.h"

namespace cacs::repository {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// Both stores have all three checkpoints.
class LevelsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const auto& id : {kFirst, kSecond, kThird}) ASSERT_OK(levels->copy(id));
  }

  /// A process that has `near` and the far store for its levels.
  struct Reader {
    std::unique_ptr<Repository> repository;
    std::shared_ptr<RemoteLevel> remote;
  };
  Result<Reader> reader_of(const std::shared_ptr<MemoryStore>& near, std::optional<RemotePlace> place = {}) const {
    Reader reader;
    CACS_ASSIGN(reader.repository,
                Repository::open({make_memory_backend(near), stores.local.keys, make_process_gate()}));
    reader.remote = std::make_shared<RemoteLevel>(reader.repository->core(), place ? *place : stores.place());
    reader.repository->set_further(reader.remote);
    return reader;
  }
  static Status expect_all(Repository& repository) {
    for (const auto& id : {kFirst, kSecond, kThird}) CACS_TRY(expect_whole(repository, id));
    return {};
  }

  TwoStores stores;
  std::shared_ptr<RemoteLevel> remote = std::make_shared<RemoteLevel>(stores.repository->core(), stores.place());
  std::unique_ptr<Levels> levels = std::make_unique<Levels>(*stores.repository, remote);
};

// --- extending -------------------------------------------------------------------------------------------------------

/// A piece with one more entry for a checkpoint.
Result<std::string> more(Repository& repository) {
  CACS_ASSIGN(auto writer, repository.begin("pod-1"));
  CACS_ASSIGN(const BlobRef blob, put_text(*writer, random_bytes(50'000, 77), StreamKind::kFile));
  return writer->finish_piece({{"pod-1/more", blob}}, {{"what", "more"}});
}

TEST_F(LevelsTest, WhatIsExtendedIsNotAtTheRemoteLevelUntilItIsCopiedAgain) {
  const auto piece = more(*stores.repository);
  ASSERT_OK(piece);
  ASSERT_OK(levels->extend(kSecond, {*piece}, {{"pods", 2}}));
  EXPECT_THAT(*levels->levels_of(kSecond), ElementsAre("local"));
  EXPECT_THAT(levels->outstanding([](const Manifest&) { return true; })->copies, ElementsAre(kSecond));
  EXPECT_THAT(*stores.repository->list_pieces(), IsEmpty());
  ASSERT_OK(levels->extend(kSecond, {*piece}, {{"pods", 2}}));  // an answer that was lost
  ASSERT_OK(levels->copy(kSecond));
  EXPECT_THAT(*levels->levels_of(kSecond), ElementsAre("local", "remote"));
  const auto far = stores.open_far();
  ASSERT_OK(far);
  const auto there = (*far)->load(kSecond);
  ASSERT_OK(there);
  EXPECT_EQ(there->entries.size(), contents_of(kSecond).size() + 1);
  EXPECT_EQ(there->meta.at("pods"), 2);
  EXPECT_EQ(there->pieces.back().label, "pod-1");
  const auto checked = (*far)->check(true);
  ASSERT_OK(checked);
  EXPECT_THAT(checked->problems, IsEmpty());
  EXPECT_EQ((*stores.repository->list_brief()).size(), 3U);
}

TEST_F(LevelsTest, WhatIsExtendedWhileItIsCopiedDoesNotCountAsCopied) {
  const auto piece = more(*stores.repository);
  ASSERT_OK(piece);
  auto place = stores.place("memory:other");
  auto other = std::make_shared<MemoryStore>();
  place.connect = [other]() -> Result<std::unique_ptr<Backend>> { return make_memory_backend(other); };
  Levels to_other(*stores.repository, std::make_shared<RemoteLevel>(stores.repository->core(), place));
  bool extended = false;
  const auto copied = to_other.copy(kFirst, {.progress = [&](const CopyProgress&) {
                                      if (std::exchange(extended, true)) return;
                                      EXPECT_TRUE(to_other.extend(kFirst, {*piece}, {}).ok());
                                    }});
  ASSERT_TRUE(extended);
  ASSERT_FALSE(copied.ok());
  EXPECT_EQ(copied.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(names_in(*other, "manifests/"), IsEmpty()) << "a manifest whose packs were not looked for";
  EXPECT_THAT(*to_other.levels_of(kFirst), ElementsAre("local"));
  ASSERT_OK(to_other.copy(kFirst));
  EXPECT_THAT(*to_other.levels_of(kFirst), ElementsAre("local", "remote"));
}

TEST_F(LevelsTest, WhatIsRemovedIsNotExtended) {
  const auto piece = more(*stores.repository);
  ASSERT_OK(piece);
  ASSERT_OK(levels->remove(kThird));
  const Status extended = levels->extend(kThird, {*piece}, {});
  ASSERT_FALSE(extended.ok());
  EXPECT_EQ(extended.error().code, ErrorCode::kNotFound);
}

// --- reading ---------------------------------------------------------------------------------------------------------

TEST_F(LevelsTest, EveryPackThatIsMissingHereComesFromThere) {
  for (const auto& name : names_in(*stores.local.objects, "packs/")) {
    SCOPED_TRACE(name);
    const auto near = clone_of(*stores.local.objects);
    near->remove(name);
    const auto reader = reader_of(near);
    ASSERT_OK(reader);
    ASSERT_OK(expect_all(*reader->repository));
    // Without the further level this is a loss, so the test above is none of its own making.
    const auto alone = Repository::open({make_memory_backend(near), stores.local.keys, make_process_gate()});
    ASSERT_OK(alone);
    EXPECT_FALSE(expect_all(**alone).ok());
  }
}

TEST_F(LevelsTest, WhateverIsDamagedHereComesFromThere) {
  for (const auto& name : names_in(*stores.local.objects, "packs/")) {
    const std::size_t size = stores.local.objects->get(name)->size();
    for (std::size_t at = 3; at < size; at += size / 40) {
      SCOPED_TRACE(name + " at " + std::to_string(at));
      const auto near = clone_of(*stores.local.objects);
      flip(*near, name, at);
      const auto reader = reader_of(near);
      ASSERT_OK(reader);
      ASSERT_OK(expect_all(*reader->repository));
    }
  }
}

TEST_F(LevelsTest, WhatIsDamagedHereIsInQuarantineHere) {
  const std::string pack = names_in(*stores.local.objects, "packs/").back();
  const auto near = clone_of(*stores.local.objects);
  flip(*near, pack, 100);
  const auto reader = reader_of(near);
  ASSERT_OK(reader);
  ASSERT_OK(expect_all(*reader->repository));
  EXPECT_EQ(reader->repository->quarantines(), 1U);
  EXPECT_THAT(names_in(*near, "damaged/"), SizeIs(1));
  EXPECT_THAT(names_in(*stores.far, "damaged/"), IsEmpty());
}

TEST_F(LevelsTest, AManifestThatIsMissingOrDamagedHereComesFromThere) {
  for (const auto& name : names_in(*stores.local.objects, "manifests/")) {
    for (const bool missing : {true, false}) {
      const auto near = clone_of(*stores.local.objects);
      if (missing) near->remove(name);
      if (!missing) flip(*near, name, 60);
      const auto reader = reader_of(near);
      ASSERT_OK(reader);
      ASSERT_OK(expect_all(*reader->repository));
    }
  }
}

/// Two generations: what is here has not all that what is there has.
TEST_F(LevelsTest, WhatACollectionTookHereIsReadThere) {
  ASSERT_OK(stores.remove_first());
  const auto reader = reader_of(stores.local.objects);
  ASSERT_OK(reader);
  ASSERT_OK(expect_all(*reader->repository));
}

TEST_F(LevelsTest, AStoreThatIsEmptyButForWhatItIsReadsEverythingFromThere) {
  const auto near = std::make_shared<MemoryStore>();
  near->put("repository", stores.local.objects->get("repository"), Overwrite::kNo);
  const auto reader = reader_of(near);
  ASSERT_OK(reader);
  ASSERT_OK(expect_all(*reader->repository));
  // And new checkpoints are stored here, whole.
  const std::string next = "01900000-0000-7000-8000-000000000009";
  ASSERT_OK(commit(*reader->repository, next));
  const auto alone = Repository::open({make_memory_backend(near), stores.local.keys, make_process_gate()});
  ASSERT_OK(alone);
  ASSERT_OK(expect_whole(**alone, next));
  ASSERT_OK(expect_sound(**alone));
}

TEST_F(LevelsTest, NothingIsWrittenThereByReading) {
  const auto before = clone_of(*stores.far);
  const auto near = std::make_shared<MemoryStore>();
  near->put("repository", stores.local.objects->get("repository"), Overwrite::kNo);
  const auto reader = reader_of(near);
  ASSERT_OK(reader);
  ASSERT_OK(expect_all(*reader->repository));
  ASSERT_EQ(names_in(*before), names_in(*stores.far));
  for (const auto& name : names_in(*before)) EXPECT_EQ(before->get(name), stores.far->get(name));
}

TEST_F(LevelsTest, ALevelThatDoesNotAnswerMakesALossUnavailableNotCorrupt) {
  const RemotePlace away{.connect = []() -> Result<std::unique_ptr<Backend>> {
                           return make_error(ErrorCode::kUnavailable, "it does not answer");
                         },
                         .name = "away"};
  const auto near = clone_of(*stores.local.objects);
  near->remove(names_in(*near, "packs/").back());
  const auto reader = reader_of(near, away);
  ASSERT_OK(reader);
  const auto status = expect_all(*reader->repository);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kUnavailable) << status.error().to_string();
  // What is here needs no answer.
  ASSERT_OK(expect_whole(*reader->repository, kFirst));
}

TEST_F(LevelsTest, DamageAtBothLevelsIsCorrupt) {
  const std::string pack = names_in(*stores.local.objects, "packs/").back();
  const auto near = clone_of(*stores.local.objects);
  flip(*near, pack, 100);
  flip(*stores.far, pack, 100);
  const auto reader = reader_of(near);
  ASSERT_OK(reader);
  const auto status = expect_all(*reader->repository);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt) << status.error().to_string();
}

TEST_F(LevelsTest, AnotherRepositoryThereServesNothing) {
  auto other = std::make_shared<MemoryStore>();
  ASSERT_OK(Repository::create({make_memory_backend(other), stores.local.keys, make_process_gate()}));
  const RemotePlace place{.connect = [&]() -> Result<std::unique_ptr<Backend>> { return make_memory_backend(other); },
                          .name = "other"};
  const auto near = clone_of(*stores.local.objects);
  near->remove(names_in(*near, "packs/").back());
  const auto reader = reader_of(near, place);
  ASSERT_OK(reader);
  EXPECT_FALSE(expect_all(*reader->repository).ok());
}

// --- records ---------------------------------------------------------------------------------------------------------

TEST_F(LevelsTest, LevelsAreNotedAndKeptForAnotherProcess) {
  Levels other(*stores.repository, remote);
  for (Levels* each : {levels.get(), &other}) {
    const auto reached = each->levels_of(kFirst);
    ASSERT_OK(reached);
    EXPECT_THAT(*reached, ElementsAre("local", "remote"));
  }
  // Another place has not been reached.
  Levels elsewhere(*stores.repository,
                   std::make_shared<RemoteLevel>(stores.repository->core(), stores.place("memory:another")));
  const auto reached = elsewhere.levels_of(kFirst);
  ASSERT_OK(reached);
  EXPECT_THAT(*reached, ElementsAre("local"));
  const auto work = elsewhere.outstanding([](const Manifest&) { return true; });
  ASSERT_OK(work);
  EXPECT_THAT(work->copies, ElementsAre(kFirst, kSecond, kThird));
}

TEST_F(LevelsTest, WhatAByteCostsOnItsWayCountsInItsCompression) {
  EXPECT_EQ(stores.repository->compression().further_upload_seconds_per_byte(), 0) << "too little was sent";
  auto writer = stores.repository->begin("large");
  ASSERT_OK(writer);
  constexpr std::size_t kBytes = 2 << 20U;
  const auto blob = put_text(**writer, random_bytes(kBytes, 9));
  ASSERT_OK(blob);
  const std::string id = new_uuid();
  ASSERT_OK((*writer)->commit({.checkpoint = id, .application = "large", .entries = {{.name = "m", .blob = *blob}}}));
  ASSERT_OK(levels->copy(id));
  EXPECT_GT(stores.repository->compression().further_upload_seconds_per_byte(), 0);
}

TEST_F(LevelsTest, OnlyWhatIsWantedIsOutstanding) {
  const std::string wanted = "01900000-0000-7000-8000-00000000000a";
  const std::string unwanted = "01900000-0000-7000-8000-00000000000b";
  ASSERT_OK(commit(*stores.repository, wanted, "", {{"far", true}}));
  ASSERT_OK(commit(*stores.repository, unwanted));
  const auto work = levels->outstanding([](const Manifest& head) { return json_bool_or(head.meta, "far", false); });
  ASSERT_OK(work);
  EXPECT_THAT(work->copies, ElementsAre(wanted));
  EXPECT_THAT(work->removals, IsEmpty());
}

TEST_F(LevelsTest, ARemovalTakesBothLevels) {
  ASSERT_OK(levels->remove(kFirst));
  const auto reached = levels->levels_of(kFirst);
  ASSERT_OK(reached);
  EXPECT_THAT(*reached, IsEmpty());
  EXPECT_THAT(names_in(*stores.far, "manifests/"), SizeIs(3));
  // Not even reading brings it back.
  const auto reader = reader_of(stores.local.objects);
  ASSERT_OK(reader);
  const auto loaded = reader->repository->load(kFirst);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, ErrorCode::kNotFound);
  const auto work = levels->outstanding([](const Manifest&) { return true; });
  ASSERT_OK(work);
  EXPECT_THAT(work->removals, ElementsAre(kFirst));
  EXPECT_FALSE(levels->copy(kFirst).ok());

  ASSERT_OK(levels->finish_removal(kFirst));
  ASSERT_OK(levels->finish_removal(kFirst));
  EXPECT_THAT(names_in(*stores.far, "manifests/"), SizeIs(2));
  EXPECT_THAT(names_in(*stores.local.objects, "levels/"), SizeIs(2));
  EXPECT_EQ(stores.repository->load(kFirst).error().code, ErrorCode::kNotFound);
}

TEST_F(LevelsTest, ARemovalWithoutTheFarLevelIsFinishedWhenItIsBack) {
  Levels alone(*stores.repository, nullptr);
  ASSERT_OK(alone.remove(kSecond));
  EXPECT_EQ(alone.finish_removal(kSecond).error().code, ErrorCode::kUnsupported);
  const auto work = levels->outstanding([](const Manifest&) { return true; });
  ASSERT_OK(work);
  EXPECT_THAT(work->removals, ElementsAre(kSecond));
  ASSERT_OK(levels->finish_removal(kSecond));
  EXPECT_THAT(names_in(*stores.far, "manifests/"), SizeIs(2));
}

TEST_F(LevelsTest, ADamagedRecordIsNoneAndIsWrittenAnew) {
  for (const auto& name : names_in(*stores.local.objects, "levels/")) flip(*stores.local.objects, name, 60);
  const auto reached = levels->levels_of(kThird);
  ASSERT_OK(reached);
  EXPECT_THAT(*reached, ElementsAre("local"));
  const auto copied = levels->copy(kThird);
  ASSERT_OK(copied);
  EXPECT_EQ(copied->packs_copied, 0U);
  EXPECT_THAT(*levels->levels_of(kThird), ElementsAre("local", "remote"));
}

TEST(LevelRecordTest, RecordsSurviveTheWayThroughJsonAndOthersAreRefused) {
  const LevelRecord record{.checkpoint = kFirst,
                           .removing = true,
                           .reached = {{.level = "remote", .place = "s3://b/p", .reached_at = "2026-11-21T12:00:00Z"}}};
  const auto again = level_record_from_json(level_record_to_json(record));
  ASSERT_OK(again);
  EXPECT_EQ(*again, record);
  EXPECT_FALSE(level_record_from_json({}).ok());
  EXPECT_FALSE(level_record_from_json({{"checkpoint", kFirst}}).ok());
  EXPECT_FALSE(level_record_from_json({{"checkpoint", "x"}, {"reached", JsonArray{}}}).ok());
  EXPECT_FALSE(level_record_from_json({{"checkpoint", kFirst}, {"reached", JsonArray{1}}}).ok());
}

std::vector<std::string> ids_of(const Result<std::vector<Summary>>& list) {
  std::vector<std::string> ids;
  if (!list) return {list.error().to_string()};
  for (const auto& summary : *list) ids.push_back(summary.head.checkpoint);
  return ids;
}

TEST_F(LevelsTest, TheListHasTheCheckpointsOfBothLevelsButNotThoseBeingRemoved) {
  ASSERT_OK(stores.repository->remove(kFirst));  // behind the levels' back: it is still there
  EXPECT_THAT(ids_of(levels->list()), ElementsAre(kFirst, kSecond, kThird));
  EXPECT_THAT(*levels->levels_of(kFirst), ElementsAre("remote"));
  ASSERT_OK(levels->remove(kFirst));
  ASSERT_OK(levels->remove(kThird));
  EXPECT_THAT(ids_of(levels->list()), ElementsAre(kSecond));
}

TEST_F(LevelsTest, AListWithoutTheFarLevelIsAnErrorOnlyWhereItMayMissSomething) {
  const RemotePlace away{.connect = []() -> Result<std::unique_ptr<Backend>> {
                           return make_error(ErrorCode::kUnavailable, "it does not answer");
                         },
                         .name = "away"};
  Levels without(*stores.repository, std::make_shared<RemoteLevel>(stores.repository->core(), away));
  EXPECT_THAT(ids_of(without.list()), ElementsAre(kFirst, kSecond, kThird));
  stores.local.objects->put(std::string(kTakenUpName), std::make_shared<const std::vector<std::byte>>(),
                            Overwrite::kNo);
  const auto list = without.list();
  ASSERT_FALSE(list.ok());
  EXPECT_EQ(list.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(ids_of(levels->list()), ElementsAre(kFirst, kSecond, kThird));
  const auto work = levels->outstanding([](const Manifest&) { return true; });
  ASSERT_OK(work);
  EXPECT_THAT(work->copies, IsEmpty());
}

// --- collection ------------------------------------------------------------------------------------------------------

TEST_F(LevelsTest, ACollectionThereRemovesWholePacksOnly) {
  ASSERT_OK(levels->remove(kFirst));
  ASSERT_OK(levels->finish_removal(kFirst));
  const auto kept = levels->collect_remote();  // the second shares the pack of the first
  ASSERT_OK(kept);
  EXPECT_EQ(kept->packs_removed, 0U);
  EXPECT_EQ(kept->packs_written, 0U);
  EXPECT_GT(kept->bytes_garbage, 0U);
  ASSERT_OK(levels->remove(kThird));
  ASSERT_OK(levels->finish_removal(kThird));
  const auto collected = levels->collect_remote();
  ASSERT_OK(collected);
  EXPECT_EQ(collected->packs_removed, 1U);
  EXPECT_EQ(collected->packs_written, 0U);
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_sound(**there));
  ASSERT_OK(expect_whole(**there, kSecond));
}

TEST_F(LevelsTest, WhatWasCollectedThereIsCopiedAnew) {
  ASSERT_OK(LevelCopier(*stores.repository, **remote->store()).remove(kThird));
  ASSERT_EQ(levels->collect_remote()->packs_removed, 1U);
  const auto copied = levels->copy(kThird);
  ASSERT_OK(copied);
  EXPECT_EQ(copied->packs_copied, 1U);
  const auto there = stores.open_far();
  ASSERT_OK(there);
  ASSERT_OK(expect_whole(**there, kThird));
}

TEST_F(LevelsTest, NothingIsCollectedWhereListingsMayBeLate) {
  const RemotePlace late{.connect = [far = stores.far]() -> Result<std::unique_ptr<Backend>> {
                           return std::unique_ptr<Backend>(
                               std::make_unique<FaultyBackend>(make_memory_backend(far), 1, Faults{.late_listing = 9}));
                         },
                         .name = "late"};
  Levels careful(*stores.repository, std::make_shared<RemoteLevel>(stores.repository->core(), late));
  const auto collected = careful.collect_remote();
  ASSERT_FALSE(collected.ok());
  EXPECT_EQ(collected.error().code, ErrorCode::kUnsupported);
}

// --- adoption --------------------------------------------------------------------------------------------------------

TEST(AdoptTest, ADirectoryThatWasLostIsTakenUpFromTheRemoteLevelWithItsKey) {
  const TemporaryDirectory directory;
  const auto place = directory.path() / "repository";
  const auto key_file = directory.path() / "repository.key";
  const auto far = std::make_shared<MemoryStore>();
  {
    const auto local = open_or_create_local(place, key_file);
    ASSERT_OK(local);
    ASSERT_OK(commit(**local, kFirst));
    const auto to = make_memory_backend(far);
    ASSERT_OK(LevelCopier(**local, *to).copy(kFirst));
  }
  std::filesystem::remove_all(place);
  const auto credential = [&]() -> Result<Credential> {
    CACS_ASSIGN(const SecretKey key, read_key_file(key_file));
    return Credential(key);
  };
  const std::shared_ptr<Backend> remote = make_memory_backend(far);
  // Another key does not take it up, and writes nothing.
  const auto near = std::make_shared<MemoryStore>();
  const auto near_backend = make_memory_backend(near);
  const auto refused =
      adopt_repository(*near_backend, remote, []() -> Result<Credential> { return Credential(SecretKey::random()); });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(names_in(*near), IsEmpty());

  {
    auto local = local_place(place);
    ASSERT_OK(local);
    ASSERT_OK(adopt_repository(*local->backend, remote, credential));
    ASSERT_OK(adopt_repository(*local->backend, remote, credential));
  }
  const auto local = open_or_create_local(place, key_file);
  ASSERT_OK(local);
  EXPECT_EQ(read_descriptor(*remote)->id, read_descriptor((*local)->core().backend())->id);
  (*local)->set_further(std::make_shared<RemoteLevel>(
      (*local)->core(),
      RemotePlace{.connect = [&]() -> Result<std::unique_ptr<Backend>> { return make_memory_backend(far); },
                  .name = "far"}));
  ASSERT_OK(expect_whole(**local, kFirst));
  Levels levels(**local, nullptr);
  EXPECT_THAT(*levels.levels_of(kFirst), IsEmpty());
}

TEST(AdoptTest, NothingThereIsNothingToTakeUp) {
  const auto near = std::make_shared<MemoryStore>();
  const auto backend = make_memory_backend(near);
  const std::shared_ptr<Backend> remote = make_memory_backend(std::make_shared<MemoryStore>());
  ASSERT_OK(adopt_repository(*backend, remote, []() -> Result<Credential> { return Credential(SecretKey::random()); }));
  EXPECT_THAT(names_in(*near), IsEmpty());
}

}  // namespace
}  // namespace cacs::repository
