// Damages a small repository in every way there is of one kind, and reads everything: an error, or the right bytes.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/blob_read.h"
#include "repository/core.h"
#include "repository/layout.h"
#include "repository/repository.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

using Objects = std::shared_ptr<MemoryStore>;
using Contents = std::map<std::string, std::string>;

const std::string kOld = "01900000-0000-7000-8000-000000000001";
const std::string kNew = "01900000-0000-7000-8000-000000000002";
/// Two checkpoints and a piece.
constexpr int kAll = 3;

/// Pages that compress well, so that there are not too many bits to flip; at addresses, with a hole.
const PageLayout kLayout{{.page = 0x7f0000, .count = 1}, {.page = 0x400, .count = 2}};
std::string memory(std::uint64_t seed) {
  std::string bytes(3 * kPageBytes, '\0');
  for (std::size_t page = 0; page < 3; ++page) {
    bytes.replace(page * kPageBytes, 60, random_bytes(60, page == 1 ? seed : 1000 + page));
  }
  return bytes;
}

/// The same objects in a store of their own. The bytes are shared until one is replaced.
Objects copy_of(const MemoryStore& store) {
  auto copy = std::make_shared<MemoryStore>();
  for (const auto& info : store.list("")) copy->put(info.name, store.get(info.name), Overwrite::kYes);
  return copy;
}

std::vector<std::string> names_in(const MemoryStore& store) {
  std::vector<std::string> names;
  for (const auto& info : store.list("")) names.push_back(info.name);
  return names;
}

void replace(MemoryStore& store, const std::string& name, std::vector<std::byte> bytes) {
  store.put(name, std::make_shared<const std::vector<std::byte>>(std::move(bytes)), Overwrite::kYes);
}

void flip(MemoryStore& store, const std::string& name, std::size_t bit) {
  auto bytes = *store.get(name);
  bytes.at(bit / 8) ^= static_cast<std::byte>(1U << (bit % 8));
  replace(store, name, std::move(bytes));
}

class DamageTest : public ::testing::TestWithParam<Sealing> {
 protected:
  void SetUp() override {
    level_ = spdlog::get_level();
    spdlog::set_level(spdlog::level::off);  // thousands of damaged packs would each be a line
    auto repository = Repository::create(place(objects_));
    ASSERT_OK(repository);
    contents_[kOld] = {{"memory", memory(1)}, {"text", std::string(600, 'x')}};
    contents_[kNew] = {{"memory", memory(2)}, {"zeros", std::string(8192, '\0')}, {"b", random_bytes(90, 5)}};
    for (const auto& id : {kOld, kNew}) ASSERT_OK(commit(**repository, id, contents_[id]));
    auto writer = (*repository)->begin("pod-0");
    ASSERT_OK(writer);
    const auto blob = put_text(**writer, "piece");
    auto piece = (*writer)->finish_piece({{"p", *blob}}, {{"pod", "pod-0"}});
    ASSERT_OK(piece);
    piece_ = *piece;
    repository->reset();
    // All reads right before anything is damaged, and nothing is found amiss.
    ASSERT_EQ(read_all(objects_), kAll);
    ASSERT_FALSE(check_finds_something(objects_));
  }
  void TearDown() override { spdlog::set_level(level_); }

  [[nodiscard]] Place place(const Objects& objects) const {
    return {make_memory_backend(objects), test_keys(GetParam()), make_process_gate()};
  }

  static Status commit(Repository& repository, const std::string& id, const Contents& contents) {
    CACS_ASSIGN(auto writer, repository.begin("test"));
    Manifest manifest{.checkpoint = id, .tenant = "t", .application = "app-" + id, .incarnation = 2};
    manifest.meta = {{"k", id}};
    for (const auto& [name, bytes] : contents) {
      auto blob = name == "memory" ? writer->put_pages(MemoryPageSource(as_bytes(bytes)), kLayout, nullptr)
                                   : put_text(*writer, bytes);
      if (!blob) return blob.error();
      manifest.entries.push_back({name, *blob});
    }
    return writer->commit(std::move(manifest));
  }

  static void expect_damage(const Error& error) {
    // A pack or document may also say that it is of another sort than it was.
    EXPECT_TRUE(error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kUnsupported ||
                error.code == ErrorCode::kPermission || error.code == ErrorCode::kNotFound)
        << error.to_string();
  }

  /// Reads all there is, and fails the test on anything that is neither right nor an error. Returns how many of the
  /// checkpoints and pieces were read wholly.
  int read_all(const Objects& objects) {
    auto repository = Repository::open(place(objects));
    if (!repository) {
      expect_damage(repository.error());
      return 0;
    }
    auto list = (*repository)->list();
    EXPECT_TRUE(list.ok());
    for (const auto& summary : *list) {
      if (summary.problem) {
        expect_damage(*summary.problem);
        EXPECT_TRUE(PackId::from_hex(summary.head.checkpoint)) << summary.head.checkpoint;
      } else {
        EXPECT_TRUE(contents_.contains(summary.head.checkpoint));
        EXPECT_EQ(summary.head.application, "app-" + summary.head.checkpoint);
      }
    }
    int whole = 0;
    for (const auto& [id, contents] : contents_) whole += read_checkpoint(**repository, id, contents) ? 1 : 0;
    return whole + (read_piece(**repository) ? 1 : 0);
  }

  static bool read_checkpoint(Repository& repository, const std::string& id, const Contents& contents) {
    auto manifest = repository.load(id);
    if (!manifest) {
      expect_damage(manifest.error());
      return false;
    }
    EXPECT_EQ(manifest->application, "app-" + id);
    EXPECT_EQ(manifest->meta, (JsonObject{{"k", id}}));
    EXPECT_EQ(manifest->entries.size(), contents.size());
    bool whole = true;
    for (const auto& entry : manifest->entries) {
      auto bytes = read_text(repository, entry.blob);
      if (bytes) {
        EXPECT_TRUE(*bytes == contents.at(entry.name)) << entry.name;
      } else {
        expect_damage(bytes.error());
        whole = false;
      }
      if (entry.name != "memory") continue;
      const auto layout = repository.page_layout(entry.blob);
      if (layout) {
        EXPECT_EQ(*layout, kLayout);
      } else {
        whole = false;
      }
    }
    return whole;
  }

  bool read_piece(Repository& repository) {
    auto piece = repository.load_piece(piece_);
    if (!piece) {
      expect_damage(piece.error());
      return false;
    }
    EXPECT_EQ(piece->info.label, "pod-0");
    EXPECT_EQ(piece->entries.size(), 1U);
    auto bytes = read_text(repository, piece->entries.at(0).blob);
    if (!bytes) return false;
    EXPECT_EQ(*bytes, "piece");
    return true;
  }

  bool check_finds_something(const Objects& objects) {
    auto repository = Repository::open(place(copy_of(*objects)));
    if (!repository) return true;
    auto checked = (*repository)->check(true);
    return !checked || !checked->problems.empty();
  }

  /// A collection refuses, or takes nothing from what could be read. And what was found damaged nobody builds on.
  void expect_no_more_harm(const Objects& damaged, int whole) {
    const auto objects = copy_of(*damaged);
    auto repository = Repository::open(place(objects));
    if (!repository) return;
    const auto collected = (*repository)->collect({.max_garbage = 0});
    if (!collected) expect_damage(collected.error());
    EXPECT_GE(read_all(objects), whole);
    const std::string id = new_uuid();
    const auto again = commit(**repository, id, contents_[kOld]);
    if (again) {
      EXPECT_TRUE(read_checkpoint(**repository, id, contents_[kOld]));
    }
  }

  Objects objects_ = std::make_shared<MemoryStore>();
  std::map<std::string, Contents> contents_;
  std::string piece_;
  spdlog::level::level_enum level_ = spdlog::level::info;
};

TEST_P(DamageTest, EveryFlippedBitIsFound) {
  std::size_t flips = 0;
  for (const auto& name : names_in(*objects_)) {
    const std::size_t bits = objects_->get(name)->size() * 8;
    // One bit of every other byte, another one each time; all of them when asked to (make soak): that takes many
    // minutes.
    const std::size_t step = std::getenv("CACS_DAMAGE_ALL") != nullptr ? 1 : 17;
    for (std::size_t bit = 0; bit < bits; bit += step) {
      SCOPED_TRACE(name + ", bit " + std::to_string(bit) + " of " + std::to_string(bits));
      const auto objects = copy_of(*objects_);
      flip(*objects, name, bit);
      const int whole = read_all(objects);
      ++flips;
      // All reads right: then it was in the hooks, that only writers and checks read.
      if (whole == kAll || flips % 61 == 3) {
        EXPECT_TRUE(check_finds_something(objects));
        EXPECT_TRUE(whole < kAll || name.starts_with(kPackPrefix));
      }
      if (flips % 61 == 7) expect_no_more_harm(objects, whole);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(flips, 1000U);
}

TEST_P(DamageTest, EveryTruncationAndExtensionIsFound) {
  for (const auto& name : names_in(*objects_)) {
    const auto whole = *objects_->get(name);
    const std::size_t step = std::getenv("CACS_DAMAGE_ALL") != nullptr ? 1 : 3;
    for (std::size_t length = 0; length < whole.size(); length += step) {
      const auto objects = copy_of(*objects_);
      replace(*objects, name, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)});
      EXPECT_LT(read_all(objects), kAll) << name << " cut to " << length;
      if (length % 61 == 7) expect_no_more_harm(objects, 0);
      if (HasFailure()) return;
    }
    for (const std::size_t more : {1U, 16U, 64U, 5000U}) {
      auto longer = whole;
      longer.resize(whole.size() + more);
      const auto objects = copy_of(*objects_);
      replace(*objects, name, longer);
      EXPECT_LT(read_all(objects), kAll) << name << " with " << more << " bytes more";
      // Bytes in the middle, so that the end is where it was.
      longer = whole;
      longer.insert(longer.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2), more, std::byte{0});
      replace(*objects, name, longer);
      EXPECT_LT(read_all(objects), kAll) << name << " with " << more << " bytes more within";
    }
  }
}

TEST_P(DamageTest, EverySwapOfTwoObjectsIsFound) {
  const auto names = names_in(*objects_);
  for (const auto& one : names) {
    for (const auto& other : names) {
      if (one >= other) continue;
      const auto objects = copy_of(*objects_);
      objects->put(one, objects_->get(other), Overwrite::kYes);
      objects->put(other, objects_->get(one), Overwrite::kYes);
      EXPECT_TRUE(check_finds_something(objects)) << one << " and " << other;
      EXPECT_LT(read_all(objects), kAll) << one << " and " << other;
      expect_no_more_harm(objects, 0);
    }
  }
}

TEST_P(DamageTest, EveryMissingPackIsFoundAndStopsTheCollector) {
  std::size_t packs = 0;
  for (const auto& name : names_in(*objects_)) {
    const auto objects = copy_of(*objects_);
    objects->remove(name);
    EXPECT_LT(read_all(copy_of(*objects)), kAll) << name;
    if (!name.starts_with(kPackPrefix)) continue;
    ++packs;
    EXPECT_TRUE(check_finds_something(objects));
    auto repository = Repository::open(place(objects));
    ASSERT_OK(repository);
    const auto before = names_in(*objects);
    const auto collected = (*repository)->collect({.max_garbage = 0});
    ASSERT_FALSE(collected.ok());
    EXPECT_EQ(collected.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(names_in(*objects), before);
    // What it names is removed, and then it goes on.
    ASSERT_OK((*repository)->remove(kOld));
    ASSERT_OK((*repository)->remove(kNew));
    ASSERT_OK((*repository)->drop_all_pieces());
    ASSERT_OK((*repository)->collect({.max_garbage = 0}));
    EXPECT_EQ(objects->list(std::string(kPackPrefix)).size(), 0U);
  }
  EXPECT_EQ(packs, 3U);
}

TEST_P(DamageTest, TheErrorNamesCheckpointEntryPackAndSlot) {
  // Where the second page of the old checkpoint's memory lies.
  Core core(place(objects_));
  ASSERT_OK(core.store.refresh());
  auto hasher = core.keys().hasher();
  const auto id = hasher(as_bytes(memory(1)).subspan(kPageBytes, kPageBytes));
  std::string pack;
  std::string slot_name;
  std::uint64_t offset = 0;
  for (const auto number : core.store.catalog().present()) {
    const auto opened = core.store.open(number);
    ASSERT_OK(opened);
    (*opened)->table.for_each([&](Slot slot, const SlotPlace& place) {
      if (place.id != id) return;
      pack = (*opened)->id.to_hex();
      slot_name = "slot " + std::to_string(segment_of(slot)) + ":";
      offset = (*opened)->table.segments()[segment_of(slot)].offset;
    });
  }
  ASSERT_FALSE(pack.empty());
  flip(*objects_, std::string(kPackPrefix) + pack + ".1", (offset + 9) * 8);
  auto repository = Repository::open(place(objects_));
  ASSERT_OK(repository);
  const auto status = (*repository)->verify(kOld);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  for (const auto& part : {kOld, std::string("entry memory"), pack, slot_name}) {
    EXPECT_NE(status.error().message.find(part), std::string::npos) << part << " in " << status.error().message;
  }
  EXPECT_FALSE(status.error().hint.empty());
  // Neither the damaged pack nor anything else goes while a checkpoint needs it.
  ASSERT_OK((*repository)->remove(kNew));
  const auto collected = (*repository)->collect({.max_garbage = 0});
  ASSERT_OK(collected);
  EXPECT_NE(objects_->get(std::string(kPackPrefix) + pack + ".1"), nullptr);
}

TEST_P(DamageTest, ADamagedCheckpointCanBeRemovedAndItsSpaceComesBack) {
  const std::string name = manifest_name(test_keys(GetParam()), kNew);
  flip(*objects_, name, objects_->get(name)->size() * 4);
  auto repository = Repository::open(place(objects_));
  ASSERT_OK(repository);
  const auto list = (*repository)->list();
  ASSERT_OK(list);
  ASSERT_EQ(list->size(), 2U);
  const auto damaged = std::ranges::find_if(*list, [](const Summary& each) { return each.problem.has_value(); });
  ASSERT_NE(damaged, list->end());
  EXPECT_EQ(std::string(kManifestPrefix) + damaged->head.checkpoint, name);
  const auto before = names_in(*objects_);
  const auto refused = (*repository)->collect({.max_garbage = 0});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message.find(damaged->head.checkpoint), std::string::npos) << refused.error().message;
  EXPECT_EQ(names_in(*objects_), before);
  ASSERT_OK((*repository)->remove(damaged->head.checkpoint));
  const auto collected = (*repository)->collect({.max_garbage = 0});
  ASSERT_OK(collected);
  EXPECT_GT(collected->bytes_freed, 0U);
  ASSERT_OK((*repository)->verify(kOld));
  EXPECT_EQ((*repository)->load(kNew).error().code, ErrorCode::kNotFound);
}

INSTANTIATE_TEST_SUITE_P(Sealings, DamageTest, ::testing::Values(Sealing::kNone, Sealing::kAes256Gcm));

}  // namespace
}  // namespace cacs::repository
