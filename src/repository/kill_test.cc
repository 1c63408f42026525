// Processes that store, remove and collect in one directory at once, and are killed (SIGKILL) at any moment: with the
// gate and with sessions. What a process was told to be committed is there, bit for bit; what was removed is not; and
// collections leave no garbage. CACS_KILL_ROUNDS sets the number of kills, CACS_KILL_SEED the choice of them (the
// moments are the machine's own).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <sstream>

#include "base/fd.h"
#include "base/text.h"
#include "repository/backend/file_backend.h"
#include "repository/layout.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

std::uint64_t env_number(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

enum class Kind { kGate, kSessions };
constexpr std::size_t kPages = 24;
using Pages = std::array<std::uint64_t, kPages>;  ///< the seed of each page

std::string memory_of(const Pages& pages) {
  std::string bytes;
  for (const std::uint64_t seed : pages) bytes += random_bytes(kPageBytes, seed);
  return bytes;
}

Place place_in(const std::filesystem::path& directory, Kind kind) {
  return {.backend = make_file_backend(make_file_storage(directory)),
          .keys = test_keys(),
          .gate = kind == Kind::kGate ? make_file_gate(directory) : nullptr};
}

// --- in the child ----------------------------------------------------------------------------------------------------

/// Tells the parent. A line is written whole or not at all (it is shorter than PIPE_BUF).
void tell(int pipe, const std::string& line) {
  const std::string text = line + "\n";
  if (::write(pipe, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(2);
}

struct Made {
  std::string id;
  Pages pages{};
  BlobRef blob;
};

/// One that may be tried again, and says nothing of what is stored.
bool is_passing(const Error& error) {
  return error.code == ErrorCode::kAborted || error.code == ErrorCode::kUnavailable ||
         error.code == ErrorCode::kConflict;
}

Result<BlobRef> store(Repository& repository, const Made& made, const BlobRef* parent) {
  CACS_ASSIGN(const auto writer, repository.begin("test", made.id));
  const std::string memory = memory_of(made.pages);
  CACS_ASSIGN(const BlobRef blob, writer->put_pages(MemoryPageSource(as_bytes(memory)), parent));
  CACS_TRY(writer->commit({.checkpoint = made.id, .application = "a", .entries = {{"memory", blob}}}));
  return blob;
}

Status write_and_remove(Repository& repository, std::mt19937_64& random, std::vector<Made>& mine, int pipe) {
  if (!mine.empty() && random() % 3 == 0) {
    const auto at = static_cast<std::ptrdiff_t>(random() % mine.size());
    const std::string id = mine[static_cast<std::size_t>(at)].id;
    tell(pipe, "removing " + id);
    CACS_TRY(repository.remove(id));
    tell(pipe, "removed " + id);
    mine.erase(mine.begin() + at);
    return {};
  }
  Made next{.id = new_uuid()};
  const Made* parent = mine.empty() ? nullptr : &mine[random() % mine.size()];
  if (parent != nullptr) next.pages = parent->pages;
  for (auto& page : next.pages) {
    // Few different ones, so that several writers store the same and refer to each other's.
    if (parent == nullptr || random() % 6 == 0) page = random() % 200;
  }
  std::ostringstream line;
  for (const std::uint64_t page : next.pages) line << ' ' << page;
  tell(pipe, "storing " + next.id + line.str());
  CACS_ASSIGN(next.blob, store(repository, next, parent == nullptr ? nullptr : &parent->blob));
  tell(pipe, "stored " + next.id);
  mine.push_back(std::move(next));
  return {};
}

[[noreturn]] void work(const std::filesystem::path& directory, Kind kind, bool collector, std::uint64_t seed,
                       int pipe) {
  spdlog::set_level(spdlog::level::off);
  const auto opened = Repository::open(place_in(directory, kind));
  if (!opened) {
    tell(pipe, "failed " + opened.error().to_string());
    ::_exit(1);
  }
  std::mt19937_64 random(seed);
  std::vector<Made> mine;
  for (;;) {
    Status status;
    if (collector) {
      const auto collected = (*opened)->collect({.max_garbage = random() % 2 == 0 ? 0.0 : 0.2});
      if (!collected) status = collected.error();
      if (collected) tell(pipe, "collected " + std::to_string(collected->packs_removed + collected->packs_written));
    } else {
      status = write_and_remove(**opened, random, mine, pipe);
    }
    if (!status && !is_passing(status.error())) {
      tell(pipe, "failed " + status.error().to_string());
      ::_exit(1);
    }
  }
}

// --- in the parent ---------------------------------------------------------------------------------------------------

enum class Fate { kUnknown, kStored, kRemoved };
struct Known {
  Pages pages{};
  Fate fate = Fate::kUnknown;
};

class Child {
 public:
  Child(const std::filesystem::path& directory, Kind kind, bool collector, std::uint64_t seed) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
    from_ = UniqueFd(ends[0]);
    UniqueFd to(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) work(directory, kind, collector, seed, to.get());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { kill(); }
  [[nodiscard]] int fd() const { return from_.get(); }

  /// Whole lines that were written since; false at the end.
  bool read_lines(std::vector<std::string>& lines) {
    std::array<char, 16384> buffer{};
    const ssize_t got = ::read(from_.get(), buffer.data(), buffer.size());
    if (got <= 0) return false;
    rest_.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n')) {
      lines.push_back(rest_.substr(0, end));
      rest_.erase(0, end + 1);
    }
    return true;
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd from_;
  std::string rest_;
};

class KillTest : public ::testing::TestWithParam<Kind> {
 protected:
  static constexpr std::size_t kChildren = 4;
  [[nodiscard]] static bool is_collector(std::size_t child) { return child + 1 == kChildren; }

  void start(std::size_t child) {
    children_[child].reset();
    children_[child] = std::make_unique<Child>(dir_.path(), GetParam(), is_collector(child), random_());
  }

  void take(const std::string& line) {
    std::istringstream words(line);
    std::string what;
    std::string id;
    words >> what >> id;
    ASSERT_NE(what, "failed") << line;
    if (what == "storing") {
      Known known;
      for (auto& page : known.pages) words >> page;
      all_[id] = known;
    } else if (what == "stored") {
      all_.at(id).fate = Fate::kStored;
    } else if (what == "removing") {
      all_.at(id).fate = Fate::kUnknown;
    } else if (what == "removed") {
      all_.at(id).fate = Fate::kRemoved;
    } else if (what == "collected") {
      collected_ += std::stoull(id);
    }
  }
  void drain(std::size_t child) {
    std::vector<std::string> lines;
    while (children_[child]->read_lines(lines)) {
    }
    for (const auto& line : lines) ASSERT_NO_FATAL_FAILURE(take(line));
  }
  /// Listens until about so many lines have come.
  void listen(std::size_t count) {
    std::array<pollfd, kChildren> polled{};
    for (std::size_t heard = 0; heard < count;) {
      for (std::size_t i = 0; i < kChildren; ++i) polled.at(i) = {.fd = children_[i]->fd(), .events = POLLIN};
      ASSERT_GT(::poll(polled.data(), polled.size(), 60'000), 0) << "nobody gets on";
      for (std::size_t i = 0; i < kChildren; ++i) {
        if (polled.at(i).revents == 0) continue;
        std::vector<std::string> lines;
        const bool lives = children_[i]->read_lines(lines);
        for (const auto& line : lines) ASSERT_NO_FATAL_FAILURE(take(line));
        ASSERT_TRUE(lives) << "child " << i << " has ended by itself";
        heard += lines.size();
      }
    }
  }

  void expect_truth(Repository& repository) {
    for (const auto& [id, known] : all_) {
      const auto manifest = repository.load(id);
      if (known.fate == Fate::kRemoved || (known.fate == Fate::kUnknown && !manifest)) {
        ASSERT_FALSE(manifest.ok()) << id << " was removed";
        ASSERT_EQ(manifest.error().code, ErrorCode::kNotFound) << manifest.error().to_string();
        continue;
      }
      ASSERT_TRUE(manifest.ok()) << id << " is lost: " << manifest.error().to_string();
      const auto text = read_text(repository, manifest->entries.at(0).blob);
      ASSERT_TRUE(text.ok()) << id << ": " << text.error().to_string();
      ASSERT_TRUE(*text == memory_of(known.pages)) << id;
    }
    const auto checked = repository.check(true);
    ASSERT_OK(checked);
    EXPECT_TRUE(checked->problems.empty()) << checked->problems.front().to_string();
  }

  TemporaryDirectory dir_;
  std::mt19937_64 random_{env_number("CACS_KILL_SEED", 1)};
  std::array<std::unique_ptr<Child>, kChildren> children_;
  std::map<std::string, Known> all_;
  std::uint64_t collected_ = 0;
};

TEST_P(KillTest, NothingThatWasCommittedIsLost) {
  { ASSERT_OK(Repository::create(place_in(dir_.path(), GetParam()))); }
  for (std::size_t i = 0; i < kChildren; ++i) start(i);
  const std::uint64_t rounds = env_number("CACS_KILL_ROUNDS", 40);
  // On a busy machine it takes a while until a collector is let in, and not killed before it is done.
  const auto enough = [&](std::uint64_t round) { return round >= rounds && (collected_ > 0 || round >= 50 * rounds); };
  for (std::uint64_t round = 0; !enough(round); ++round) {
    ASSERT_NO_FATAL_FAILURE(listen(1 + random_() % 12));
    // Not always right after something was told.
    std::array<pollfd, 1> nobody{{{.fd = -1}}};
    ::poll(nobody.data(), nobody.size(), static_cast<int>(random_() % 6));
    const std::size_t victim = random_() % kChildren;
    children_[victim]->kill();
    ASSERT_NO_FATAL_FAILURE(drain(victim));
    start(victim);
  }
  for (std::size_t i = 0; i < kChildren; ++i) children_[i]->kill();
  for (std::size_t i = 0; i < kChildren; ++i) ASSERT_NO_FATAL_FAILURE(drain(i));
  const auto stored = std::ranges::count_if(all_, [](const auto& item) { return item.second.fate == Fate::kStored; });
  EXPECT_GT(stored, 0);
  RecordProperty("checkpoints", std::to_string(all_.size()));
  RecordProperty("packs_collected", std::to_string(collected_));
  EXPECT_GT(collected_, 0U);
  // A process that was not there.
  const auto opened = Repository::open(place_in(dir_.path(), GetParam()));
  ASSERT_OK(opened);
  ASSERT_NO_FATAL_FAILURE(expect_truth(**opened));
  ASSERT_OK((*opened)->drop_all_pieces());
  for (int run = 0; run < 6; ++run) ASSERT_OK((*opened)->collect({.max_garbage = 0}));
  const auto last = (*opened)->collect({.max_garbage = 0});
  ASSERT_OK(last);
  EXPECT_EQ(last->packs_removed + last->packs_written + last->packs_condemned, 0U) << "garbage stays";
  EXPECT_EQ(last->bytes_garbage, 0U);
  ASSERT_NO_FATAL_FAILURE(expect_truth(**opened));
}

INSTANTIATE_TEST_SUITE_P(All, KillTest, ::testing::Values(Kind::kGate, Kind::kSessions),
                         [](const auto& each) { return each.param == Kind::kGate ? "Gate" : "Sessions"; });

}  // namespace
}  // namespace cacs::repository
