// delta_bench DIRECTORY [SCALE]: how long a capture of the delta takes while the application is frozen, side by side:
// copying changed files on DIRECTORY's own file system, sharing blocks in an XFS image below it, and a tmpfs.
//
// The tree is the one that CACS is held to: 4 GiB in 20,000 files, one of them of 2 GiB; between two captures 20 MiB
// in 100 files change and 1 MiB is appended to the large one. SCALE divides all of that. Then plain writing, reading
// and syncing through an overlay with its upper directory on each. Writes JSON to standard output. Needs root; works in
// a mount namespace of its own, and removes what it made.

#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/io.h"
#include "delta/capture.h"
#include "delta/delta_store.h"

namespace {

namespace fs = std::filesystem;
using cacs::Status;
using cacs::UniqueFd;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 5;
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Bytes that neither compress nor deduplicate.
std::string noise(std::size_t size, std::uint64_t seed) {
  std::string bytes(size, '\0');
  std::uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
  for (char& byte : bytes) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    byte = static_cast<char>(state & 0xffU);
  }
  return bytes;
}

Status write_file(const fs::path& path, int flags, std::string_view data, std::uint64_t times) {
  CACS_ASSIGN(const UniqueFd fd, cacs::open_file(path, O_WRONLY | O_CREAT | flags));
  for (std::uint64_t i = 0; i < times; ++i) CACS_TRY(cacs::write_full(fd.get(), data));
  return {};
}

struct Tree {
  fs::path root;
  unsigned files = 20'000;
  std::uint64_t large = 2048 * kMiB;
  unsigned changed = 100;

  [[nodiscard]] fs::path file(unsigned i) const {
    return root / std::to_string(i % 200) / ("file-" + std::to_string(i));
  }
  [[nodiscard]] Status make() const {
    for (unsigned i = 0; i < 200; ++i) CACS_TRY(cacs::make_directories(root / std::to_string(i)));
    const std::string data = noise(105 * 1024, 7);
    for (unsigned i = 0; i < files; ++i) CACS_TRY(write_file(file(i), O_TRUNC, data, 1));
    return write_file(root / "large", O_TRUNC, noise(kMiB, 9), large / kMiB);
  }
  [[nodiscard]] Status change(unsigned round) const {
    const std::string data = noise(200 * 1024, round);
    for (unsigned i = 0; i < changed; ++i) CACS_TRY(write_file(file((round * 37 + i * 199) % files), O_TRUNC, data, 1));
    return write_file(root / "large", O_APPEND, noise(kMiB, round + 1), 1);
  }
};

cacs::Result<cacs::delta::Baseline> store(const cacs::delta::Snapshot& snapshot) {
  return cacs::delta::next_baseline(snapshot, std::vector<std::string>(snapshot.files().size(), "stored"));
}

Status bench_capture(const std::string& name, const fs::path& place, unsigned scale) {
  const Tree tree{
      .root = place / "root", .files = 20'000 / scale, .large = 2048 * kMiB / scale, .changed = 100 / scale};
  const fs::path staging = place / "staging";
  CACS_TRY(cacs::make_directories(staging));
  CACS_TRY(tree.make());
  CACS_TRY(cacs::delta::presync(tree.root));
  cacs::delta::Baseline baseline;
  auto start = Clock::now();
  {
    CACS_ASSIGN(const auto first, cacs::delta::capture(tree.root, staging, baseline));
    fmt::print("  {{\"place\": \"{}\", \"first_capture_ms\": {:.1f}, ", name, ms_since(start));
    CACS_ASSIGN(baseline, store(first));
  }
  std::vector<double> presync;
  std::vector<double> capture;
  std::vector<double> idle;
  std::vector<double> recapture;
  cacs::delta::CaptureStats stats;
  for (int round = 1; round <= kRounds; ++round) {
    CACS_TRY(tree.change(static_cast<unsigned>(round)));
    start = Clock::now();
    CACS_TRY(cacs::delta::presync(tree.root));
    presync.push_back(ms_since(start));
    start = Clock::now();
    CACS_ASSIGN(auto snapshot, cacs::delta::capture(tree.root, staging, baseline));
    capture.push_back(ms_since(start));
    start = Clock::now();
    CACS_TRY(cacs::delta::recapture_directories(snapshot));
    recapture.push_back(ms_since(start));
    stats = snapshot.stats();
    CACS_ASSIGN(baseline, store(snapshot));
  }
  for (int round = 0; round < kRounds; ++round) {
    ::usleep(150'000);  // past the racy window: what a program that only computes costs
    start = Clock::now();
    CACS_ASSIGN(const auto snapshot, cacs::delta::capture(tree.root, staging, baseline));
    if (round > 0) idle.push_back(ms_since(start));
    CACS_ASSIGN(baseline, store(snapshot));
  }
  fmt::print("\"presync_ms\": {:.1f}, \"capture_ms\": {:.1f}, \"recapture_ms\": {:.1f}, \"idle_capture_ms\": {:.1f}, ",
             median(presync), median(capture), median(recapture), median(idle));
  fmt::print("\"entries\": {}, \"shared_files\": {}, \"copied_files\": {}, \"copied_mib\": {}}}", stats.entries,
             stats.shared_files, stats.copied_files, stats.copied_bytes / kMiB);
  CACS_TRY(cacs::remove_tree(tree.root));
  return {};
}

Status bench_shm(const fs::path& place, unsigned scale) {
  const fs::path shm = place / "shm";
  CACS_TRY(cacs::make_directories(shm));
  CACS_TRY(cacs::make_directories(place / "shm-staging"));
  if (::mount("tmpfs", shm.c_str(), "tmpfs", 0, "size=90%") != 0) return cacs::errno_error(errno, "mount a tmpfs");
  CACS_TRY(write_file(shm / "segment", O_TRUNC, noise(kMiB, 3), 1024 / scale));
  std::vector<double> capture;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    CACS_ASSIGN(const auto snapshot, cacs::delta::capture(shm, place / "shm-staging", {}));
    capture.push_back(ms_since(start));
  }
  fmt::print("  {{\"place\": \"tmpfs of {} MiB\", \"capture_ms\": {:.1f}}}", 1024 / scale, median(capture));
  if (::umount2(shm.c_str(), 0) != 0) return cacs::errno_error(errno, "unmount the tmpfs");
  return {};
}

/// Throughput of a plain program through an overlay with its upper directory in `place`.
Status bench_overlay(const std::string& name, const fs::path& place, unsigned scale) {
  const fs::path base = place / "overlay";
  for (const char* part : {"lower", "upper", "work", "merged"}) CACS_TRY(cacs::make_directories(base / part));
  const std::string options = "index=off,xino=off,redirect_dir=off,metacopy=off,lowerdir=" + (base / "lower").native() +
                              ",upperdir=" + (base / "upper").native() + ",workdir=" + (base / "work").native();
  const fs::path merged = base / "merged";
  if (::mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) != 0) {
    return cacs::errno_error(errno, "mount an overlay");
  }
  const std::uint64_t mib = 1024 / scale;
  const std::string data = noise(kMiB, 5);
  auto start = Clock::now();
  CACS_TRY(write_file(merged / "file", O_TRUNC, data, mib));
  {
    CACS_ASSIGN(const UniqueFd fd, cacs::open_file(merged / "file", O_RDONLY));
    if (::fsync(fd.get()) != 0) return cacs::errno_error(errno, "fsync");
    const double write_ms = ms_since(start);
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    std::vector<std::byte> buffer(kMiB);
    start = Clock::now();
    while (true) {
      CACS_ASSIGN(const std::size_t got, cacs::read_full(fd.get(), buffer));
      if (got == 0) break;
    }
    fmt::print("  {{\"overlay\": \"{}\", \"write_fsync_mib_s\": {:.0f}, \"read_mib_s\": {:.0f}, ", name,
               static_cast<double>(mib) * 1000 / write_ms, static_cast<double>(mib) * 1000 / ms_since(start));
  }
  CACS_ASSIGN(const UniqueFd small, cacs::open_file(merged / "small", O_WRONLY | O_CREAT));
  start = Clock::now();
  for (unsigned i = 0; i < 200; ++i) {
    CACS_TRY(cacs::pwrite_full(small.get(), cacs::as_bytes(std::string_view(data).substr(0, 4096)), i * 4096));
    if (::fsync(small.get()) != 0) return cacs::errno_error(errno, "fsync");
  }
  const double fsync_ms = ms_since(start) / 200;
  start = Clock::now();
  for (unsigned i = 0; i < 5000; ++i) {
    CACS_TRY(write_file(merged / ("n" + std::to_string(i)), O_TRUNC, std::string_view(data).substr(0, 4096), 1));
  }
  fmt::print("\"append_4k_fsync_ms\": {:.3f}, \"create_5000_files_ms\": {:.0f}}}", fsync_ms, ms_since(start));
  if (::umount2(merged.c_str(), MNT_DETACH) != 0) return cacs::errno_error(errno, "unmount the overlay");
  return {};
}

Status run(const fs::path& base, unsigned scale) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return cacs::errno_error(errno, "enter a mount namespace (this benchmark needs root)");
  }
  const fs::path plain = base / "plain";
  CACS_TRY(cacs::make_directories(plain));
  CACS_TRY(cacs::make_directories(base / "state"));
  fmt::print("[\n");
  CACS_TRY(bench_capture("own file system", plain, scale));
  CACS_ASSIGN(const auto image, cacs::delta::open_delta_store(base / "state"));
  fmt::print(",\n");
  const std::string kind = image.kind == cacs::delta::DeltaStoreKind::kImage ? "XFS image" : "store: " + image.problem;
  CACS_TRY(bench_capture(kind, image.directory, scale));
  fmt::print(",\n");
  CACS_TRY(bench_shm(plain, scale));
  fmt::print(",\n");
  CACS_TRY(bench_overlay("own file system", plain, scale));
  fmt::print(",\n");
  CACS_TRY(bench_overlay(kind, image.directory, scale));
  fmt::print("\n]\n");
  return cacs::delta::close_delta_store(image);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: delta_bench DIRECTORY [SCALE]\n");
    return 2;
  }
  const unsigned scale = argc > 2 ? static_cast<unsigned>(std::max(1L, std::strtol(argv[2], nullptr, 10))) : 1;
  std::string place = (fs::path(argv[1]) / "delta-bench-XXXXXX").native();
  if (::mkdtemp(place.data()) == nullptr) {
    std::perror("make a directory");
    return 1;
  }
  const Status done = run(place, scale);
  if (!done.ok()) fmt::print(stderr, "delta_bench: {}\n", done.error().to_string());
  const Status removed = cacs::remove_tree(place);
  if (!removed.ok()) fmt::print(stderr, "delta_bench: {}\n", removed.error().to_string());
  return done.ok() && removed.ok() ? 0 : 1;
}
