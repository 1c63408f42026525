// Repositories with sessions, without anything going wrong but late listings and stores that ignore conditions.
#include "repository/sessions.h"

#include <gtest/gtest.h>

#include "repository/backend/faulty_backend.h"
#include "repository/layout.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

constexpr std::string_view kOne = "018f0000-0000-7000-8000-000000000001";
constexpr std::string_view kTwo = "018f0000-0000-7000-8000-000000000002";

/// A store on which nothing but reading by name can be relied on.
struct Shared {
  explicit Shared(Sealing sealing = Sealing::kAes256Gcm) : keys(test_keys(sealing)) {}
  [[nodiscard]] Place place(const Faults& faults = {.ignore_conditions = true, .late_listing = 50}) const {
    return {std::make_unique<FaultyBackend>(make_memory_backend(objects), 1, faults), keys, nullptr};
  }
  [[nodiscard]] std::unique_ptr<Repository> open() const {
    auto opened = Repository::open(place());
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    return std::move(opened).value();
  }
  [[nodiscard]] std::unique_ptr<Repository> create() const {
    auto made = Repository::create(place());
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return std::move(made).value();
  }
  [[nodiscard]] std::size_t count(const std::string& prefix) const { return objects->list(prefix).size(); }

  std::shared_ptr<MemoryStore> objects = std::make_shared<MemoryStore>();
  TenantKeys keys;
};

std::string pages_of(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) bytes += random_bytes(kPageBytes, static_cast<std::uint64_t>(value));
  return bytes;
}

Result<BlobRef> commit(Repository& repository, std::string_view id, const std::string& memory,
                       const BlobRef* parent = nullptr, bool tell = true) {
  CACS_ASSIGN(const auto writer, repository.begin("test", tell ? id : std::string_view()));
  CACS_ASSIGN(const BlobRef blob, writer->put_pages(MemoryPageSource(as_bytes(memory)), parent));
  CACS_TRY(writer->commit({.checkpoint = std::string(id), .application = "a", .entries = {{"memory", blob}}}));
  return blob;
}

void expect_memory(Repository& repository, std::string_view id, const std::string& memory) {
  const auto manifest = repository.load(id);
  ASSERT_OK(manifest);
  const auto text = read_text(repository, manifest->entries.at(0).blob);
  ASSERT_OK(text);
  EXPECT_TRUE(*text == memory);
}

TEST(Sessions, TheDescriptorSaysSo) {
  Shared shared;
  const auto made = shared.create();
  const auto backend = make_memory_backend(shared.objects);
  const auto descriptor = read_descriptor(*backend);
  ASSERT_OK(descriptor);
  EXPECT_TRUE(descriptor->sessions);
  EXPECT_EQ((*shared.objects->get("repository"))[10], std::byte{3}) << "a reader that knows of no sessions stays out";
  Place gated = shared.place();
  gated.gate = make_process_gate();
  EXPECT_TRUE(Repository::open(std::move(gated)).ok()) << "the descriptor decides, the gate is not used";
  TestStore store;
  ASSERT_OK(Repository::create(store.place()));
  EXPECT_EQ((*store.objects->get("repository"))[10], std::byte{2});
  Place without = store.place();
  without.gate = nullptr;
  EXPECT_EQ(Repository::open(std::move(without)).error().code, ErrorCode::kInvalidArgument);
}

TEST(Sessions, WhatIsCommittedIsFoundByNameAtOnce) {
  for (const bool tell : {true, false}) {
    Shared shared;
    const auto one = shared.create();
    const auto two = shared.open();
    const std::string memory = pages_of({1, 2, 3});
    ASSERT_OK(commit(*one, kOne, memory, nullptr, tell));
    expect_memory(*two, kOne, memory);
    const auto all = two->list();
    ASSERT_OK(all);
    ASSERT_EQ(all->size(), 1U);
    EXPECT_EQ(all->at(0).head.checkpoint, kOne);
    EXPECT_TRUE(all->at(0).head.pieces.empty());
    EXPECT_EQ(shared.count("pieces/"), 0U);
    EXPECT_EQ(commit(*two, kOne, memory, nullptr, tell).error().code, ErrorCode::kConflict);
    EXPECT_EQ(two->load(kTwo).error().code, ErrorCode::kNotFound);
    ASSERT_OK(two->remove(kOne));
    EXPECT_EQ(one->load(kOne).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(one->remove(kOne).error().code, ErrorCode::kNotFound);
    ASSERT_OK(commit(*one, kOne, memory, nullptr, tell));
    EXPECT_EQ(shared.count("manifests/"), 1U);
  }
}

TEST(Sessions, PiecesBecomeACheckpoint) {
  Shared shared;
  const auto one = shared.create();
  const auto two = shared.open();
  std::vector<std::string> pieces;
  for (auto* repository : {one.get(), two.get()}) {
    auto writer = repository->begin("pod");
    ASSERT_OK(writer);
    const auto blob = put_text(**writer, random_bytes(9000, pieces.size()));
    ASSERT_OK(blob);
    auto piece = (*writer)->finish_piece({{"file" + std::to_string(pieces.size()), *blob}}, {});
    ASSERT_OK(piece);
    pieces.push_back(*piece);
  }
  auto listed = two->list_pieces();
  ASSERT_OK(listed);
  EXPECT_EQ(listed->size(), 2U);
  ASSERT_OK(one->commit_checkpoint({.checkpoint = std::string(kOne), .application = "a"}, pieces));
  ASSERT_OK(one->commit_checkpoint({.checkpoint = std::string(kOne), .application = "a"}, pieces));
  const auto manifest = two->load(kOne);
  ASSERT_OK(manifest);
  EXPECT_EQ(manifest->entries.size(), 2U);
  EXPECT_EQ(manifest->pieces.size(), 2U);
  EXPECT_EQ(two->list_pieces().value().size(), 0U);
  const auto checked = two->check(true);
  ASSERT_OK(checked);
  EXPECT_TRUE(checked->problems.empty());
}

TEST(Sessions, ACollectionCondemnsAndALaterOneRemoves) {
  Shared shared;
  const auto one = shared.create();
  const auto collector = shared.open();
  ASSERT_OK(commit(*one, kOne, pages_of({1, 2, 3})));
  ASSERT_OK(one->remove(kOne));
  ASSERT_OK(commit(*one, kTwo, pages_of({7, 8})));
  ASSERT_EQ(shared.count("packs/"), 2U);
  std::size_t removed = 0;
  std::size_t condemned = 0;
  for (int run = 0; run < 6; ++run) {
    const auto collected = collector->collect({.max_garbage = 0});
    ASSERT_OK(collected);
    if (removed == 0 && collected->packs_removed > 0) {
      EXPECT_GT(condemned, 0U) << "condemned first";
    }
    removed += collected->packs_removed;
    condemned += collected->packs_condemned;
    expect_memory(*one, kTwo, pages_of({7, 8}));
  }
  EXPECT_EQ(removed, 1U);
  EXPECT_EQ(shared.count("packs/"), 1U);
}

TEST(Sessions, ARewrittenPackIsReadByThoseWhoHadItOpen) {
  Shared shared;
  const auto one = shared.create();
  const auto reader = shared.open();
  const auto collector = shared.open();
  const auto first = commit(*one, kOne, pages_of({1, 2, 3, 4, 5, 6, 7, 8}));
  ASSERT_OK(first);
  ASSERT_OK(commit(*one, kTwo, pages_of({1, 2}), &*first));
  expect_memory(*reader, kTwo, pages_of({1, 2}));
  ASSERT_OK(one->remove(kOne));
  std::size_t written = 0;
  for (int run = 0; run < 6; ++run) {
    const auto collected = collector->collect({.max_garbage = 0});
    ASSERT_OK(collected);
    written += collected->packs_written;
    expect_memory(*reader, kTwo, pages_of({1, 2}));
    expect_memory(*one, kTwo, pages_of({1, 2}));
  }
  EXPECT_EQ(written, 1U);
  // What is gone is not referred to, although this process remembers it.
  constexpr std::string_view kThree = "018f0000-0000-7000-8000-000000000003";
  ASSERT_OK(commit(*one, kThree, pages_of({5, 6, 1}), &*first));
  expect_memory(*reader, kThree, pages_of({5, 6, 1}));
  const auto checked = reader->check(true);
  ASSERT_OK(checked);
  for (const auto& problem : checked->problems) ADD_FAILURE() << problem.to_string();
}

TEST(Sessions, AnOpenSessionKeepsWhatItMayReferTo) {
  Shared shared;
  const auto one = shared.create();
  const auto collector = shared.open();
  const std::string memory = pages_of({1, 2, 3});
  const auto parent = commit(*one, kOne, memory);
  ASSERT_OK(parent);
  auto writer = one->begin("test", kTwo);
  ASSERT_OK(writer);
  ASSERT_OK(one->remove(kOne));
  for (int run = 0; run < 4; ++run) ASSERT_OK(collector->collect({.max_garbage = 0}));
  ASSERT_OK((*writer)->reuse(*parent));
  ASSERT_OK((*writer)->commit({.checkpoint = std::string(kTwo), .application = "a", .entries = {{"memory", *parent}}}));
  for (int run = 0; run < 4; ++run) ASSERT_OK(collector->collect({.max_garbage = 0}));
  expect_memory(*collector, kTwo, memory);
}

TEST(Sessions, WhatIsCondemnedIsNotReused) {
  Shared shared;
  const auto one = shared.create();
  const auto collector = shared.open();
  const auto parent = commit(*one, kOne, pages_of({1, 2, 3}));
  ASSERT_OK(parent);
  ASSERT_OK(one->remove(kOne));
  ASSERT_OK(collector->collect({.max_garbage = 0}));
  auto writer = one->begin("test", kTwo);
  ASSERT_OK(writer);
  EXPECT_EQ((*writer)->reuse(*parent).error().code, ErrorCode::kNotFound);
  const std::string memory = pages_of({1, 2, 3});
  const auto blob = (*writer)->put_pages(MemoryPageSource(as_bytes(memory)), &*parent);
  ASSERT_OK(blob);
  ASSERT_OK((*writer)->commit({.checkpoint = std::string(kTwo), .application = "a", .entries = {{"memory", *blob}}}));
  for (int run = 0; run < 6; ++run) ASSERT_OK(collector->collect({.max_garbage = 0}));
  expect_memory(*one, kTwo, memory);
  EXPECT_EQ(shared.count("packs/"), 1U);
}

TEST(Sessions, APieceThatRefersToWhatIsCondemnedIsJoinedAllTheSame) {
  Shared shared;
  const auto one = shared.create();
  const auto collector = shared.open();
  const std::string memory = pages_of({1, 2, 3});
  const std::string text = random_bytes(50'000, 5);
  const auto parent = commit(*one, kOne, memory);
  ASSERT_OK(parent);
  auto writer = one->begin("pod");
  ASSERT_OK(writer);
  ASSERT_OK((*writer)->reuse(*parent));
  const auto file = put_text(**writer, text);
  ASSERT_OK(file);
  ASSERT_OK(one->remove(kOne));
  ASSERT_OK(collector->collect({.max_garbage = 0}));  // condemns the memory: no root has it yet
  const auto piece = (*writer)->finish_piece({{"memory", *parent}, {"file", *file}}, {});
  ASSERT_OK(piece);
  ASSERT_OK(one->commit_checkpoint({.checkpoint = std::string(kTwo), .application = "a"}, {*piece}));
  for (int run = 0; run < 6; ++run) ASSERT_OK(collector->collect({.max_garbage = 0}));
  const auto manifest = collector->load(kTwo);
  ASSERT_OK(manifest);
  EXPECT_EQ(read_text(*collector, manifest->entries.at(0).blob).value(), text);
  EXPECT_EQ(read_text(*collector, manifest->entries.at(1).blob).value(), memory);
}

TEST(Sessions, AManifestThatCannotBeReadStopsCollections) {
  Shared shared;
  const auto one = shared.create();
  ASSERT_OK(commit(*one, kOne, pages_of({1})));
  const auto name = shared.objects->list("manifests/").at(0).name;
  auto bytes = *shared.objects->get(name);
  bytes.back() ^= std::byte{1};
  shared.objects->put(name, std::make_shared<const std::vector<std::byte>>(bytes), Overwrite::kYes);
  EXPECT_EQ(one->collect().error().code, ErrorCode::kCorrupt);
  const auto all = one->list();
  ASSERT_OK(all);
  ASSERT_EQ(all->size(), 1U);
  ASSERT_TRUE(all->at(0).problem);
  EXPECT_EQ(one->load(kOne).error().code, ErrorCode::kCorrupt);
  ASSERT_OK(one->remove(all->at(0).head.checkpoint));
  ASSERT_OK(one->collect());
}

TEST(Sessions, ARootUnderAnotherNameIsNone) {
  Shared shared;
  const auto one = shared.create();
  ASSERT_OK(commit(*one, kOne, pages_of({1})));
  ASSERT_OK(commit(*one, kTwo, pages_of({2})));
  const auto names = shared.objects->list("manifests/");
  shared.objects->put(names.at(0).name, shared.objects->get(names.at(1).name), Overwrite::kYes);
  EXPECT_TRUE(one->load(kOne).ok() != one->load(kTwo).ok());
}

}  // namespace
}  // namespace cacs::repository
