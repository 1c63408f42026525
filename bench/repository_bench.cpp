// repository_bench DIRECTORY [MiB]: how fast the repository takes in and gives back, and what a checkpoint costs of
// which 5 % of the pages, scattered, have changed. Prints JSON, one line a measurement.

#include <fcntl.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/io.h"
#include "base/uuid.h"
#include "repository/repository.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
using Clock = std::chrono::steady_clock;

constexpr std::size_t kPage = 4096;

/// Half of the pages do not compress, half compress well, as in a process's memory.
void fill_page(std::span<char> page, std::mt19937_64& random) {
  const bool compressible = random() % 2 == 0;
  const std::uint64_t base = random();
  for (std::size_t i = 0; i < page.size(); i += sizeof base) {
    const std::uint64_t word = compressible ? base + i : random();
    std::memcpy(&page[i], &word, sizeof word);
  }
}

/// Processor time of this process: what to compare on a machine that others use too.
double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <typename T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().to_string().c_str());
    std::exit(1);
  }
  return std::move(*result);
}
void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
  std::exit(1);
}

std::string store(Repository& repository, int fd, StreamKind kind, const char* what, std::size_t size) {
  const auto start = Clock::now();
  const double cpu_start = cpu_seconds();
  auto writer = must(repository.begin("bench"));
  FdSource source(fd);
  const BlobRef blob = must(writer->put(source, kind));
  const double ingest = std::chrono::duration<double>(Clock::now() - start).count();
  const double cpu = cpu_seconds() - cpu_start;
  Manifest manifest{.checkpoint = new_uuid(), .application = "bench"};
  manifest.entries.push_back({"image", blob});
  std::string id = manifest.checkpoint;
  must(writer->commit(std::move(manifest)));
  const double all = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf(
      R"({"what":"%s","mib":%.0f,"ingest_s":%.3f,"cpu_s":%.3f,"with_commit_s":%.3f,"mb_per_cpu_s":%.0f,"stored_mib":%.2f})"
      "\n",
      what, static_cast<double>(size) / 1048576, ingest, cpu, all, static_cast<double>(size) / 1e6 / cpu,
      static_cast<double>(must(repository.load(id)).stored_bytes) / 1048576);
  return id;
}

void measure(Repository& repository, StreamKind kind, const char* kind_name, int fd, std::string& image) {
  std::mt19937_64 random(kind == StreamKind::kMemory ? 7 : 8);
  const std::string label(kind_name);
  must(pwrite_full(fd, as_bytes(image), 0));
  store(repository, fd, kind, (label + " first").c_str(), image.size());
  store(repository, fd, kind, (label + " unchanged").c_str(), image.size());
  const std::size_t pages = image.size() / kPage;
  for (std::size_t i = 0; i < pages; ++i) {
    if (random() % 20 == 0) fill_page(std::span(image).subspan(i * kPage, kPage), random);
  }
  must(pwrite_full(fd, as_bytes(image), 0));
  const std::string id = store(repository, fd, kind, (label + " 5% of pages changed").c_str(), image.size());
  const BlobRef blob = must(repository.load(id)).entries.at(0).blob;
  const auto start = Clock::now();
  const double cpu_start = cpu_seconds();
  NullSink sink;
  must(repository.read_blob(blob, sink));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const double cpu = cpu_seconds() - cpu_start;
  std::printf(R"({"what":"%s read and verified","s":%.3f,"cpu_s":%.3f,"mb_per_cpu_s":%.0f})"
              "\n",
              kind_name, seconds, cpu, static_cast<double>(image.size()) / 1e6 / cpu);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: repository_bench DIRECTORY [MiB]\n");
    return 2;
  }
  const std::filesystem::path directory = std::filesystem::path(argv[1]) / ("repository-bench-" + new_uuid());
  const std::size_t size = (argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 512) << 20U;
  must(make_directories(directory));
  {
    std::mt19937_64 random(1);
    std::string image(size, '\0');
    for (std::size_t at = 0; at < size; at += kPage) fill_page(std::span(image).subspan(at, kPage), random);
    const UniqueFd fd = must(open_file(directory / "image", O_RDWR | O_CREAT));
    for (const auto& [kind, name] : {std::pair{StreamKind::kMemory, "memory"}, std::pair{StreamKind::kFile, "file"}}) {
      auto repository = must(Repository::create(directory / name));
      measure(*repository, kind, name, fd.get(), image);
      const Stats stats = must(repository->stats());
      const auto start = Clock::now();
      must(repository->collect());
      std::printf(R"({"what":"%s","chunks":%llu,"index_kib":%zu,"packs":%zu,"collect_s":%.3f})"
                  "\n",
                  name, static_cast<unsigned long long>(stats.chunks), stats.index_bytes / 1024, stats.packs,
                  std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  must(remove_tree(directory));
  return 0;
}
