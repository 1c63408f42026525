// Damages a small repository in every way there is of one kind, and reads everything: an error, or the right bytes.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/backend/forgetful_storage.h"
#include "repository/repository.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

const std::string kOld = "01900000-0000-7000-8000-000000000001";
const std::string kNew = "01900000-0000-7000-8000-000000000002";

class DamageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);  // thousands of damaged packs would each be a line
    disk_ = std::make_shared<ForgetfulDisk>();
    auto repository = Repository::create(disk_->mount(disk_));
    ASSERT_OK(repository);
    commit(**repository, kOld, {{"a", random_bytes(700, 1)}, {"text", std::string(600, 'x')}});
    commit(**repository, kNew, {{"a", random_bytes(700, 1)}, {"zeros", std::string(8192, '\0')}, {"b", "other"}});
    auto writer = (*repository)->begin("pod-0");
    ASSERT_OK(writer);
    const auto blob = put_text(**writer, "piece");
    auto piece = (*writer)->finish_piece({{"p", *blob}}, {{"pod", "pod-0"}});
    ASSERT_OK(piece);
    piece_ = *piece;
    // Both checkpoints read right before anything is damaged, and nothing is found amiss.
    EXPECT_EQ(read_all(), 3);
  }

  void commit(Repository& repository, const std::string& id, const std::map<std::string, std::string>& contents) {
    auto writer = repository.begin("test");
    ASSERT_OK(writer);
    Manifest manifest{.checkpoint = id, .tenant = "t", .application = "app-" + id, .incarnation = 2};
    manifest.meta = {{"k", id}};
    for (const auto& [name, bytes] : contents) manifest.entries.push_back({name, put_text(**writer, bytes).value()});
    ASSERT_OK((*writer)->commit(manifest));
    contents_[id] = contents;
  }

  /// Reads all there is from the disk as it is now, and fails the test on anything that is neither right nor an error.
  /// Returns how many of the three (checkpoints, piece) were read wholly.
  int read_all() {
    auto repository = Repository::open(disk_->mount(disk_));
    if (!repository) return 0;
    std::set<std::string> listed;
    auto list = (*repository)->list();
    EXPECT_TRUE(list.ok());
    for (const auto& summary : *list) {
      listed.insert(summary.head.checkpoint);
      EXPECT_TRUE(contents_.contains(summary.head.checkpoint));
      if (!summary.problem) {
        EXPECT_EQ(summary.head.application, "app-" + summary.head.checkpoint);
      }
    }
    EXPECT_EQ(listed.size(), 2U);
    int whole = 0;
    for (const auto& [id, contents] : contents_) whole += read_checkpoint(**repository, id, contents) ? 1 : 0;
    auto piece = (*repository)->load_piece(piece_);
    if (piece) {
      EXPECT_EQ(piece->info.label, "pod-0");
      EXPECT_EQ(piece->entries.size(), 1U);
      auto bytes = read_text(**repository, piece->entries.at(0).blob);
      if (bytes) {
        EXPECT_EQ(*bytes, "piece");
        ++whole;
      }
    }
    return whole;
  }

  static bool read_checkpoint(Repository& repository, const std::string& id,
                              const std::map<std::string, std::string>& contents) {
    auto manifest = repository.load(id);
    if (!manifest) return false;
    EXPECT_EQ(manifest->application, "app-" + id);
    EXPECT_EQ(manifest->meta, (JsonObject{{"k", id}}));
    EXPECT_EQ(manifest->entries.size(), contents.size());
    bool whole = true;
    for (const auto& entry : manifest->entries) {
      auto bytes = read_text(repository, entry.blob);
      if (bytes) {
        EXPECT_TRUE(*bytes == contents.at(entry.name));
      } else {
        EXPECT_EQ(bytes.error().code, ErrorCode::kCorrupt);
        whole = false;
      }
    }
    return whole;
  }

  bool check_finds_something() {
    auto repository = Repository::open(disk_->mount(disk_));
    if (!repository) return true;
    auto checked = (*repository)->check(true);
    return !checked || !checked->problems.empty();
  }

  std::shared_ptr<ForgetfulDisk> disk_;
  std::map<std::string, std::map<std::string, std::string>> contents_;
  std::string piece_;
};

TEST_F(DamageTest, EveryFlippedBitIsFound) {
  std::size_t flips = 0;
  for (const auto& name : disk_->file_names()) {
    std::string& bytes = disk_->contents(name);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      const char mask = static_cast<char>(1U << (bit % 8));
      bytes[bit / 8] ^= mask;
      // All read right after all: then the flip made no difference to what is read (a spare bit of compressed data).
      const int whole = read_all();
      if (whole == 3) {
        EXPECT_TRUE(name.starts_with("packs/")) << name << " bit " << bit;
      }
      if (bit % 64 == 3) {
        EXPECT_EQ(check_finds_something(), whole < 3) << name << " bit " << bit;
      }
      bytes[bit / 8] ^= mask;
      ++flips;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(flips, 30000U);
}

TEST_F(DamageTest, EveryTruncationAndExtensionIsFound) {
  for (const auto& name : disk_->file_names()) {
    const std::string whole = disk_->contents(name);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      disk_->contents(name) = whole.substr(0, length);
      EXPECT_LT(read_all(), 3) << name << " cut to " << length;
      if (HasFailure()) return;
    }
    for (const std::size_t more : {1U, 64U, 5000U}) {
      disk_->contents(name) = whole + std::string(more, '\0');
      EXPECT_LT(read_all(), 3) << name << " with " << more << " bytes more";
    }
    disk_->contents(name) = whole;
  }
}

TEST_F(DamageTest, EverySwapOfTwoFilesIsFound) {
  const auto names = disk_->file_names();
  for (const auto& one : names) {
    for (const auto& other : names) {
      if (one >= other) continue;
      std::swap(disk_->contents(one), disk_->contents(other));
      EXPECT_LT(read_all(), 3) << one << " and " << other;
      EXPECT_TRUE(check_finds_something());
      std::swap(disk_->contents(one), disk_->contents(other));
    }
  }
  EXPECT_EQ(read_all(), 3);
}

TEST_F(DamageTest, EveryMissingFileIsFoundAndStopsTheCollector) {
  for (const auto& name : disk_->file_names()) {
    if (!name.starts_with("packs/")) continue;
    const auto slash = name.find('/');
    auto& names = disk_->directories()[name.substr(0, slash)].now;
    const auto file = names.at(name.substr(slash + 1));
    names.erase(name.substr(slash + 1));
    EXPECT_LT(read_all(), 3);
    EXPECT_TRUE(check_finds_something());
    auto repository = Repository::open(disk_->mount(disk_));
    ASSERT_OK(repository);
    const auto before = disk_->file_names();
    EXPECT_EQ((*repository)->collect().error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(disk_->file_names(), before);
    names[name.substr(slash + 1)] = file;
  }
}

TEST_F(DamageTest, TheErrorNamesCheckpointEntryPackAndChunk) {
  auto repository = Repository::open(disk_->mount(disk_));
  ASSERT_OK(repository);
  const std::string data = random_bytes(700, 1);
  std::string pack;
  for (const auto& name : disk_->file_names()) {
    const auto at = disk_->contents(name).find(data.substr(0, 100));
    if (at == std::string::npos) continue;
    disk_->contents(name)[at + 50] ^= 1;
    pack = name.substr(6, 36);
  }
  ASSERT_FALSE(pack.empty());
  const auto status = (*repository)->verify(kOld);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  for (const auto& part : {kOld, std::string("entry a"), pack, sha256(data).to_hex()}) {
    EXPECT_NE(status.error().message.find(part), std::string::npos) << part << " in " << status.error().message;
  }
  // Neither the damaged chunk's pack nor anything else goes while a checkpoint needs it.
  ASSERT_OK((*repository)->remove(kNew));
  auto collected = (*repository)->collect({.max_garbage = 0});
  ASSERT_OK(collected);
  EXPECT_TRUE(std::ranges::count(disk_->file_names(), "packs/" + pack + ".pack") == 1);
}

TEST_F(DamageTest, ADamagedCheckpointCanBeRemovedAndItsSpaceComesBack) {
  disk_->contents("manifests/" + kNew + ".manifest")[40] ^= 1;
  auto repository = Repository::open(disk_->mount(disk_));
  ASSERT_OK(repository);
  EXPECT_TRUE((*repository)->list()->at(1).problem.has_value());
  const auto refused = (*repository)->collect();
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message.find(kNew), std::string::npos);
  ASSERT_OK((*repository)->remove(kNew));
  ASSERT_OK((*repository)->collect({.max_garbage = 0}));
  ASSERT_OK((*repository)->verify(kOld));
}

}  // namespace
}  // namespace cacs::repository
