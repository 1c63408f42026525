#include "transfer/transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "inspect/test_support.h"

namespace cacs::inspect {
namespace {

using namespace transfer;  // NOLINT(google-build-using-namespace)

using repository::BlobRef;
using repository::Credential;

/// The archive of a checkpoint, in memory.
std::string export_to_text(repository::Repository& repository, const std::string& checkpoint,
                           const Credential* credential = nullptr) {
  std::string text;
  auto archive = ArchiveWriter::begin(
      [&text](std::span<const std::byte> bytes) -> Status {
        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
      },
      credential, {.cost = {.n = 16, .r = 1, .p = 1}});
  EXPECT_TRUE(archive.ok()) << archive.error().to_string();
  RecordWriter records([&](std::span<const std::byte> bytes) { return (*archive)->write(bytes); });
  Status status = export_records(repository, checkpoint, records);
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  status = (*archive)->finish();
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  return text;
}

/// Gives a text in pieces of odd lengths.
ReadBytes read_from(std::string_view text) {
  return [text](std::span<std::byte> out) mutable -> Result<std::size_t> {
    const std::size_t count = std::min({out.size(), text.size(), std::size_t{65'537}});
    std::memcpy(out.data(), text.data(), count);
    text.remove_prefix(count);
    return count;
  };
}

AskCredential no_credential() {
  return [](repository::SlotMethod) -> Result<Credential> {
    return make_error(ErrorCode::kUnauthenticated, "there is none");
  };
}

Result<Imported> import_from(repository::Repository& repository, std::string_view text,
                             const AskCredential& ask = no_credential()) {
  CACS_ASSIGN(const auto archive, ArchiveReader::open(read_from(text), ask));
  RecordReader records([&](std::span<std::byte> out) { return archive->read(out); });
  return import_records(repository, records);
}

std::unique_ptr<repository::Repository> make_repository(const repository::TestStore& store) {
  auto made = repository::Repository::create(store.place(), new_uuid());
  EXPECT_TRUE(made.ok()) << made.error().to_string();
  return *std::move(made);
}

/// All bytes of a blob.
std::string all_of(repository::Repository& repository, const BlobRef& blob) {
  auto text = repository::read_text(repository, blob);
  EXPECT_TRUE(text.ok()) << text.error().to_string();
  return text.ok() ? *text : "";
}

class Transfer : public testing::Test {
 protected:
  void SetUp() override {
    checkpoints_.write("dir/large", repository::random_bytes(5 << 20U, 1) + std::string(3 << 20U, '\0') + "end");
    checkpoints_.write("twin1", "the same");
    checkpoints_.write("twin2", "the same");
    checkpoints_.write("empty", "");
    checkpoints_.write("zeros", std::string(1 << 20U, '\0'));
    std::filesystem::create_symlink("dir", checkpoints_.files() / "link");
    std::string shared = repository::random_bytes(4 << 20U, 2);
    shared.replace(1 << 20U, 2 << 20U, 2 << 20U, '\0');
    ASSERT_TRUE(write_file_durably(checkpoints_.shared() / "segment", shared + "odd").ok());
    ASSERT_TRUE(write_file_durably(checkpoints_.shared() / "nothing", std::string(8192, '\0')).ok());
    id_ = checkpoints_.take({{0, 'a'}, {1, '\0'}, {2, 'c'}, {7, 'h'}});
  }

  TestCheckpoints checkpoints_;
  std::string id_;
};

TEST_F(Transfer, ComesBackByteForByteAndAgainTheSame) {
  const std::string exported = export_to_text(checkpoints_.repository(), id_);
  // Another identity, other keys, other boundaries of chunks.
  const repository::TestStore store(repository::Sealing::kNone);
  const auto other = make_repository(store);
  const auto imported = import_from(*other, exported);
  ASSERT_OK(imported);
  EXPECT_EQ(imported->checkpoint, id_);
  const auto before = checkpoints_.repository().load(id_);
  const auto after = other->load(id_);
  ASSERT_OK(before);
  ASSERT_OK(after);
  EXPECT_EQ(after->application, before->application);
  EXPECT_EQ(after->incarnation, 3);
  EXPECT_EQ(after->created_at, before->created_at);
  EXPECT_EQ(after->meta, before->meta);
  ASSERT_EQ(after->pieces.size(), 1U);
  EXPECT_EQ(after->pieces[0].label, "pod-0");
  EXPECT_EQ(after->pieces[0].meta, before->pieces[0].meta);
  ASSERT_EQ(after->entries.size(), before->entries.size());
  EXPECT_GE(after->entries.size(), 16U);
  EXPECT_EQ(after->size_bytes, before->size_bytes);
  for (std::size_t i = 0; i < after->entries.size(); ++i) {
    const auto& [name, blob] = before->entries[i];
    EXPECT_EQ(after->entries[i].name, name);
    EXPECT_EQ(after->entries[i].blob.layout, blob.layout) << name;
    if (name.ends_with(".listing")) continue;  // it names the blobs: compared below
    EXPECT_TRUE(all_of(*other, after->entries[i].blob) == all_of(checkpoints_.repository(), blob)) << name;
    if (blob.layout != repository::BlobLayout::kPages) continue;
    EXPECT_EQ(*other->page_layout(after->entries[i].blob), *checkpoints_.repository().page_layout(blob)) << name;
  }
  auto tree = CheckpointTree::open(*other, id_);
  ASSERT_OK(tree);
  const auto files = (*tree)->branch("pod-0", "files");
  const auto files_before = checkpoints_.tree(id_)->branch("pod-0", "files");
  ASSERT_OK(files);
  auto entries = dynamic_cast<const ListingBranch&>(**files).entries();
  auto entries_before = dynamic_cast<const ListingBranch&>(**files_before).entries();
  ASSERT_EQ(entries.size(), entries_before.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].token.empty(), entries_before[i].token.empty());
    entries[i].token = entries_before[i].token;
    EXPECT_EQ(entries[i], entries_before[i]) << entries[i].path;
  }
  EXPECT_EQ(checkpoints_.bytes(*checkpoints_.tree(id_), "pod-0/files/twin2"), "the same");
  EXPECT_TRUE(export_to_text(*other, id_) == exported);
  ASSERT_OK(other->check(true));
  EXPECT_TRUE(other->check(true)->problems.empty());
}

TEST_F(Transfer, CostsNothingWhereItIsAlready) {
  const std::string second = checkpoints_.take({{0, 'a'}, {1, '\0'}, {2, 'c'}, {7, 'h'}});
  const std::string exported = export_to_text(checkpoints_.repository(), second);
  const auto again = import_from(checkpoints_.repository(), exported);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::kConflict);
  ASSERT_OK(checkpoints_.repository().remove(second));
  const auto back = import_from(checkpoints_.repository(), exported);
  ASSERT_OK(back);
  EXPECT_LE(back->stored_bytes, 64U << 10U);  // of 22 MiB: lists, and their packs' tables
  EXPECT_TRUE(export_to_text(checkpoints_.repository(), second) == exported);
}

TEST_F(Transfer, SealedIsReadByWhoHasTheSecret) {
  const Credential passphrase = *repository::Passphrase::from("correct horse");
  const Credential wrong = *repository::Passphrase::from("correct house");
  const Credential key = repository::SecretKey::random();
  for (const auto& credential : {passphrase, key}) {
    const std::string exported = export_to_text(checkpoints_.repository(), id_, &credential);
    EXPECT_EQ(exported.find("lj-melt"), std::string::npos);
    const repository::TestStore store;
    const auto other = make_repository(store);
    const auto with = [](Credential given) {
      return [given = std::move(given)](repository::SlotMethod) -> Result<Credential> { return given; };
    };
    EXPECT_EQ(import_from(*other, exported).error().code, ErrorCode::kUnauthenticated);
    EXPECT_EQ(import_from(*other, exported, with(wrong)).error().code, ErrorCode::kUnauthenticated);
    EXPECT_EQ(import_from(*other, exported, with(repository::SecretKey::random())).error().code,
              ErrorCode::kUnauthenticated);
    EXPECT_TRUE(other->list()->empty());
    ASSERT_OK(import_from(*other, exported, with(credential)));
    EXPECT_TRUE(export_to_text(*other, id_) == export_to_text(checkpoints_.repository(), id_));
  }
}

TEST_F(Transfer, DamageAnywhereIsRefusedAndLeavesNoCheckpoint) {
  const std::string exported = export_to_text(checkpoints_.repository(), id_);
  const repository::TestStore store;
  const auto other = make_repository(store);
  const auto refused = [&](std::string_view text, const std::string& what) {
    const auto imported = import_from(*other, text);
    ASSERT_FALSE(imported.ok()) << what;
    EXPECT_TRUE(imported.error().code == ErrorCode::kCorrupt || imported.error().code == ErrorCode::kUnsupported)
        << what << ": " << imported.error().to_string();
  };
  std::vector<std::size_t> places = {0, 7, 8, 10, 12, 13, 14, 20, 47, 48, 52, 56, 57, 60, 64, 70};
  for (std::size_t i = 0; i < 6; ++i) places.push_back(exported.size() / 6 * i + 100);
  places.push_back(exported.size() - 1);
  for (const std::size_t at : places) {
    refused(std::string_view(exported).substr(0, at), fmt::format("cut at {}", at));
    if (at == 8) continue;  // the version of the writer: a reader looks at the least reader alone
    std::string flipped = exported;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    refused(flipped, fmt::format("flipped at {}", at));
  }
  refused(exported + "x", "more behind");
  EXPECT_TRUE(other->list()->empty());
}

/// A hostile stream of records, which no block's checksum keeps out.
Result<Imported> import_records_of(const std::function<void(RecordWriter&)>& write) {
  std::string text;
  RecordWriter out([&text](std::span<const std::byte> bytes) -> Status {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  });
  write(out);
  const repository::TestStore store;
  const auto repository = make_repository(store);
  auto read = read_from(text);
  RecordReader in([&](std::span<std::byte> bytes) -> Result<std::size_t> {
    std::size_t have = 0;
    while (have < bytes.size()) {
      CACS_ASSIGN(const std::size_t got, read(bytes.subspan(have)));
      if (got == 0) break;
      have += got;
    }
    return have;
  });
  return import_records(*repository, in);
}

std::string head_text(const std::string& id) {
  return R"({"checkpoint":")" + id + R"(","application":"a","incarnation":1,"created_at":"2026-11-21T10:20:30.400Z"})";
}

TEST(Import, HostileRecordsAreRefused) {
  const std::string id = new_uuid();
  const auto with = [&id](const std::function<void(RecordWriter&)>& write) {
    return import_records_of([&](RecordWriter& out) {
      EXPECT_TRUE(out.head(head_text(id)).ok());
      write(out);
      EXPECT_TRUE(out.end().ok());
    });
  };
  const auto bytes = [](std::initializer_list<int> values) {
    std::string text;
    for (const int value : values) text += static_cast<char>(value);
    return text;
  };
  ASSERT_OK(with([](RecordWriter&) {}));
  ASSERT_OK(with([&](RecordWriter& out) {
    (void)out.entry(EntryKind::kFile, "pod-0/files/0", 2);
    (void)out.raw(as_bytes(bytes({5, 'o', 'k'})));
  }));
  const std::vector<std::pair<std::string, std::function<void(RecordWriter&)>>> cases = {
      {"two heads", [&](RecordWriter& out) { (void)out.head(head_text(id)); }},
      {"an empty name", [&](RecordWriter& out) { (void)out.entry(EntryKind::kFile, "", 0); }},
      {"a name twice",
       [&](RecordWriter& out) {
         (void)out.entry(EntryKind::kFile, "x", 0);
         (void)out.entry(EntryKind::kFile, "x", 0);
       }},
      {"a run past the end",
       [&](RecordWriter& out) {
         (void)out.entry(EntryKind::kFile, "x", 1);
         (void)out.raw(as_bytes(bytes({5, 'o', 'k'})));
       }},
      {"a run of nothing",
       [&](RecordWriter& out) {
         (void)out.entry(EntryKind::kFile, "x", 1);
         (void)out.raw(as_bytes(bytes({1})));
       }},
      {"pages past the end",
       [&](RecordWriter& out) {
         (void)out.entry(EntryKind::kPages, "x", 4096);
         (void)out.runs({{.page = 1, .count = 1}});
         (void)out.raw(as_bytes(std::string(4096, 'x')));
       }},
      {"pages backwards",
       [&](RecordWriter& out) {
         (void)out.entry(EntryKind::kPages, "x", 8192);
         (void)out.runs({{.page = 1, .count = 1}, {.page = 0, .count = 1}});
         (void)out.raw(as_bytes(std::string(8192, 'x')));
       }},
      {"more pages than there are in the layout",
       [&](RecordWriter& out) {
         (void)out.entry(EntryKind::kMemory, "x", 8192);
         (void)out.runs({{.page = 1, .count = 1}});
         (void)out.runs({{.page = 0, .count = 1}});
         (void)out.raw(as_bytes(std::string(4096, 'x')));
       }},
      {"memory without end",
       [&](RecordWriter& out) {
         (void)out.entry(EntryKind::kMemory, "x", std::uint64_t{1} << 61U);
         (void)out.runs({{.page = 0, .count = std::uint64_t{1} << 49U}});
         (void)out.runs({});
       }},
      {"a list that is none",
       [&](RecordWriter& out) {
         (void)out.entry(EntryKind::kListing, "pod-0/delta.listing", 2);
         (void)out.raw(as_bytes(bytes({5, 'o', 'k'})));
       }},
      {"an end before its time",
       [&](RecordWriter& out) {
         (void)out.raw(as_bytes(bytes({'X', 1})));
       }},
      {"something unknown",
       [&](RecordWriter& out) {
         (void)out.raw(as_bytes(bytes({'Y', 1})));
       }},
  };
  for (const auto& [what, write] : cases) {
    const auto imported = with(write);
    ASSERT_FALSE(imported.ok()) << what;
    EXPECT_EQ(imported.error().code, ErrorCode::kCorrupt) << what << ": " << imported.error().to_string();
  }
  // Zeros without end cost nothing.
  ASSERT_OK(with([&](RecordWriter& out) {
    (void)out.entry(EntryKind::kPages, "x", std::uint64_t{1} << 60U);
    (void)out.runs({});
  }));
}

TEST(Import, PagesComeInPartsThatAreNotThoseOfTheReader) {
  const std::string text = repository::random_bytes(12 << 20U, 9);
  const repository::TestStore store;
  const auto repository = make_repository(store);
  auto writer = repository->begin("test");
  ASSERT_OK(writer);
  repository::PageLayout layout;
  for (std::uint64_t i = 0; i < 3072; i += 8) layout.push_back({.page = 7 + i * 3, .count = 8});
  auto blob = (*writer)->put_pages(repository::MemoryPageSource(as_bytes(text)), layout, nullptr);
  ASSERT_OK(blob);
  repository::Manifest manifest;
  manifest.checkpoint = new_uuid();
  manifest.entries = {{"pod-0/images/pages-1.img", *blob}};
  ASSERT_OK((*writer)->commit(manifest));
  const std::string exported = export_to_text(*repository, manifest.checkpoint);
  const repository::TestStore second;
  const auto other = make_repository(second);
  ASSERT_OK(import_from(*other, exported));
  const auto loaded = other->load(manifest.checkpoint);
  ASSERT_OK(loaded);
  EXPECT_EQ(*other->page_layout(loaded->entries[0].blob), layout);
  EXPECT_TRUE(all_of(*other, loaded->entries[0].blob) == text);
}

}  // namespace
}  // namespace cacs::inspect
