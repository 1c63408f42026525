// The reader in read_repository.py was written from docs/repository-format.md: what it makes of a repository is what
// the document says, and has to be what was stored.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/process.h"
#include "base/uuid.h"
#include "repository/stream.h"
#include "sample.h"

namespace cacs::format {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr std::string_view kFixture = CACS_FORMAT_DIRECTORY "/fixtures/repository-2";

/// A directory that is removed at the end.
class Scratch {
 public:
  Scratch() : path_(fs::temp_directory_path() / ("cacs-format-" + new_uuid())) { fs::create_directories(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { fs::remove_all(path_); }
  [[nodiscard]] fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Captured run_script(const std::string& script, std::vector<std::string> arguments) {
  std::vector<std::string> argv{CACS_PYTHON, "-B", CACS_FORMAT_DIRECTORY "/" + script};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  auto captured = run_command({.argv = argv}, std::chrono::seconds(250));
  EXPECT_TRUE(captured.ok()) << captured.error().to_string();
  return captured.ok() ? *captured : Captured{.status = {.value = 99}};
}

Captured read(const fs::path& repository, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), repository);
  return run_script("read_repository.py", std::move(arguments));
}

class FormatTest : public ::testing::Test {
 protected:
  void SetUp() override { set_compression(Compressing::kNo); }

  Sample make(SampleSize size) {
    auto sample = make_sample(repository_, size);
    EXPECT_TRUE(sample.ok()) << sample.error().to_string();
    return sample.ok() ? *sample : Sample{};
  }

  /// The reader restores each entry of the version as it was stored.
  void expect_restored(const Sample& sample, SampleSize size, int version) {
    const std::string& id = sample.checkpoints.at(static_cast<std::size_t>(version - 1));
    for (const auto& [name, bytes] : sample_contents(size, version)) {
      const fs::path out = scratch_ / "restored";
      const auto restored = read(repository_, {"restore", id, name, out});
      ASSERT_TRUE(restored.status.success()) << name << ": " << restored.err;
      // Not EXPECT_EQ: it would print megabytes.
      EXPECT_TRUE(slurp(out) == bytes) << name << " of version " << version;
    }
    std::string expected;
    for (const auto& extent : sample_layout(size, version)) {
      expected += std::to_string(extent.page) + " " + std::to_string(extent.count) + "\n";
    }
    EXPECT_EQ(read(repository_, {"layout", id, "memory"}).out, expected);
  }

  std::size_t rewritten_packs() {
    return static_cast<std::size_t>(
        std::ranges::count_if(fs::directory_iterator(repository_ / "packs"),
                              [](const auto& file) { return file.path().extension() == ".2"; }));
  }

  Scratch scratch_;
  fs::path repository_ = scratch_ / "repository";
};

TEST_F(FormatTest, ReaderRestoresEveryEntryOfEveryVersion) {
  const Sample sample = make(SampleSize::kLarge);
  for (int version = 1; version <= kVersions; ++version) expect_restored(sample, SampleSize::kLarge, version);
  const auto verified = read(repository_, {"verify"});
  EXPECT_TRUE(verified.status.success()) << verified.err;
}

TEST_F(FormatTest, ReaderRestoresAfterACollectionThatRewrotePacks) {
  const Sample sample = make(SampleSize::kLarge);
  {
    auto repository = open_sample(repository_);
    ASSERT_TRUE(repository.ok()) << repository.error().to_string();
    ASSERT_TRUE((*repository)->remove(sample.checkpoints.front()).ok());
    const auto collected = (*repository)->collect({.max_garbage = 0});
    ASSERT_TRUE(collected.ok()) << collected.error().to_string();
    ASSERT_GT(collected->packs_written, 0U);
  }
  EXPECT_GT(rewritten_packs(), 0U);
  EXPECT_THAT(read(repository_, {"restore", sample.checkpoints.front(), "empty", scratch_ / "none"}).err,
              HasSubstr("no checkpoint"));
  for (int version = 2; version <= kVersions; ++version) expect_restored(sample, SampleSize::kLarge, version);
  EXPECT_TRUE(read(repository_, {"verify"}).status.success());
}

TEST_F(FormatTest, ReaderLists) {
  const Sample sample = make(SampleSize::kTiny);
  const auto list = read(repository_, {"list"});
  ASSERT_TRUE(list.status.success()) << list.err;
  for (const auto& id : sample.checkpoints) EXPECT_THAT(list.out, HasSubstr(id + " sample"));
  EXPECT_EQ(std::ranges::count(list.out, '\n'), kVersions);
  const auto entries = read(repository_, {"entries", sample.checkpoints.front()});
  ASSERT_TRUE(entries.status.success()) << entries.err;
  EXPECT_THAT(entries.out, HasSubstr("1000000 zeros zeros\n"));
  EXPECT_THAT(entries.out, HasSubstr("0 zeros empty\n"));
  EXPECT_THAT(entries.out, HasSubstr("9 chunk small"));
  EXPECT_THAT(entries.out, HasSubstr("16384 pages memory\n"));
  EXPECT_THAT(entries.out, HasSubstr("16384 file comb\n"));
}

TEST_F(FormatTest, ReaderNoticesEveryFlippedBit) {
  make(SampleSize::kTiny);
  const auto flipped = run_script("flip_bits.py", {repository_});
  EXPECT_TRUE(flipped.status.success()) << flipped.out << flipped.err;
  EXPECT_THAT(flipped.out, HasSubstr("all noticed"));
}

TEST_F(FormatTest, ReaderNoticesAnObjectUnderAnotherName) {
  make(SampleSize::kTiny);
  for (const auto* folder : {"manifests", "packs"}) {
    std::vector<fs::path> files;
    for (const auto& file : fs::directory_iterator(repository_ / folder)) files.push_back(file.path());
    ASSERT_GE(files.size(), 2U);
    const std::string first = slurp(files[0]);
    fs::copy_file(files[1], files[0], fs::copy_options::overwrite_existing);
    const auto verified = read(repository_, {"verify"});
    EXPECT_EQ(verified.status.value, 1) << folder;
    EXPECT_THAT(verified.err, HasSubstr("damaged")) << folder;
    std::ofstream(files[0], std::ios::binary) << first;
    ASSERT_TRUE(read(repository_, {"verify"}).status.success());
  }
}

TEST_F(FormatTest, ReaderSaysSoWhenASegmentIsCompressed) {
  set_compression(Compressing::kYes);
  const Sample sample = make(SampleSize::kTiny);
  const auto restored = read(repository_, {"restore", sample.checkpoints.front(), "records", scratch_ / "out"});
  EXPECT_EQ(restored.status.value, 1);
  EXPECT_THAT(restored.err, HasSubstr("compressed with zstd"));
}

// --- the golden repository -------------------------------------------------------------------------------------------

/// Version 1 of it was removed, and its space collected. The ids were printed when it was made.
const Sample& golden() {
  static const Sample kSample{.checkpoints = {"01a1fe10-754b-7fe0-bbd6-602dd4cadfde",
                                              "01a1fe10-7597-7c68-a57d-035156a009ed",
                                              "01a1fe10-75df-7e2e-8019-7450689c26c7"}};
  return kSample;
}

TEST_F(FormatTest, GoldenRepositoryIsStillRead) {
  fs::copy(kFixture, repository_, fs::copy_options::recursive);
  ASSERT_GT(rewritten_packs(), 0U);
  auto opened = open_sample(repository_);
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  repository::Repository& golden_repository = **opened;
  EXPECT_EQ(golden_repository.load(golden().checkpoints.front()).error().code, ErrorCode::kNotFound);
  for (int version = 2; version <= kVersions; ++version) {
    const auto manifest = golden_repository.load(golden().checkpoints.at(static_cast<std::size_t>(version - 1)));
    ASSERT_TRUE(manifest.ok()) << manifest.error().to_string();
    EXPECT_EQ(manifest->application, "sample");
    EXPECT_EQ(manifest->incarnation, version);
    Contents contents;
    for (const auto& entry : manifest->entries) {
      repository::StringSink sink(entry.blob.size);
      ASSERT_TRUE(golden_repository.read_blob(entry.blob, sink).ok()) << entry.name;
      contents[entry.name] = sink.take();
      if (entry.name != "memory") continue;
      const auto layout = golden_repository.page_layout(entry.blob);
      ASSERT_TRUE(layout.ok());
      EXPECT_EQ(*layout, sample_layout(SampleSize::kTiny, version));
    }
    EXPECT_TRUE(contents == sample_contents(SampleSize::kTiny, version));
  }
  const auto pieces = golden_repository.list_pieces();
  ASSERT_TRUE(pieces.ok());
  ASSERT_EQ(pieces->size(), 1U);
  EXPECT_EQ(golden_repository.load_piece(pieces->front())->info.label, "left behind");
  const auto checked = golden_repository.check(true);
  ASSERT_TRUE(checked.ok());
  EXPECT_TRUE(checked->problems.empty());
}

TEST_F(FormatTest, GoldenRepositoryCanBeGoneOnWith) {
  fs::copy(kFixture, repository_, fs::copy_options::recursive);
  auto opened = open_sample(repository_);
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  const auto parent = (*opened)->load(golden().checkpoints.back());
  ASSERT_TRUE(parent.ok());
  const auto memory = std::ranges::find(parent->entries, "memory", &repository::Entry::name);
  ASSERT_NE(memory, parent->entries.end());
  auto writer = (*opened)->begin("more");
  ASSERT_TRUE(writer.ok());
  const std::string bytes = sample_contents(SampleSize::kTiny, kVersions).at("memory");
  const repository::MemoryPageSource source(std::as_bytes(std::span(bytes)));
  const auto blob = (*writer)->put_pages(source, sample_layout(SampleSize::kTiny, kVersions), &memory->blob);
  ASSERT_TRUE(blob.ok());
  ASSERT_TRUE((*writer)->commit({.checkpoint = new_uuid(), .entries = {{.name = "memory", .blob = *blob}}}).ok());
  // No page was stored again: content ids are made as they were.
  EXPECT_LT((*writer)->stored_bytes(), 4096U);
}

}  // namespace
}  // namespace cacs::format
