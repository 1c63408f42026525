// What was found damaged is stored anew by the next session that needs it, also when the finder crashed.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/forgetful_storage.h"
#include "repository/core.h"
#include "repository/layout.h"
#include "repository/page_ingest.h"
#include "repository/repository.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

using Crash = ForgetfulDisk::Crash;
using Disk = std::shared_ptr<ForgetfulDisk>;

const std::string kOld = "01900000-0000-7000-8000-000000000001";
const std::string kNew = "01900000-0000-7000-8000-000000000002";
const std::string kNewest = "01900000-0000-7000-8000-000000000003";
const std::string kSecond = "01900000-0000-7000-8000-000000000004";
constexpr std::size_t kPages = 192;  ///< three segments

std::string memory() { return random_bytes(kPages * kPageBytes, 7); }

/// Unsealed, so that pages can be found on the disk.
Place place_on(const Disk& disk) {
  return {make_file_backend(disk->mount(disk)), test_keys(Sealing::kNone), make_process_gate()};
}

/// `parent`: a checkpoint whose memory is the parent, or "".
Status commit(Repository& repository, const std::string& id, const std::string& parent = "",
              const std::string& bytes = memory()) {
  std::optional<BlobRef> before;
  if (!parent.empty()) {
    CACS_ASSIGN(const Manifest manifest, repository.load(parent));
    before = manifest.entries.at(0).blob;
  }
  CACS_ASSIGN(auto writer, repository.begin("test"));
  CACS_ASSIGN(const BlobRef blob, put_text(*writer, bytes, StreamKind::kMemory, before ? &*before : nullptr));
  return writer->commit({.checkpoint = id, .application = "app", .entries = {{"memory", blob}}});
}

class QuarantineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    level_ = spdlog::get_level();
    spdlog::set_level(spdlog::level::off);
    ASSERT_OK(Repository::create(place_on(disk_)));
    auto repository = open();
    ASSERT_NE(repository, nullptr);
    ASSERT_OK(commit(*repository, kOld));
  }
  void TearDown() override { spdlog::set_level(level_); }

  std::unique_ptr<Repository> open() {
    auto repository = Repository::open(place_on(disk_));
    EXPECT_TRUE(repository.ok()) << repository.error().to_string();
    return repository ? *std::move(repository) : nullptr;
  }

  /// Flips a bit of the page in every pack that holds it now, and with it spoils the segment that it is in.
  void damage_page(std::size_t page) {
    const std::string bytes = memory().substr(page * kPageBytes, 64);
    std::size_t hits = 0;
    for (const auto& name : disk_->file_names()) {
      const auto at = disk_->contents(name).find(bytes);
      if (at == std::string::npos) continue;
      disk_->contents(name)[at + 9] ^= 16;
      ++hits;
    }
    ASSERT_EQ(hits, 1U);
  }

  /// Flips a bit of the segment that holds the nodes of the checkpoint's page map.
  void damage_nodes(const std::string& checkpoint) {
    Core core(place_on(disk_));
    ASSERT_OK(core.store.refresh());
    ReadContext context(core.keys());
    const auto document = load_manifest_document(core, checkpoint);
    ASSERT_OK(document);
    const auto entries = load_entries(core, document->entries, document->entry_count);
    ASSERT_OK(entries);
    const auto map = open_page_map(core.store, context, entries->at(0).blob);
    ASSERT_OK(map);
    const auto pack = core.store.open(map->root.ref.pack);
    ASSERT_OK(pack);
    const auto& segment = (*pack)->table.segments().at(segment_of(map->root.ref.slot));
    disk_->contents((*pack)->name)[segment.offset + 5] ^= 1;
  }

  [[nodiscard]] std::size_t quarantines() const {
    const auto names = disk_->file_names();
    return static_cast<std::size_t>(
        std::ranges::count_if(names, [](const auto& name) { return name.starts_with(kDamagePrefix); }));
  }

  TemporaryDirectory directory_;
  Disk disk_ = std::make_shared<ForgetfulDisk>();
  spdlog::level::level_enum level_ = spdlog::level::info;
};

TEST_F(QuarantineTest, WhatIsDamagedIsStoredAnewAndHealsTheOldCheckpointToo) {
  damage_page(20);
  auto repository = open();
  const auto blob = repository->load(kOld)->entries.at(0).blob;
  const auto target = open_file(directory_.path() / "restored", O_RDWR | O_CREAT);
  ASSERT_OK(target);
  const Status restored = repository->restore_blob(blob, target->get());
  ASSERT_FALSE(restored.ok());
  EXPECT_EQ(restored.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(quarantines(), 1U);
  EXPECT_EQ(repository->quarantines(), 1U);
  // What is known is known to the next process as well, after a power loss too.
  repository.reset();
  disk_->crash(Crash::kLoseAll, 0);
  repository = open();
  {
    auto writer = repository->begin("reuse");
    ASSERT_OK(writer);
    EXPECT_EQ((*writer)->reuse(blob).error().code, ErrorCode::kNotFound) << "a damaged blob must not be built on";
  }
  ASSERT_OK(commit(*repository, kNew, kOld));
  ASSERT_OK(repository->verify(kNew));
  ASSERT_OK(repository->verify(kOld));
  EXPECT_EQ(*read_text(*repository, blob), memory());
  // The segment of 64 pages that the bit was in, a node and a pack's frame: not all pages.
  const auto stored = repository->load(kNew)->stored_bytes;
  EXPECT_GT(stored, 64 * kPageBytes);
  EXPECT_LT(stored, 65 * kPageBytes);
}

TEST_F(QuarantineTest, ItGoesWithItsPack) {
  damage_page(20);
  auto repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());
  ASSERT_OK(commit(*repository, kNew));
  ASSERT_OK(repository->remove(kOld));
  const auto collected = repository->collect({.max_garbage = 0});
  ASSERT_OK(collected);
  EXPECT_EQ(collected->problems.size(), 0U);  // what is damaged in the old pack is garbage
  ASSERT_OK(repository->verify(kNew));
  const auto checked = repository->check(true);
  ASSERT_OK(checked);
  EXPECT_TRUE(checked->problems.empty());
  ASSERT_OK(repository->remove(kNew));
  ASSERT_OK(repository->collect());
  EXPECT_EQ(quarantines(), 0U);
  EXPECT_EQ(disk_->file_names().size(), 1U);
}

TEST_F(QuarantineTest, WhileNothingReplacesItItStaysAndStopsNoCollection) {
  damage_page(20);
  auto repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());
  const auto before = disk_->file_names();
  ASSERT_OK(repository->collect({.max_garbage = 0}));
  EXPECT_EQ(disk_->file_names(), before);
  EXPECT_EQ(quarantines(), 1U);
  EXPECT_EQ(repository->verify(kOld).error().code, ErrorCode::kCorrupt);
}

TEST_F(QuarantineTest, ACheckFindsAllOfIt) {
  damage_page(20);
  damage_page(100);
  auto repository = open();
  const auto checked = repository->check(true);
  ASSERT_OK(checked);
  EXPECT_EQ(checked->problems.size(), 2U);
  EXPECT_EQ(quarantines(), 1U);
  ASSERT_OK(commit(*repository, kNew));
  ASSERT_OK(repository->verify(kNew));
  ASSERT_OK(repository->verify(kOld));
}

TEST_F(QuarantineTest, AnUnreadableQuarantineIsNoObstacle) {
  damage_page(20);
  auto repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());
  for (const auto& name : disk_->file_names()) {
    if (name.starts_with(kDamagePrefix)) disk_->contents(name)[50] ^= 1;
  }
  repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());  // found again
  ASSERT_OK(commit(*repository, kNew));
  ASSERT_OK(repository->verify(kNew));
  repository = open();
  ASSERT_OK(repository->verify(kOld));
}

TEST_F(QuarantineTest, ACheckNamesEveryCheckpointThatSharesWhatIsBroken) {
  auto repository = open();
  ASSERT_OK(commit(*repository, kSecond, kOld));
  damage_nodes(kOld);
  repository = open();
  const auto checked = repository->check(false);
  ASSERT_OK(checked);
  for (const auto& id : {kOld, kSecond}) {
    EXPECT_TRUE(std::ranges::any_of(checked->problems, [&](const Error& problem) {
      return problem.message.find(id) != std::string::npos;
    })) << id;
  }
}

TEST_F(QuarantineTest, AnUnreadableQuarantineGoesWithTheNextCollection) {
  damage_page(20);
  auto repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());
  ASSERT_EQ(quarantines(), 1U);
  for (const auto& name : disk_->file_names()) {
    if (name.starts_with(kDamagePrefix)) disk_->contents(name)[50] ^= 1;
  }
  repository = open();
  ASSERT_OK(repository->collect({}));
  EXPECT_EQ(quarantines(), 0U);
}

TEST_F(QuarantineTest, WhatAnotherProcessFindsInAKnownPackIsTakenIn) {
  damage_page(20);
  auto one = open();
  auto other = open();
  EXPECT_FALSE(one->verify(kOld).ok());
  ASSERT_OK(other->begin("takes it in"));
  damage_page(90);
  EXPECT_FALSE(one->verify(kOld).ok());
  const auto checked = one->check(true);  // finds the second too
  ASSERT_OK(checked);
  // Were the second slot still good for the other, its checkpoint would be damaged from the start.
  ASSERT_OK(commit(*other, kNew));
  ASSERT_OK(other->verify(kNew));
}

/// A version whose parent can only be read by another copy must not stand on the parent: the collector keeps what is
/// reached, not the copies by which it is read.
TEST_F(QuarantineTest, AVersionOfADamagedParentStandsOnItsOwn) {
  auto repository = open();
  std::string changed = memory();
  changed[5] ^= 1;
  ASSERT_OK(commit(*repository, kSecond, kOld, changed));  // shares all nodes but one, and the root, with kOld
  damage_nodes(kOld);
  repository = open();
  EXPECT_EQ(repository->verify(kSecond).error().code, ErrorCode::kCorrupt);
  ASSERT_OK(commit(*repository, kNew, "", changed));  // copies of the nodes
  ASSERT_OK(repository->verify(kSecond));
  changed[6] ^= 1;
  ASSERT_OK(commit(*repository, kNewest, kSecond, changed));
  ASSERT_OK(repository->remove(kOld));
  ASSERT_OK(repository->remove(kSecond));
  ASSERT_OK(repository->remove(kNew));
  ASSERT_OK(repository->collect({.max_garbage = 0}));
  repository = open();
  ASSERT_OK(repository->verify(kNewest));
  EXPECT_EQ(*read_text(*repository, repository->load(kNewest)->entries.at(0).blob), changed);
}

/// What is done with a damaged checkpoint: it is found, a new one is made, both of other processes' making, the old one
/// goes.
Status live(const Disk& disk, std::vector<std::string>& committed) {
  CACS_ASSIGN(auto repository, Repository::open(place_on(disk)));
  if (repository->verify(kOld).ok()) return make_error(ErrorCode::kInternal, "the damage was not found");
  if (repository->quarantines() == 0) return make_error(ErrorCode::kIo, "the quarantine was not written");
  CACS_TRY(commit(*repository, kNew));
  committed.push_back(kNew);
  CACS_TRY(repository->collect({.max_garbage = 0}));
  CACS_ASSIGN(repository, Repository::open(place_on(disk)));
  CACS_TRY(commit(*repository, kNewest, kNew));
  committed.push_back(kNewest);
  CACS_TRY(repository->remove(kOld));
  CACS_TRY(repository->collect({.max_garbage = 0}));
  return {};
}

TEST_F(QuarantineTest, ACrashAnywhereLosesNothingThatWasCommittedAfterIt) {
  damage_page(20);
  for (const Crash how : {Crash::kKeepAll, Crash::kLoseAll, Crash::kLoseSome}) {
    std::uint64_t at = 1;
    for (;; ++at) {
      SCOPED_TRACE("crash at operation " + std::to_string(at));
      const auto disk = disk_->clone();
      std::vector<std::string> committed;
      disk->fail_at(at, true);
      const Status lived = live(disk, committed);
      if (!disk->failed()) {
        ASSERT_OK(lived);
        break;
      }
      disk->crash(how, at);
      auto repository = Repository::open(place_on(disk));
      ASSERT_OK(repository);
      for (const auto& id : committed) ASSERT_OK((*repository)->verify(id));
      // Whatever was interrupted: the way from here to a sound checkpoint is the same.
      const auto list = (*repository)->list();
      ASSERT_OK(list);
      for (const auto& each : *list) {
        const Status verified = (*repository)->verify(each.head.checkpoint);
        EXPECT_TRUE(verified.ok() || each.head.checkpoint == kOld) << verified.error().to_string();
      }
      const std::string fresh = new_uuid();
      ASSERT_OK(commit(**repository, fresh));
      ASSERT_OK((*repository)->verify(fresh));
      ASSERT_OK((*repository)->collect({.max_garbage = 0}));
      ASSERT_OK((*repository)->verify(fresh));
      for (const auto& id : committed) ASSERT_OK((*repository)->verify(id));
    }
    EXPECT_GT(at, 25U);
  }
}

}  // namespace
}  // namespace cacs::repository
