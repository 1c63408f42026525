// Helper of database_test: a process that writes and can be killed, or whose disk fills up.
//   database_crash_writer write PATH     four threads write batches for ever; each acknowledged one is a line "THREAD
//   N" database_crash_writer fill PATH      writes until the disk is full; checks; makes room; goes on. Exit 0: all was
//   right
//   database_crash_writer fixture PATH   writes the database that testdata/ keeps one of for every schema
// `fill` bounds its own disk: by a small tmpfs where it may mount one, else by RLIMIT_FSIZE.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/io.h"
#include "database/database.h"

namespace cacs::database {
namespace {

[[noreturn]] void fail(const std::string& why) {
  (void)write_full(STDERR_FILENO, why + "\n");
  std::_Exit(1);
}

std::vector<Write> numbered_batch(const std::string& id, std::uint64_t number, std::uint64_t event,
                                  const std::string& padding) {
  const JsonObject state{{"number", number}, {"padding", padding}};
  std::vector<Write> writes;
  if (number == 1) {
    writes.emplace_back(CreateApplication{{.id = id, .version = {}, .state = state}});
  } else {
    writes.emplace_back(UpdateApplication{.id = id, .expected = {1, number - 1}, .owner_epoch = 1, .state = state});
  }
  writes.emplace_back(PutSetting{.key = id, .value = std::to_string(number)});
  writes.emplace_back(AddEvent{{.id = event, .application = id, .time = {}, .kind = "number", .body = state}});
  return writes;
}

void write_for_ever(Database& database, int thread, std::uint64_t first) {
  const std::string id = fmt::format("app-{}", thread);
  for (std::uint64_t number = first;; ++number) {
    const Status done = database.apply(
        numbered_batch(id, number, number * 4 + static_cast<std::uint64_t>(thread), std::string(3000, 'x')));
    if (!done.ok()) fail(done.error().to_string());
    if (!write_full(STDOUT_FILENO, fmt::format("{} {}\n", thread, number)).ok()) fail("the reader is gone");
  }
}

void write_with_threads(const std::string& path) {
  auto opened = open_sqlite(path);
  if (!opened.ok()) fail(opened.error().to_string());
  Database& database = **opened;
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    const auto row = database.find_application(fmt::format("app-{}", thread));
    const std::uint64_t first = row.ok() ? row->version.version + 1 : 1;
    threads.emplace_back([&database, thread, first] { write_for_ever(database, thread, first); });
  }
}

/// A disk that is small at first and can be made large.
class SmallDisk {
 public:
  explicit SmallDisk(const std::filesystem::path& dir) : dir_(dir) {
    std::filesystem::create_directories(dir);
    mounted_ = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               ::mount("tmpfs", dir_.c_str(), "tmpfs", 0, "size=1m") == 0;
    if (!mounted_) limit(rlim_t{1} << 20U);
  }
  void grow() const {
    if (!mounted_) return limit(RLIM_INFINITY);
    if (::mount("tmpfs", dir_.c_str(), "tmpfs", MS_REMOUNT, "size=64m") != 0) fail("remount failed");
  }

 private:
  static void limit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit now{};
    if (::getrlimit(RLIMIT_FSIZE, &now) != 0) fail("getrlimit failed");
    now.rlim_cur = std::min(bytes, now.rlim_max);
    if (::setrlimit(RLIMIT_FSIZE, &now) != 0) fail("setrlimit failed");
  }
  std::filesystem::path dir_;
  bool mounted_ = false;
};

void check_number(Database& database, std::uint64_t number) {
  const auto row = database.find_application("app");
  if (!row.ok() || row->version.version != number) fail("the application is not at the last acknowledged version");
  const auto setting = database.find_setting("app");
  if (!setting.ok() || *setting != std::to_string(number)) fail("the setting is not the acknowledged one");
  const auto event = database.last_event_id();
  if (!event.ok() || *event != number) fail("there is an event of a batch that failed");
}

void fill_disk(const std::filesystem::path& path) {
  const SmallDisk disk(path.parent_path());
  auto opened = open_sqlite(path);
  if (!opened.ok()) fail(opened.error().to_string());
  std::uint64_t number = 0;
  const std::string padding(20'000, 'y');
  Status done;
  while (done.ok()) {
    if (number > 100'000) fail("the disk never filled");
    done = (*opened)->apply(numbered_batch("app", number + 1, number + 1, padding));
    if (done.ok()) ++number;
  }
  if (done.error().code != ErrorCode::kNoSpace) fail("not kNoSpace: " + done.error().to_string());
  if ((*opened)->health().ok()) fail("a full disk is not reported by health()");
  if (number == 0) fail("nothing could be written at all");
  check_number(**opened, number);
  disk.grow();
  done = (*opened)->apply(numbered_batch("app", number + 1, number + 1, padding));
  if (!done.ok()) fail("after room was made: " + done.error().to_string());
  if (!(*opened)->health().ok()) fail("health() still complains");
  check_number(**opened, number + 1);
  opened->reset();
  opened = open_sqlite(path);
  if (!opened.ok()) fail("reopened: " + opened.error().to_string());
  check_number(**opened, number + 1);
}

void write_fixture(const std::string& path) {
  constexpr const char* kFirst = "0193aaaa-0000-7000-8000-000000000001";
  constexpr const char* kSecond = "0193aaaa-0000-7000-8000-000000000002";
  const WallTime time(std::chrono::milliseconds(1763668800000));
  auto opened = open_sqlite(path);
  if (!opened.ok()) fail(opened.error().to_string());
  const Status done = (*opened)->apply({
      CreateApplication{{.id = kFirst, .version = {3, 14}, .state = {{"state", "RUNNING"}, {"pods", JsonArray{1, 2}}}}},
      CreateApplication{{.id = kSecond, .tenant = "other", .version = {}, .state = {{"state", "QUEUED"}}}},
      PutCheckpoint{
          {.id = "0193aaaa-0000-7000-8000-00000000000a", .application = kFirst, .created_at = time, .body = {}}},
      PutCheckpoint{
          {.id = "0193aaaa-0000-7000-8000-00000000000b", .application = kFirst, .created_at = time, .body = {}}},
      PutOperation{
          {.id = "0193aaaa-0000-7000-8000-00000000000c", .application = kFirst, .updated_at = time, .body = {}}},
      AddEvent{{.id = 40, .application = kFirst, .time = time, .kind = "application.state", .body = {{"a", 1}}}},
      AddEvent{{.id = 41, .application = kSecond, .time = time, .kind = "application.state", .body = {}}},
      AddEvent{{.id = 42, .application = "", .time = time, .kind = "server.started", .body = {}}},
      UseIdempotencyKey{{.key = "key-1", .digest = "00ff", .answer = {{"id", kFirst}}, .created_at = time}},
      PutNode{{.cloud = "local", .claim = kFirst, .node = "local-0", .body = {}}},
      PutSetting{.key = "colour", .value = "blue"},
  });
  if (!done.ok()) fail(done.error().to_string());
}

}  // namespace
}  // namespace cacs::database

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv, argv + argc);
  if (args.size() != 3) return 2;
  if (args[1] == "write") cacs::database::write_with_threads(args[2]);
  if (args[1] == "fill") cacs::database::fill_disk(args[2]);
  if (args[1] == "fixture") cacs::database::write_fixture(args[2]);
  return 0;
}
