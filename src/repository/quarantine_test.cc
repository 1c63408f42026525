// A chunk that was found damaged is stored anew by the next session that needs it, also when the finder crashed.

#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/backend/forgetful_storage.h"
#include "repository/repository.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

using Crash = ForgetfulDisk::Crash;

const std::string kOld = "01900000-0000-7000-8000-000000000001";
const std::string kNew = "01900000-0000-7000-8000-000000000002";
const std::string kNewest = "01900000-0000-7000-8000-000000000003";

const std::string& memory() {
  static const std::string kBytes = random_bytes(std::size_t{64} * 4096, 7);
  return kBytes;
}

Status commit(Repository& repository, const std::string& id) {
  CACS_ASSIGN(auto writer, repository.begin("test"));
  CACS_ASSIGN(const BlobRef blob, put_text(*writer, memory(), StreamKind::kMemory));
  CACS_TRY(writer->commit({.checkpoint = id, .application = "app", .entries = {{"memory", blob}}}));
  return {};
}

class QuarantineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    disk_ = std::make_shared<ForgetfulDisk>();
    ASSERT_OK(Repository::create(disk_->mount(disk_)));
    auto repository = open();
    ASSERT_OK(commit(*repository, kOld));
    damage(20);
  }

  std::unique_ptr<Repository> open() {
    auto repository = Repository::open(disk_->mount(disk_));
    EXPECT_TRUE(repository.ok()) << repository.error().to_string();
    return repository ? *std::move(repository) : nullptr;
  }

  /// Flips a bit of the page in every pack that holds it now.
  void damage(std::size_t page) {
    const std::string bytes = memory().substr(page * 4096, 64);
    for (const auto& name : disk_->file_names()) {
      const auto at = disk_->contents(name).find(bytes);
      if (at != std::string::npos) disk_->contents(name)[at + 9] ^= 16;
    }
  }

  [[nodiscard]] std::size_t quarantines() const {
    const auto names = disk_->file_names();
    return static_cast<std::size_t>(
        std::ranges::count_if(names, [](const auto& name) { return name.starts_with("damaged/"); }));
  }

  std::shared_ptr<ForgetfulDisk> disk_;
};

TEST_F(QuarantineTest, ADamagedChunkIsStoredAnewAndHealsTheOldCheckpointToo) {
  auto repository = open();
  EXPECT_EQ(repository->verify(kOld).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(quarantines(), 1U);
  EXPECT_EQ(repository->quarantines(), 1U);
  // What is known is known to the next process as well.
  repository.reset();
  disk_->crash(Crash::kLoseAll, 0);
  repository = open();
  const auto blob = repository->load(kOld)->entries.at(0).blob;
  {
    auto writer = repository->begin("reuse");
    ASSERT_OK(writer);
    EXPECT_EQ((*writer)->reuse(blob).error().code, ErrorCode::kNotFound) << "a damaged blob must not be built on";
  }
  ASSERT_OK(commit(*repository, kNew));
  ASSERT_OK(repository->verify(kNew));
  ASSERT_OK(repository->verify(kOld));
  // One page, its list's header and a pack's frame: not all 64 pages.
  EXPECT_LT(repository->load(kNew)->stored_bytes, 3U * 4096);
}

TEST_F(QuarantineTest, ItGoesWithItsPack) {
  auto repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());
  ASSERT_OK(commit(*repository, kNew));
  ASSERT_OK(repository->remove(kOld));
  ASSERT_OK(repository->collect({.max_garbage = 0}));
  EXPECT_EQ(quarantines(), 0U);
  ASSERT_OK(repository->verify(kNew));
  const auto checked = repository->check(true);
  ASSERT_OK(checked);
  EXPECT_TRUE(checked->problems.empty());
}

TEST_F(QuarantineTest, WhileNothingReplacesItItStaysAndStopsNoCollection) {
  auto repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());
  const auto collected = repository->collect({.max_garbage = 0});
  ASSERT_OK(collected);
  EXPECT_EQ(collected->packs_removed, 0U);
  EXPECT_EQ(quarantines(), 1U);
  EXPECT_EQ(repository->verify(kOld).error().code, ErrorCode::kCorrupt);
}

TEST_F(QuarantineTest, ACheckFindsAllOfIt) {
  damage(40);
  auto repository = open();
  const auto checked = repository->check(true);
  ASSERT_OK(checked);
  EXPECT_EQ(checked->problems.size(), 2U);
  EXPECT_EQ(quarantines(), 1U);
  ASSERT_OK(commit(*repository, kNew));
  ASSERT_OK(repository->verify(kNew));
}

TEST_F(QuarantineTest, AnUnreadableQuarantineIsNoObstacle) {
  auto repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());
  for (const auto& name : disk_->file_names()) {
    if (name.starts_with("damaged/")) disk_->contents(name)[50] ^= 1;
  }
  repository = open();
  EXPECT_FALSE(repository->verify(kOld).ok());  // found again
  ASSERT_OK(commit(*repository, kNew));
  ASSERT_OK(repository->verify(kNew));
}

/// What is done with a damaged checkpoint: it is found, a new one is made, both of other processes' making, the old one
/// goes.
Status live(const std::shared_ptr<ForgetfulDisk>& disk, std::vector<std::string>& committed) {
  CACS_ASSIGN(auto repository, Repository::open(disk->mount(disk)));
  if (repository->verify(kOld).ok()) return make_error(ErrorCode::kInternal, "the damage was not found");
  if (repository->quarantines() == 0) return make_error(ErrorCode::kIo, "the quarantine was not written");
  CACS_TRY(commit(*repository, kNew));
  committed.push_back(kNew);
  CACS_TRY(repository->collect({.max_garbage = 0}));
  CACS_ASSIGN(repository, Repository::open(disk->mount(disk)));
  CACS_TRY(commit(*repository, kNewest));
  committed.push_back(kNewest);
  CACS_TRY(repository->remove(kOld));
  CACS_TRY(repository->collect({.max_garbage = 0}));
  return {};
}

TEST_F(QuarantineTest, ACrashAnywhereLosesNothingThatWasCommittedAfterIt) {
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
      auto repository = Repository::open(disk->mount(disk));
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
