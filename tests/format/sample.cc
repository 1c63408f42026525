#include "sample.h"

#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "base/io.h"
#include "base/uuid.h"
#include "repository/unlock.h"

namespace {

std::atomic<bool>& compressing() {
  static std::atomic<bool> value = false;
  return value;
}

}  // namespace

// The linker puts the first in the place of the library's function (--wrap), which keeps its own under the second name:
// how a repository without compression is made while the writer has no switch for it.
extern "C" {
size_t __real_ZSTD_compressCCtx(ZSTD_CCtx* context, void* out, size_t room, const void* from, size_t bytes,  // NOLINT
                                int level);
size_t __wrap_ZSTD_compressCCtx(ZSTD_CCtx* context, void* out, size_t room, const void* from, size_t bytes,  // NOLINT
                                int level) {
  if (compressing()) return __real_ZSTD_compressCCtx(context, out, room, from, bytes, level);
  return static_cast<size_t>(-1);  // an error: the codec stores the bytes as they are
}
}

namespace cacs::format {

using repository::BlobRef;
using repository::PageLayout;
using repository::Repository;
using repository::StreamKind;

namespace {

constexpr std::size_t kPage = repository::kPageBytes;

/// Bytes that do not compress, the same for the same seed.
std::string noise(std::size_t bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

/// Every page follows from its address and the version in which it last changed.
std::string memory(SampleSize size, int version) {
  const std::uint64_t zero_every = size == SampleSize::kTiny ? 3 : 5;
  std::string bytes;
  for (const auto& extent : sample_layout(size, version)) {
    for (std::uint64_t page = extent.page; page < extent.page + extent.count; ++page) {
      if (page % zero_every == 1) {
        bytes.append(kPage, '\0');
      } else {
        const std::uint64_t changed = page % 7 == 0 ? static_cast<std::uint64_t>(version) : 0;
        bytes += noise(kPage, page * 8 + changed);
      }
    }
  }
  return bytes;
}

/// Grows in place; its last page is not whole.
std::string shared_memory(SampleSize size, int version) {
  const std::size_t pages = size == SampleSize::kTiny ? 1 : 130;
  return noise(pages * kPage, 77) + std::string(3 * kPage, '\0') + noise(static_cast<std::size_t>(version) * 1000, 78);
}

/// Data and zeros in turns: many entries for its bytes, so that the large one has nodes above nodes.
std::string comb(SampleSize size) {
  const std::size_t teeth = size == SampleSize::kTiny ? 2 : 700;
  std::string bytes;
  for (std::size_t i = 0; i < teeth; ++i) bytes += noise(kPage, 1000 + i) + std::string(kPage, '\0');
  return bytes;
}

Result<BlobRef> put(repository::Writer& writer, const std::string& name, const std::string& bytes,
                    const PageLayout& layout, const BlobRef* parent) {
  const repository::MemoryPageSource pages(as_bytes(bytes));
  if (name == "memory") return writer.put_pages(pages, layout, parent);
  if (name == "shared") return writer.put_pages(pages, parent);
  repository::MemorySource source(as_bytes(bytes));
  return writer.put(source, name == "records" ? StreamKind::kMetadata : StreamKind::kFile);
}

}  // namespace

void set_compression(Compressing value) { compressing() = value == Compressing::kYes; }

PageLayout sample_layout(SampleSize size, int version) {
  const auto more = static_cast<std::uint64_t>(version);
  if (size == SampleSize::kTiny) return {{.page = 0x7ffff7dd5, .count = 1 + more}, {.page = 0x555, .count = 2}};
  return {{.page = 0x7ffff7dd5, .count = 100},
          {.page = 0x555555554, .count = 200 + 10 * more},
          {.page = 0x400, .count = 70},
          {.page = (std::uint64_t{1} << 47U) + more, .count = 3}};
}

Contents sample_contents(SampleSize size, int version) {
  const bool tiny = size == SampleSize::kTiny;
  Contents contents{{"memory", memory(size, version)},
                    {"shared", shared_memory(size, version)},
                    {"comb", comb(size)},
                    {"records", noise(tiny ? 9000 : 200000, 5) + std::string(5000, 'r')},
                    {"small \xc3\xa4", "version " + std::to_string(version)},
                    {"empty", ""},
                    {"zeros", std::string(1000000, '\0')}};
  if (!tiny) contents["file"] = noise(900000, 6) + noise(static_cast<std::size_t>(version) * 100, 9) + noise(500000, 7);
  return contents;
}

Result<Sample> make_sample(const std::filesystem::path& directory, SampleSize size) {
  CACS_ASSIGN(auto place, repository::local_place(directory));
  CACS_ASSIGN(auto made, repository::create_repository(std::move(place), repository::SecretKey::random(),
                                                       {.sealing = repository::Sealing::kNone}));
  Sample sample;
  std::map<std::string, BlobRef> before;
  for (int version = 1; version <= kVersions; ++version) {
    std::vector<repository::Entry> entries;
    std::vector<std::string> pieces;
    // The first half of the names in one piece, the rest in another.
    CACS_ASSIGN(auto writer, made->begin("part"));
    for (const auto& [name, bytes] : sample_contents(size, version)) {
      const auto parent = before.find(name);
      CACS_ASSIGN(const BlobRef blob, put(*writer, name, bytes, sample_layout(size, version),
                                          parent == before.end() ? nullptr : &parent->second));
      before[name] = blob;
      entries.push_back({.name = name, .blob = blob});
      if (entries.size() < 4) continue;
      CACS_ASSIGN(std::string piece, writer->finish_piece(std::exchange(entries, {}), {{"of", version}}));
      pieces.push_back(std::move(piece));
      CACS_ASSIGN(writer, made->begin("part"));
    }
    CACS_ASSIGN(std::string last, writer->finish_piece(std::move(entries), {}));
    pieces.push_back(std::move(last));
    sample.checkpoints.push_back(new_uuid());
    CACS_TRY(made->commit_checkpoint({.checkpoint = sample.checkpoints.back(),
                                      .application = "sample",
                                      .incarnation = version,
                                      .meta = {{"version", version}}},
                                     pieces));
  }
  CACS_ASSIGN(auto writer, made->begin("left behind"));
  CACS_ASSIGN(const BlobRef blob, writer->put_bytes("not committed"));
  CACS_TRY(writer->finish_piece({{.name = "note", .blob = blob}}, {}));
  return sample;
}

Result<std::unique_ptr<Repository>> open_sample(const std::filesystem::path& directory) {
  CACS_ASSIGN(auto place, repository::local_place(directory));
  return repository::open_repository(std::move(place), []() -> Result<repository::Credential> {
    return make_error(ErrorCode::kInternal, "an unsealed one asks for no key");
  });
}

}  // namespace cacs::format
