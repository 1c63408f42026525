#include "repository/repository.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "repository/test_support.h"

namespace cacs::repository {
namespace {

class RepositoryTest : public ::testing::TestWithParam<Sealing> {
 protected:
  void SetUp() override {
    auto made = Repository::create(store_.place());
    ASSERT_OK(made);
    repository_ = std::move(*made);
  }

  std::unique_ptr<Writer> begin(std::string_view label = "test") {
    auto writer = repository_->begin(label);
    EXPECT_TRUE(writer.ok());
    return std::move(*writer);
  }

  /// Commits one checkpoint with one entry "data"; returns its id.
  std::string commit(std::string_view data, StreamKind kind = StreamKind::kMemory) {
    auto writer = begin();
    auto blob = put_text(*writer, data, kind);
    EXPECT_TRUE(blob.ok());
    Manifest manifest{.checkpoint = new_uuid(), .application = "app", .incarnation = 3};
    manifest.entries.push_back({"data", *blob});
    const std::string id = manifest.checkpoint;
    const auto status = writer->commit(std::move(manifest));
    EXPECT_TRUE(status.ok()) << status.error().to_string();
    return id;
  }

  std::string read(std::string_view checkpoint) {
    auto manifest = repository_->load(checkpoint);
    EXPECT_TRUE(manifest.ok());
    auto text = read_text(*repository_, manifest->entries.at(0).blob);
    EXPECT_TRUE(text.ok());
    return *text;
  }

  void reopen() {
    repository_.reset();
    auto opened = Repository::open(store_.place());
    ASSERT_OK(opened);
    repository_ = std::move(*opened);
  }
  std::size_t objects(const std::string& prefix) { return store_.objects->list(prefix).size(); }

  TestStore store_{GetParam()};
  TemporaryDirectory directory_;
  std::unique_ptr<Repository> repository_;
};

TEST_P(RepositoryTest, GivesBackWhatWasStored) {
  for (const StreamKind kind : {StreamKind::kMemory, StreamKind::kFile, StreamKind::kMetadata}) {
    for (const std::size_t size : {0U, 1U, 4095U, 4096U, 4097U, 100000U, 3000000U}) {
      const std::string data = random_bytes(size, size + 1);
      const std::string id = commit(data, kind);
      EXPECT_EQ(read(id), data);
      reopen();
      EXPECT_EQ(read(id), data);
    }
  }
}

TEST_P(RepositoryTest, KeepsTheWholeManifest) {
  auto writer = begin();
  Manifest manifest{.checkpoint = new_uuid(), .tenant = "t", .application = "a", .incarnation = 7};
  manifest.meta = {{"reason", "periodic"}};
  for (const auto* name : {"b", "a", "c"}) manifest.entries.push_back({name, put_text(*writer, name).value()});
  ASSERT_OK(writer->commit(manifest));
  auto loaded = repository_->load(manifest.checkpoint);
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->tenant, "t");
  EXPECT_EQ(loaded->application, "a");
  EXPECT_EQ(loaded->incarnation, 7);
  EXPECT_EQ(loaded->meta, manifest.meta);
  EXPECT_FALSE(loaded->created_at.empty());
  EXPECT_EQ(loaded->size_bytes, 3U);
  EXPECT_GT(loaded->stored_bytes, 0U);
  ASSERT_EQ(loaded->entries.size(), 3U);
  EXPECT_EQ(loaded->entries[0].name, "a");
  const auto list = repository_->list();
  ASSERT_OK(list);
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->at(0).entry_count, 3U);
  EXPECT_FALSE(list->at(0).problem.has_value());
}

TEST_P(RepositoryTest, StoresWhatChangedOnly) {
  std::string data = random_bytes(8 << 20, 1);
  commit(data);
  data[5 << 20] ^= 1;
  const auto before = repository_->stats()->stored_bytes;
  const auto id = commit(data);
  const auto added = repository_->stats()->stored_bytes - before;
  EXPECT_LT(added, 64U << 10U);
  EXPECT_EQ(repository_->load(id)->stored_bytes, added);
  // Shifted by one byte, a file's content is found again.
  const auto file = commit(data, StreamKind::kFile);
  const auto with_file = repository_->stats()->stored_bytes;
  const auto shifted = commit("x" + data, StreamKind::kFile);
  EXPECT_LT(repository_->stats()->stored_bytes - with_file, 512U << 10U);
  EXPECT_EQ(read(shifted), "x" + data);
  EXPECT_EQ(read(file), data);
}

TEST_P(RepositoryTest, ZerosAndHolesCostNothingAndStayHoles) {
  const auto path = directory_.path() / "sparse";
  auto fd = open_file(path, O_RDWR | O_CREAT);
  ASSERT_OK(fd);
  const std::string text = random_bytes(10000, 5);
  ASSERT_OK(pwrite_full(fd->get(), as_bytes(text), 3 << 20));
  ASSERT_OK(pwrite_full(fd->get(), as_bytes(text), (200 << 20) + 17));
  ASSERT_EQ(::ftruncate(fd->get(), 1 << 30), 0);
  std::string expected((201 << 20), '\0');
  expected.replace(3 << 20, text.size(), text);
  expected.replace((200 << 20) + 17, text.size(), text);

  for (const StreamKind kind : {StreamKind::kMemory, StreamKind::kFile}) {
    auto writer = begin();
    std::uint64_t progress = 0;
    writer->set_progress([&](std::uint64_t done) { progress = done; });
    FdSource source(fd->get());
    auto sparse =
        kind == StreamKind::kMemory ? writer->put_pages(FdPageSource(fd->get()), nullptr) : writer->put(source, kind);
    ASSERT_OK(sparse);
    EXPECT_EQ(sparse->size, std::uint64_t{1} << 30U);
    EXPECT_GT(progress, 0U);
    auto dense = put_text(*writer, expected, kind);
    ASSERT_OK(dense);
    EXPECT_LT(writer->stored_bytes(), 100U << 10U);
    Manifest manifest{.checkpoint = new_uuid(), .application = "app"};
    manifest.entries = {{"sparse", *sparse}, {"dense", *dense}};
    ASSERT_OK(writer->commit(manifest));

    auto out = open_file(directory_.path() / "out", O_RDWR | O_CREAT | O_TRUNC);
    ASSERT_OK(out);
    FdSink sink(out->get());
    ASSERT_OK(repository_->read_blob(*sparse, sink));
    struct stat info {};
    ASSERT_EQ(::fstat(out->get(), &info), 0);
    EXPECT_EQ(info.st_size, 1 << 30);
    EXPECT_LT(info.st_blocks * 512, 1 << 20);
    std::string back(expected.size(), '\xff');
    ASSERT_OK(pread_full(out->get(), std::as_writable_bytes(std::span(back)), 0));
    EXPECT_TRUE(back == expected);
    EXPECT_TRUE(read_text(*repository_, *dense).value() == expected);
  }
}

TEST_P(RepositoryTest, HolesAndZerosAreTheSame) {
  auto fd = open_file(directory_.path() / "holes", O_RDWR | O_CREAT);
  ASSERT_OK(fd);
  std::string expected(6 << 20, '\0');
  std::mt19937 random(3);
  for (int i = 0; i < 60; ++i) {
    const std::string text = random_bytes(random() % 9000 + 1, random());
    const std::size_t at = random() % (expected.size() - text.size());
    ASSERT_OK(pwrite_full(fd->get(), as_bytes(text), at));
    expected.replace(at, text.size(), text);
  }
  ASSERT_EQ(::ftruncate(fd->get(), static_cast<off_t>(expected.size())), 0);
  auto writer = begin();
  Manifest manifest{.checkpoint = new_uuid(), .application = "app"};
  for (const StreamKind kind : {StreamKind::kFile, StreamKind::kMetadata}) {
    FdSource source(fd->get());
    manifest.entries.push_back({"file " + std::to_string(static_cast<int>(kind)), writer->put(source, kind).value()});
  }
  manifest.entries.push_back({"pages", writer->put_pages(FdPageSource(fd->get()), nullptr).value()});
  const auto before = writer->stored_bytes();
  for (const StreamKind kind : {StreamKind::kFile, StreamKind::kMemory}) ASSERT_OK(put_text(*writer, expected, kind));
  EXPECT_LT(writer->stored_bytes() - before, 10000U);
  ASSERT_OK(writer->commit(manifest));
  for (const auto& entry : manifest.entries) EXPECT_TRUE(read_text(*repository_, entry.blob).value() == expected);
}

TEST_P(RepositoryTest, ReadsAtRandomPlaces) {
  std::string data = random_bytes(5 << 20, 2);
  std::fill(data.begin() + 1000000, data.begin() + 3000000, '\0');
  const auto id = commit(data, StreamKind::kFile);
  auto reader = repository_->open_reader(repository_->load(id)->entries.at(0).blob);
  ASSERT_OK(reader);
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const std::size_t offset = random() % (data.size() + 100);
    std::string out(random() % 200000, '\xee');
    const auto got = (*reader)->read_at(offset, std::as_writable_bytes(std::span(out)));
    ASSERT_OK(got);
    const std::size_t expected = offset >= data.size() ? 0 : std::min(out.size(), data.size() - offset);
    ASSERT_EQ(*got, expected);
    ASSERT_TRUE(std::string_view(out).substr(0, expected) ==
                std::string_view(data).substr(std::min(offset, data.size()), expected));
  }
}

TEST_P(RepositoryTest, WhatIsNotCommittedIsCollected) {
  {
    auto writer = begin();
    ASSERT_OK(put_text(*writer, random_bytes(40 << 20, 9)));
    EXPECT_GT(writer->stored_bytes(), 0U);
  }
  ASSERT_OK(repository_->collect());
  EXPECT_EQ(repository_->stats()->packs, 0U);
  EXPECT_EQ(objects("packs/"), 0U);
}

TEST_P(RepositoryTest, ReusesABlobWithoutReadingItsSource) {
  const std::string data = random_bytes(1 << 20, 4);
  const auto first = commit(data);
  const BlobRef blob = repository_->load(first)->entries.at(0).blob;
  auto writer = begin();
  ASSERT_OK(writer->reuse(blob));
  BlobRef other = blob;
  other.pack = PackId::make();
  EXPECT_EQ(writer->reuse(other).error().code, ErrorCode::kNotFound);
  other = blob;
  other.slot += 200;
  EXPECT_EQ(writer->reuse(other).error().code, ErrorCode::kNotFound);
  Manifest manifest{.checkpoint = new_uuid(), .application = "app"};
  manifest.entries = {{"again", blob}};
  ASSERT_OK(writer->commit(manifest));
  ASSERT_OK(repository_->remove(first));
  ASSERT_OK(repository_->collect());
  EXPECT_EQ(read(manifest.checkpoint), data);
}

TEST_P(RepositoryTest, RefusesWhatTheSessionDoesNotHold) {
  auto writer = begin();
  Manifest manifest{.checkpoint = new_uuid(), .application = "app"};
  manifest.entries = {{"x", {.pack = PackId::make(), .layout = BlobLayout::kChunk, .size = 1}}};
  EXPECT_EQ(writer->commit(manifest).error().code, ErrorCode::kInvalidArgument);
  const BlobRef blob = put_text(*writer, "x").value();
  manifest.entries = {{"x", blob}, {"x", blob}};
  EXPECT_EQ(writer->commit(manifest).error().code, ErrorCode::kInvalidArgument);
  manifest.entries = {{"", blob}};
  EXPECT_EQ(writer->commit(manifest).error().code, ErrorCode::kInvalidArgument);
  manifest.entries = {{"x", blob}};
  manifest.checkpoint = "../../etc";
  EXPECT_EQ(writer->commit(manifest).error().code, ErrorCode::kInvalidArgument);
  manifest.checkpoint = new_uuid();
  ASSERT_OK(writer->commit(manifest));
  EXPECT_EQ(writer->commit(manifest).error().code, ErrorCode::kConflict);
  auto another = begin();
  manifest.entries.clear();
  EXPECT_EQ(another->commit(manifest).error().code, ErrorCode::kConflict);
}

TEST_P(RepositoryTest, MakesACheckpointFromPieces) {
  std::vector<std::string> pieces;
  for (int pod = 0; pod < 3; ++pod) {
    auto writer = begin("pod-" + std::to_string(pod));
    const auto blob = put_text(*writer, random_bytes(100000, static_cast<unsigned>(pod)));
    auto piece = writer->finish_piece({{"pod-" + std::to_string(pod) + "/image", *blob}}, {{"rank", pod}});
    ASSERT_OK(piece);
    pieces.push_back(*piece);
  }
  ASSERT_OK(repository_->collect({.max_garbage = 0}));  // pieces are protected
  reopen();
  EXPECT_EQ(repository_->list()->size(), 0U);
  EXPECT_EQ(repository_->list_pieces()->size(), 3U);
  const Manifest head{.checkpoint = new_uuid(), .application = "app", .incarnation = 1};
  ASSERT_OK(repository_->commit_checkpoint(head, pieces));
  ASSERT_OK(repository_->commit_checkpoint(head, pieces));  // a lost answer
  EXPECT_EQ(repository_->commit_checkpoint(head, {pieces[0]}).error().code, ErrorCode::kConflict);
  EXPECT_EQ(repository_->list_pieces()->size(), 0U);
  const auto manifest = repository_->load(head.checkpoint);
  ASSERT_OK(manifest);
  ASSERT_EQ(manifest->entries.size(), 3U);
  ASSERT_EQ(manifest->pieces.size(), 3U);
  EXPECT_EQ(manifest->pieces[2].label, "pod-2");
  EXPECT_EQ(manifest->pieces[2].meta, (JsonObject{{"rank", 2}}));
  EXPECT_GT(manifest->stored_bytes, 300000U);
  ASSERT_OK(repository_->verify(head.checkpoint));
  EXPECT_EQ(repository_->commit_checkpoint({.checkpoint = new_uuid()}, {new_uuid()}).error().code,
            ErrorCode::kNotFound);
}

TEST_P(RepositoryTest, CollectsDroppedPiecesAndRemovedCheckpoints) {
  const std::string shared = random_bytes(1 << 20, 11);
  const auto first = commit(shared + random_bytes(1 << 20, 12));
  const auto second = commit(shared + random_bytes(1 << 20, 13));
  auto writer = begin("pod");
  const auto blob = put_text(*writer, random_bytes(1 << 20, 14));
  ASSERT_OK(writer->finish_piece({{"x", *blob}}, {}));
  EXPECT_EQ(repository_->remove(new_uuid()).error().code, ErrorCode::kNotFound);
  ASSERT_OK(repository_->remove(first));
  ASSERT_OK(repository_->drop_all_pieces());
  auto collected = repository_->collect({.max_garbage = 0});
  ASSERT_OK(collected);
  EXPECT_GT(collected->bytes_freed, 2U << 20U);
  EXPECT_EQ(collected->bytes_garbage, 0U);
  EXPECT_LT(repository_->stats()->stored_bytes, (2U << 20U) + (100U << 10U));
  ASSERT_OK(repository_->verify(second));
  EXPECT_EQ(repository_->load(first).error().code, ErrorCode::kNotFound);
  auto again = repository_->collect({.max_garbage = 0});
  ASSERT_OK(again);
  EXPECT_EQ(again->packs_removed, 0U);
  reopen();
  EXPECT_TRUE(repository_->check(true)->problems.empty());
  ASSERT_OK(repository_->remove(second));
  ASSERT_OK(repository_->collect());
  EXPECT_EQ(objects("packs/"), 0U);
}

TEST_P(RepositoryTest, SizesThatNoReaderTakesAreRefused) {
  const auto refused = [&](const std::function<void(StorageSizes&)>& change) {
    Place place = store_.place();
    change(place.sizes);
    const auto opened = Repository::open(std::move(place));
    return !opened && opened.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_FALSE(refused([](StorageSizes&) {}));
  EXPECT_TRUE(refused([](StorageSizes& sizes) { sizes.segments[0].slots = 0; }));
  EXPECT_TRUE(refused([](StorageSizes& sizes) { sizes.segments[0].slots = kMaxSegmentSlots + 1; }));
  EXPECT_TRUE(refused([](StorageSizes& sizes) { sizes.segments[1].bytes = kMaxRawBytes + 1; }));
  EXPECT_TRUE(refused([](StorageSizes& sizes) { sizes.segments[2].bytes = 0; }));
  EXPECT_TRUE(refused([](StorageSizes& sizes) { sizes.chunks[1].max = kMaxChunkBytes + 1; }));
  EXPECT_TRUE(refused([](StorageSizes& sizes) { sizes.chunks[1].min = sizes.chunks[1].max; }));
  EXPECT_TRUE(refused([](StorageSizes& sizes) { sizes.chunks[2].mask_bits = 64; }));
  EXPECT_TRUE(refused([](StorageSizes& sizes) { sizes.chunks[2].unit = 0; }));
}

TEST_P(RepositoryTest, ASecondHandleSeesAndReadsWhatTheFirstCommitsAndCollects) {
  auto other = Repository::open(store_.place());
  ASSERT_OK(other);
  const std::string data = random_bytes(300000, 21);
  const auto gone = commit(random_bytes(300000, 20) + data);
  const auto kept = commit(data + "tail");
  ASSERT_OK((*other)->verify(kept));
  ASSERT_OK(repository_->remove(gone));
  {
    auto session = (*other)->begin("writer");
    ASSERT_OK(session);
    EXPECT_EQ(repository_->collect({.wait = GateWait::kFail}).error().code, ErrorCode::kUnavailable);
  }
  ASSERT_OK(repository_->collect({.max_garbage = 0}));
  ASSERT_OK((*other)->verify(kept));  // its index still names packs that are gone
  auto session = (*other)->begin("writer");
  ASSERT_OK(session);
  const auto blob = put_text(**session, random_bytes(300000, 20), StreamKind::kMemory);
  Manifest manifest{.checkpoint = new_uuid(), .application = "app"};
  manifest.entries = {{"x", *blob}};
  ASSERT_OK((*session)->commit(manifest));
  ASSERT_OK(repository_->verify(manifest.checkpoint));
}

TEST_P(RepositoryTest, OpenRefusesWhatIsNoRepository) {
  EXPECT_EQ(Repository::open(TestStore(GetParam()).place()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Repository::create(store_.place()).error().code, ErrorCode::kConflict);
  Place place = store_.place();
  place.keys = test_keys(GetParam() == Sealing::kNone ? Sealing::kAes256Gcm : Sealing::kNone);
  EXPECT_EQ(Repository::open(std::move(place)).error().code, ErrorCode::kPermission);
}

TEST_P(RepositoryTest, HoldsManyEntries) {
  auto writer = begin();
  Manifest manifest{.checkpoint = new_uuid(), .application = "app"};
  const BlobRef blob = put_text(*writer, "x").value();
  for (int i = 0; i < 100000; ++i) manifest.entries.push_back({"dir/file-" + std::to_string(i), blob});
  ASSERT_OK(writer->commit(manifest));
  const auto before = repository_->stats()->stored_bytes;
  auto next = begin();
  ASSERT_OK(next->reuse(blob));
  manifest.checkpoint = new_uuid();
  manifest.entries.push_back({"dir/file-new", blob});
  ASSERT_OK(next->commit(manifest));
  EXPECT_LT(repository_->stats()->stored_bytes - before, 200U << 10U);  // the list is shared but for a little
  EXPECT_EQ(repository_->load(manifest.checkpoint)->entries.size(), 100001U);
}

INSTANTIATE_TEST_SUITE_P(Sealings, RepositoryTest,
                         ::testing::Values(Sealing::kNone, Sealing::kAes256Gcm, Sealing::kChaCha20Poly1305));

}  // namespace
}  // namespace cacs::repository
