// repository_bench DIRECTORY [MIB [memory|files|misses|steps]]: the figures of docs/repository.md: what the sizes of
// segments and chunks cost and bring, what the sparse index misses, and what each step takes by size. Medians of three,
// files in DIRECTORY. MIB is the memory that is stored (512). Prints tables as they stand there.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/uuid.h"
#include "data_model.h"
#include "must.h"
#include "repository/backend/file_backend.h"
#include "repository/repository.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::bench;       // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
using Clock = std::chrono::steady_clock;

constexpr int kRepetitions = 3;
constexpr double kMega = 1e6;
constexpr std::size_t kMebi = std::size_t{1} << 20U;

/// Of kCompressionWays.
constexpr std::size_t kNever = 0;
constexpr std::size_t kFast = 2;

// --- a repository ----------------------------------------------------------------------------------------------------

struct How {
  Sealing sealing = Sealing::kAes256Gcm;
  std::optional<std::size_t> way = std::nullopt;  ///< of compressing; none: the rule
  StorageSizes sizes = {};
};

/// In a directory that is empty at the start, and gone at the end.
class Bed {
 public:
  explicit Bed(const std::filesystem::path& below, const How& how = {}) : where_(below / "repository"), how_(how) {
    std::filesystem::remove_all(where_);
    std::filesystem::create_directories(where_);
    must(Repository::create(place()));
  }
  Bed(const Bed&) = delete;
  Bed& operator=(const Bed&) = delete;
  ~Bed() { std::filesystem::remove_all(where_); }

  /// As a new process would.
  [[nodiscard]] std::unique_ptr<Repository> open() const {
    auto repository = must(Repository::open(place()));
    repository->compression().use_only(how_.way);
    return repository;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return where_; }

 private:
  [[nodiscard]] Place place() const {
    const std::string secret(SecretKey::kBytes, 'k');
    auto keys = how_.sealing == Sealing::kNone
                    ? TenantKeys::unsealed("a repository to measure")
                    : TenantKeys(how_.sealing, {{1, SecretKey(as_bytes(secret).first<SecretKey::kBytes>())}});
    return {.backend = make_file_backend(make_file_storage(where_)),
            .keys = std::move(keys),
            .gate = make_file_gate(where_),
            .sizes = how_.sizes};
  }
  std::filesystem::path where_;
  How how_;
};

struct Stored {
  std::string id;
  BlobRef blob;
  std::uint64_t bytes = 0;  ///< of packs
};

Stored store(Repository& repository, const std::function<BlobRef(Writer&)>& put) {
  Stored stored{.id = new_uuid(), .blob = {}, .bytes = 0};
  auto writer = must(repository.begin("bench", stored.id));
  stored.blob = put(*writer);
  must(writer->commit({.checkpoint = stored.id, .application = "bench", .entries = {{"it", stored.blob}}}));
  stored.bytes = must(repository.load(stored.id)).stored_bytes;
  return stored;
}

Stored store_memory(Repository& repository, const std::string& memory, const BlobRef* parent) {
  return store(repository,
               [&](Writer& writer) { return must(writer.put_pages(MemoryPageSource(as_bytes(memory)), parent)); });
}

Stored store_stream(Repository& repository, const std::string& bytes, StreamKind kind) {
  return store(repository, [&](Writer& writer) {
    MemorySource source(as_bytes(bytes));
    return must(writer.put(source, kind));
  });
}

// --- time ------------------------------------------------------------------------------------------------------------

struct Spent {
  double wall = 0;
  double processor = 0;  ///< of all threads
};

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Spent timed(const std::function<void()>& act) {
  const double before = processor_seconds();
  const auto start = Clock::now();
  act();
  return {.wall = std::chrono::duration<double>(Clock::now() - start).count(),
          .processor = processor_seconds() - before};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

Spent median(const std::vector<Spent>& all) {
  std::vector<double> wall;
  std::vector<double> processor;
  for (const Spent& each : all) {
    wall.push_back(each.wall);
    processor.push_back(each.processor);
  }
  return {.wall = median(wall), .processor = median(processor)};
}

double rate(std::size_t bytes, double seconds) { return static_cast<double>(bytes) / kMega / std::max(seconds, 1e-6); }
double mega(std::uint64_t bytes) { return static_cast<double>(bytes) / kMega; }

/// Restores a blob into a file, which is removed.
Spent restore(const Bed& bed, const BlobRef& blob) {
  const auto repository = bed.open();
  const auto path = bed.path() / "restored";
  const Spent spent = timed([&] {
    const UniqueFd fd = must(open_file(path, O_WRONLY | O_CREAT | O_TRUNC));
    must(repository->restore_blob(blob, fd.get()));
  });
  std::filesystem::remove(path);
  return spent;
}

// --- memory ----------------------------------------------------------------------------------------------------------

std::string make_memory(std::size_t mib) {
  std::string memory(mib * kMebi, '\0');
  Random random(1);
  fill_mixed(memory, random);
  return memory;
}

/// Writes anew every page with this probability, as the page was of its kind: one word of it is another.
void change(std::string& memory, double share, std::uint64_t seed) {
  Random random(seed);
  std::uniform_real_distribution<> chance;
  for (std::size_t at = 0; at < memory.size(); at += kPageBytes) {
    if (chance(random) >= share) continue;
    fill_random(memory, at + 512, at + 520, random);
  }
}

void measure_ingest(const std::filesystem::path& where, const std::string& memory) {
  struct Row {
    std::string_view name;
    double share = 0;
    std::vector<Spent> spent = {};
    std::uint64_t stored = 0;
  };
  std::vector<Row> rows = {{"first version"}, {"unchanged", 0}, {"5 % of the pages changed", 0.05}, {"all changed", 1}};
  for (int repetition = 0; repetition < kRepetitions; ++repetition) {
    const Bed bed(where);
    const auto repository = bed.open();
    std::string now = memory;
    Stored last;
    for (Row& row : rows) {
      const BlobRef before = last.blob;
      if (row.share > 0) change(now, row.share, static_cast<std::uint64_t>(row.share * 1000));
      const BlobRef* parent = last.id.empty() ? nullptr : &before;
      row.spent.push_back(timed([&] { last = store_memory(*repository, now, parent); }));
      row.stored = last.bytes;
    }
  }
  fmt::print("\n| a version of {} MB | s | MB a second of processor time | stored, MB |\n| --- | --- | --- | --- |\n",
             memory.size() / 1'000'000);
  for (const Row& row : rows) {
    const Spent spent = median(row.spent);
    fmt::print("| {} | {:.2f} | {:.0f} | {:.1f} |\n", row.name, spent.wall, rate(memory.size(), spent.processor),
               mega(row.stored));
  }
}

void measure_ways(const std::filesystem::path& where, const std::string& memory) {
  struct Row {
    std::string_view name;
    How how;
  };
  const std::vector<Row> rows = {
      {"AES-256-GCM, the rule", {}},
      {"AES-256-GCM, not compressed", {.way = kNever}},
      {"ChaCha20-Poly1305, not compressed", {.sealing = Sealing::kChaCha20Poly1305, .way = kNever}},
      {"unsealed, not compressed", {.sealing = Sealing::kNone, .way = kNever}},
      {"AES-256-GCM, lz4", {.way = 1}},
      {"AES-256-GCM, zstd 1", {.way = kFast}},
      {"AES-256-GCM, zstd 3", {.way = 3}},
      {"AES-256-GCM, zstd 6", {.way = 4}}};
  fmt::print("\n| first version | s | MB a second of processor time | stored, MB |\n| --- | --- | --- | --- |\n");
  for (const Row& row : rows) {
    std::vector<Spent> all;
    std::uint64_t stored = 0;
    for (int repetition = 0; repetition < kRepetitions; ++repetition) {
      const Bed bed(where, row.how);
      const auto repository = bed.open();
      all.push_back(timed([&] { stored = store_memory(*repository, memory, nullptr).bytes; }));
    }
    const Spent spent = median(all);
    fmt::print("| {} | {:.2f} | {:.0f} | {:.1f} |\n", row.name, spent.wall, rate(memory.size(), spent.processor),
               mega(stored));
  }
}

/// Milliseconds for one page anywhere, nothing of it in a cache.
double read_pages(const Bed& bed, const BlobRef& blob) {
  constexpr int kReads = 200;
  const auto repository = bed.open();
  const auto reader = must(repository->open_reader(blob));
  std::array<std::byte, kPageBytes> page{};
  must(reader->read_at(0, page));  // tables and the root
  Random random(5);
  const Spent spent = timed([&] {
    for (int i = 0; i < kReads; ++i) must(reader->read_at(random() % (blob.size / kPageBytes) * kPageBytes, page));
  });
  return spent.wall / kReads * 1000;
}

void measure_segments(const std::filesystem::path& where, const std::string& memory) {
  fmt::print(
      "\n| pages a segment | first version, MB | 1 % of the pages changed, MB | that one restored, s | one page read, "
      "ms "
      "|\n| --- | --- | --- | --- | --- |\n");
  for (const std::size_t slots : {4U, 16U, 32U, 64U, 128U, 256U}) {
    How how{.way = kFast};
    how.sizes.segments.at(0) = {.slots = slots, .bytes = slots * kPageBytes};
    const Bed bed(where, how);
    Stored first;
    Stored second;
    {
      const auto repository = bed.open();
      std::string now = memory;
      first = store_memory(*repository, now, nullptr);
      change(now, 0.01, 10);
      second = store_memory(*repository, now, &first.blob);
    }
    std::vector<Spent> restored;
    std::vector<double> read;
    for (int repetition = 0; repetition < kRepetitions; ++repetition) {
      restored.push_back(restore(bed, second.blob));
      read.push_back(read_pages(bed, second.blob));
    }
    fmt::print("| {} | {:.1f} | {:.2f} | {:.2f} | {:.2f} |\n", slots, mega(first.bytes), mega(second.bytes),
               median(restored).wall, median(read));
  }
}

/// What no page of random bytes needs of its own: nodes, tables, hooks, tags.
void measure_overhead(const std::filesystem::path& where) {
  std::string memory(256 * kMebi, '\0');
  Random random(2);
  fill_random(memory, 0, memory.size(), random);
  const Bed bed(where, {.way = kNever});
  const auto repository = bed.open();
  const Stored first = store_memory(*repository, memory, nullptr);
  const auto pages = static_cast<double>(memory.size()) / static_cast<double>(kPageBytes);
  fmt::print("\nNodes, tables, hooks and tags: {:.1f} bytes a page ({:.2f} %).\n",
             static_cast<double>(first.bytes - memory.size()) / pages,
             100 * static_cast<double>(first.bytes - memory.size()) / static_cast<double>(memory.size()));
}

// --- files -----------------------------------------------------------------------------------------------------------

struct ChunkRow {
  std::size_t min = 0;
  unsigned mask_bits = 0;
  std::size_t max = 0;
};

/// `edits` short insertions anywhere.
std::string edited(const std::string& text, int edits) {
  Random random(3);
  std::vector<std::size_t> places(static_cast<std::size_t>(edits));
  for (auto& place : places) place = random() % text.size();
  std::sort(places.begin(), places.end());
  std::string result;
  std::size_t from = 0;
  for (const std::size_t place : places) {
    result.append(text, from, place - from);
    result.append(1 + random() % 64, 'x');
    from = place;
  }
  return result.append(text, from);
}

void measure_chunks(const std::filesystem::path& where, StreamKind kind, const std::string& text, int edits,
                    const std::vector<ChunkRow>& rows) {
  fmt::print(
      "\n| {}, {} MB: smallest and largest chunk, KiB | first version, MB | {} insertions, KB | MB a second of "
      "processor "
      "time |\n| --- | --- | --- | --- |\n",
      kind == StreamKind::kFile ? "a file" : "records", text.size() / 1'000'000, edits);
  const std::string next = edited(text, edits);
  for (const ChunkRow& row : rows) {
    How how{.way = kFast};
    how.sizes.chunks.at(static_cast<std::size_t>(kind)) = {.min = row.min, .max = row.max, .mask_bits = row.mask_bits};
    std::vector<Spent> all;
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    for (int repetition = 0; repetition < kRepetitions; ++repetition) {
      const Bed bed(where, how);
      const auto repository = bed.open();
      all.push_back(timed([&] { first = store_stream(*repository, text, kind).bytes; }));
      second = store_stream(*repository, next, kind).bytes;
    }
    fmt::print("| {:g} to {:g} | {:.2f} | {:.0f} | {:.0f} |\n", static_cast<double>(row.min) / 1024,
               static_cast<double>(row.max) / 1024, mega(first), static_cast<double>(second) / 1000,
               rate(text.size(), median(all).processor));
  }
}

void measure_files(const std::filesystem::path& where) {
  std::string text(64 * kMebi, '\0');
  Random random(6);
  fill_text(text, 0, text.size(), random);
  measure_chunks(
      where, StreamKind::kFile, text, 50,
      {{4096, 14, 65536}, {8192, 15, 131072}, {16384, 16, 262144}, {32768, 17, 524288}, {65536, 18, 1048576}});
  text.resize(8 * kMebi);
  fill_records(text, 0, text.size(), random);
  measure_chunks(where, StreamKind::kMetadata, text, 50,
                 {{512, 11, 16384}, {1024, 12, 32768}, {2048, 13, 65536}, {4096, 14, 131072}, {16384, 16, 262144}});
}

// --- the sparse index ------------------------------------------------------------------------------------------------

/// Runs of pages of an old checkpoint turn up elsewhere, in a process that has seen nothing yet and knows no parent.
void measure_misses(const std::filesystem::path& where) {
  constexpr std::size_t kOld = 512 * kMebi;  // 16 packs
  constexpr std::size_t kNewer = 288 * kMebi;
  constexpr std::size_t kAgain = 64 * kMebi;
  std::string memory(kOld + kNewer, '\0');
  Random random(4);
  fill_random(memory, 0, memory.size(), random);
  const Bed bed(where, {.way = kNever});
  store_memory(*bed.open(), memory, nullptr);  // the tables of the last 8 packs are at hand, these are from before
  fmt::print("\n| old content turns up in runs of pages | stored again |\n| --- | --- |\n");
  for (const std::size_t run : {1U, 8U, 32U, 64U, 256U, 1024U}) {
    std::vector<std::size_t> runs(kOld / (run * kPageBytes));
    std::iota(runs.begin(), runs.end(), 0);
    std::shuffle(runs.begin(), runs.end(), random);
    std::string again;
    again.reserve(kAgain);
    for (std::size_t i = 0; again.size() < kAgain; ++i) {
      again.append(memory, runs.at(i) * run * kPageBytes, run * kPageBytes);
    }
    const Stored stored = store_memory(*bed.open(), again, nullptr);
    fmt::print("| {} | {:.1f} % |\n", run, 100 * static_cast<double>(stored.bytes) / static_cast<double>(kAgain));
  }
}

// --- by size ---------------------------------------------------------------------------------------------------------

void measure_steps(const std::filesystem::path& where, std::size_t largest_mib) {
  fmt::print(
      "\n| memory, MiB | clone and commit, ms | delete, ms | first byte, ms | restore, MB/s | collect, nothing to do, "
      "s "
      "a GiB | collect, half rewritten, s a GiB |\n| --- | --- | --- | --- | --- | --- | --- |\n");
  for (std::size_t mib = largest_mib / 16; mib <= largest_mib; mib *= 4) {
    std::string memory = make_memory(mib);
    const double gib = static_cast<double>(mib) / 1024;
    std::vector<double> clone;
    std::vector<double> removal;
    std::vector<double> first_byte;
    std::vector<double> restored;
    std::vector<double> marked;
    std::vector<double> rewritten;
    for (int repetition = 0; repetition < kRepetitions; ++repetition) {
      const Bed bed(where, {.way = kFast});
      const Stored first = store_memory(*bed.open(), memory, nullptr);
      auto repository = bed.open();
      Stored copy;
      clone.push_back(timed([&] {
                        copy = store(*repository, [&](Writer& writer) {
                          must(writer.reuse(first.blob));
                          return first.blob;
                        });
                      }).wall);
      removal.push_back(timed([&] { must(repository->remove(copy.id)); }).wall);
      marked.push_back(timed([&] { must(bed.open()->collect()); }).wall);
      std::array<std::byte, 1> byte{};
      first_byte.push_back(timed([&] {
                             const auto fresh = bed.open();
                             const auto manifest = must(fresh->load(first.id));
                             must(must(fresh->open_reader(manifest.entries.at(0).blob))->read_at(0, byte));
                           }).wall);
      restored.push_back(restore(bed, first.blob).wall);
      std::string next = memory;
      change(next, 0.5, 11);
      store_memory(*repository, next, &first.blob);
      must(repository->remove(first.id));
      rewritten.push_back(timed([&] { must(bed.open()->collect({.max_garbage = 0})); }).wall);
    }
    fmt::print("| {} | {:.1f} | {:.1f} | {:.1f} | {:.0f} | {:.2f} | {:.2f} |\n", mib, median(clone) * 1000,
               median(removal) * 1000, median(first_byte) * 1000, rate(memory.size(), median(restored)),
               median(marked) / gib, median(rewritten) / gib);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: repository_bench DIRECTORY [MIB [memory|files|misses|steps]]\n");
    return 2;
  }
  const std::filesystem::path where = std::filesystem::path(argv[1]) / ("repository-bench-" + new_uuid());
  std::filesystem::create_directories(where);
  const std::size_t mib = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 512;
  if (mib < 64) {
    std::fprintf(stderr, "repository_bench: MIB has to be a number from 64\n");
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // it takes some minutes
  const std::string memory = make_memory(mib);
  const std::string_view only = argc > 3 ? argv[3] : "";
  const auto wanted = [&](std::string_view section) { return only.empty() || only == section; };
  if (wanted("memory")) {
    measure_ingest(where, memory);
    measure_ways(where, memory);
    measure_segments(where, memory);
    measure_overhead(where);
  }
  if (wanted("files")) measure_files(where);
  if (wanted("misses")) measure_misses(where);
  if (wanted("steps")) measure_steps(where, mib);
  std::filesystem::remove_all(where);
  return 0;
}
