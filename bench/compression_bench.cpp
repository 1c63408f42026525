// compression_bench DIRECTORY [MIB]: how long storing memory takes that is never compressed, always (zstd at its
// fastest), and by the rule, for several kinds of data and stores of several speeds: the form of Figure 5 of Goiri et
// al. 2010. Medians of three rounds and more where they are short, the ways in another order each round, each in a
// repository of its own whose policy starts without experience. Ends with 1 when the rule takes more than 1.05 times as
// long as the better of the other two.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "base/uuid.h"
#include "data_model.h"
#include "must.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/limited_backend.h"
#include "repository/repository.h"

namespace {

using namespace cacs;              // NOLINT(google-build-using-namespace)
using namespace cacs::bench;       // NOLINT(google-build-using-namespace)
using namespace cacs::repository;  // NOLINT(google-build-using-namespace)
using Clock = std::chrono::steady_clock;

// Short rounds differ by more than the tenth part that decides here, mostly by what the disk is doing: they are
// measured more often.
constexpr std::size_t kLeastRounds = 3;
constexpr std::size_t kMostRounds = 21;
constexpr double kSecondsOfRounds = 15;
constexpr double kAllowed = 1.05;
/// Bytes a second; 0: as fast as the directory is.
constexpr std::array<std::uint64_t, 5> kRates = {10'000'000, 40'000'000, 160'000'000, 640'000'000, 0};

// --- data ------------------------------------------------------------------------------------------------------------

struct Kind {
  std::string_view name;
  std::function<void(std::string&, Random&)> fill;
};

std::vector<Kind> kinds() {
  const auto all_of = [](Fill fill) {
    return [fill](std::string& out, Random& random) { fill(out, 0, out.size(), random); };
  };
  return {{"text", all_of(fill_text)},
          {"records", all_of(fill_records)},
          {"floats", all_of(fill_floats)},
          {"random", all_of(fill_random)},
          {"in turn", fill_mixed}};
}

// --- measuring -------------------------------------------------------------------------------------------------------

struct Way {
  std::string_view name;
  std::optional<std::size_t> only;  ///< of kCompressionWays
};
constexpr std::array<Way, 3> kWays = {{{"never", 0}, {"always", 2}, {"the rule", std::nullopt}}};

struct Measured {
  double seconds = 0;
  std::uint64_t stored = 0;
};

Measured store(const std::filesystem::path& where, const std::string& memory, std::uint64_t rate, const Way& way) {
  std::filesystem::create_directories(where);
  auto files = make_file_backend(make_file_storage(where));
  const std::string secret(SecretKey::kBytes, 'k');
  Place place{make_limited_backend(std::move(files), {.upload_rate = rate, .burst = std::uint64_t{1} << 16U}),
              TenantKeys(Sealing::kAes256Gcm, {{1, SecretKey(as_bytes(secret).first<SecretKey::kBytes>())}}),
              make_process_gate()};
  const auto repository = must(Repository::create(std::move(place)));
  repository->compression().use_only(way.only);
  const auto start = Clock::now();
  auto writer = must(repository->begin("compression"));
  Manifest manifest{.checkpoint = new_uuid(), .application = "compression"};
  manifest.entries.push_back({"memory", must(writer->put_pages(MemoryPageSource(as_bytes(memory)), nullptr))});
  must(writer->commit(std::move(manifest)));
  const Measured measured{.seconds = std::chrono::duration<double>(Clock::now() - start).count(),
                          .stored = must(repository->stats()).stored_bytes};
  std::filesystem::remove_all(where);
  return measured;
}

/// One line: a kind of data, a store. False when the rule is too slow.
bool compare(const std::filesystem::path& where, const Kind& kind, const std::string& memory, std::uint64_t rate) {
  std::array<std::vector<double>, kWays.size()> seconds;
  std::array<std::uint64_t, kWays.size()> stored{};
  double spent = 0;
  for (std::size_t round = 0; round < kLeastRounds || (round < kMostRounds && spent < kSecondsOfRounds); ++round) {
    for (std::size_t turn = 0; turn < kWays.size(); ++turn) {
      const std::size_t way = (turn + round) % kWays.size();
      const Measured measured = store(where, memory, rate, kWays.at(way));
      seconds.at(way).push_back(measured.seconds);
      stored.at(way) = measured.stored;
      spent += measured.seconds;
    }
  }
  std::array<double, kWays.size()> median{};
  for (std::size_t way = 0; way < kWays.size(); ++way) {
    std::sort(seconds.at(way).begin(), seconds.at(way).end());
    median.at(way) = seconds.at(way)[seconds.at(way).size() / 2];
  }
  const double ratio = median[2] / std::min(median[0], median[1]);
  const std::string store_name = rate == 0 ? "no limit" : std::to_string(rate / 1'000'000) + " MB/s";
  std::printf("%-8s %-9s %8.2f %8.2f %8.2f   %5.2f   %5.0f %5.0f\n", std::string(kind.name).c_str(), store_name.c_str(),
              median[0], median[1], median[2], ratio, static_cast<double>(stored[1]) / 1048576,
              static_cast<double>(stored[2]) / 1048576);
  std::fflush(stdout);
  return ratio <= kAllowed;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: compression_bench DIRECTORY [MIB]\n");
    return 2;
  }
  const std::filesystem::path where = std::filesystem::path(argv[1]) / "compression";
  const std::size_t mib = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 128;
  std::printf("%zu MiB of   store        never   always the rule   ratio   MiB: always, rule\n", mib);
  bool good = true;
  for (const Kind& kind : kinds()) {
    std::string memory(mib << 20U, '\0');
    Random random(1);
    kind.fill(memory, random);
    for (const std::uint64_t rate : kRates) good = compare(where, kind, memory, rate) && good;
  }
  if (!good) std::fprintf(stderr, "the rule took more than %.2f times as long as the better of the two\n", kAllowed);
  return good ? 0 : 1;
}
