#include "database/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <map>
#include <random>
#include <string>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "database/test_directory.h"

namespace cacs::database {
namespace {

class DatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open(const Options& options = {}) {
    database_.reset();
    auto opened = open_sqlite(path_, options);
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    database_ = std::move(*opened);
  }
  Status apply(Write write) { return database_->apply({std::move(write)}); }
  Status create(const std::string& id) { return apply(CreateApplication{{.id = id, .version = {}, .state = {}}}); }

  TestDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "state" / "cacs.db";
  std::unique_ptr<Database> database_;
};

void expect_code(const Status& status, ErrorCode code) {
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, code) << status.error().to_string();
}

WallTime at(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }

TEST_F(DatabaseTest, KeepsRowsOfEveryKindOverAReopen) {
  const JsonObject body{{"text", "\xc3\xa4 \xff \"quoted\"\n"}, {"deep", JsonObject{{"n", -5}}}};
  ASSERT_TRUE(database_
                  ->apply({CreateApplication{{.id = "a1", .tenant = "t", .version = {2, 7}, .state = body}},
                           PutCheckpoint{{.id = "c1", .application = "a1", .created_at = at(11), .body = body}},
                           PutOperation{{.id = "o1", .application = "gone", .updated_at = at(12), .body = body}},
                           AddEvent{{.id = 5, .application = "a1", .time = at(13), .kind = "k", .body = body}},
                           UseIdempotencyKey{{.key = "key", .digest = "d", .answer = body, .created_at = at(14)}},
                           PutNode{{.cloud = "local", .claim = "cl", .node = "n1", .body = body}},
                           PutSetting{.key = "s", .value = "v"}})
                  .ok());
  open();
  const auto application = database_->find_application("a1");
  ASSERT_TRUE(application.ok());
  EXPECT_EQ(application->tenant, "t");
  EXPECT_EQ(application->version, (RowVersion{2, 7}));
  EXPECT_EQ(application->state, body);
  const auto checkpoints = database_->load_checkpoints("a1");
  ASSERT_TRUE(checkpoints.ok());
  ASSERT_EQ(checkpoints->size(), 1U);
  EXPECT_EQ(checkpoints->front().created_at, at(11));
  EXPECT_EQ(checkpoints->front().tenant, kDefaultTenant);
  EXPECT_EQ(checkpoints->front().body, body);
  EXPECT_EQ(database_->load_checkpoints("")->size(), 1U);
  EXPECT_TRUE(database_->load_checkpoints("a2")->empty());
  EXPECT_EQ(database_->load_operations()->front().updated_at, at(12));
  EXPECT_EQ(database_->load_events("", 4, 10)->front().kind, "k");
  EXPECT_TRUE(database_->load_events("a1", 5, 10)->empty());
  EXPECT_EQ(*database_->last_event_id(), 5U);
  EXPECT_EQ(database_->find_idempotency_key("default", "key", at(15))->answer, body);
  EXPECT_EQ(database_->load_nodes("local")->front().claim, "cl");
  EXPECT_EQ(*database_->find_setting("s"), "v");
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(DatabaseTest, AStaleWriterChangesNothing) {
  ASSERT_TRUE(create("a").ok());
  ASSERT_TRUE(apply(UpdateApplication{.id = "a", .expected = {1, 1}, .owner_epoch = 1, .state = {{"n", 1}}}).ok());
  expect_code(database_->apply({PutSetting{.key = "s", .value = "new"},
                                UpdateApplication{.id = "a", .expected = {1, 1}, .owner_epoch = 1, .state = {}}}),
              ErrorCode::kStale);
  expect_code(Status(database_->find_setting("s").error()), ErrorCode::kNotFound);
  EXPECT_EQ(database_->find_application("a")->version, (RowVersion{1, 2}));
  // Another owner takes over: the first may not even write rows beside the application's.
  ASSERT_TRUE(apply(UpdateApplication{.id = "a", .expected = {1, 2}, .owner_epoch = 2, .state = {{"n", 2}}}).ok());
  expect_code(database_->apply({PutSetting{.key = "s", .value = "x"}, RequireOwner{.application = "a"}}),
              ErrorCode::kStale);
  expect_code(apply(UpdateApplication{.id = "a", .expected = {1, 3}, .owner_epoch = 1, .state = {}}),
              ErrorCode::kStale);
  expect_code(apply(DeleteApplication{.id = "a", .expected = {2, 2}}), ErrorCode::kStale);
  EXPECT_TRUE(apply(RequireOwner{.application = "a", .owner_epoch = 2}).ok());
  expect_code(apply(RequireOwner{.application = "b", .owner_epoch = 2}), ErrorCode::kStale);
  expect_code(apply(UpdateApplication{.id = "b", .expected = {1, 1}, .owner_epoch = 1, .state = {}}),
              ErrorCode::kStale);
  expect_code(create("a"), ErrorCode::kConflict);
  EXPECT_EQ(database_->find_application("a")->state, (JsonObject{{"n", 2}}));
}

TEST_F(DatabaseTest, DeletingAnApplicationTakesWhatIsItsOwn) {
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(create(id).ok());
    ASSERT_TRUE(
        apply(PutCheckpoint{{.id = fmt::format("c-{}", id), .application = id, .created_at = {}, .body = {}}}).ok());
    ASSERT_TRUE(
        apply(PutOperation{{.id = fmt::format("o-{}", id), .application = id, .updated_at = {}, .body = {}}}).ok());
  }
  ASSERT_TRUE(apply(AddEvent{{.id = 1, .application = "a", .time = {}, .kind = "k", .body = {}}}).ok());
  ASSERT_TRUE(apply(AddEvent{{.id = 2, .application = "b", .time = {}, .kind = "k", .body = {}}}).ok());
  ASSERT_TRUE(apply(DeleteApplication{.id = "a", .expected = {1, 1}}).ok());
  ASSERT_TRUE(apply(DeleteApplication{.id = "a", .expected = {1, 1}}).ok()) << "repeated";
  EXPECT_EQ(database_->load_applications()->size(), 1U);
  EXPECT_EQ(database_->load_checkpoints("")->size(), 1U);
  EXPECT_EQ(database_->load_events("", 0, 10)->size(), 1U);
  EXPECT_EQ(database_->load_operations()->size(), 2U);
  expect_code(apply(PutCheckpoint{{.id = "c", .application = "a", .created_at = {}, .body = {}}}),
              ErrorCode::kNotFound);
}

TEST_F(DatabaseTest, EventsAreBoundedAndTheirIdsNotUsedAgain) {
  open({.max_events_per_application = 3, .max_events = 10});
  for (std::uint64_t id = 1; id <= 5; ++id) {
    ASSERT_TRUE(apply(AddEvent{{.id = id, .application = "a", .time = {}, .kind = "k", .body = {}}}).ok());
  }
  EXPECT_EQ(database_->load_events("a", 0, 100)->front().id, 3U);
  ASSERT_TRUE(apply(AddEvent{{.id = 14, .application = "b", .time = {}, .kind = "k", .body = {}}}).ok());
  EXPECT_EQ(database_->load_events("a", 0, 100)->size(), 1U) << "only 5 is within the newest ten ids";
  expect_code(apply(AddEvent{{.id = 14, .application = "b", .time = {}, .kind = "k", .body = {}}}),
              ErrorCode::kConflict);
  expect_code(apply(AddEvent{{.id = 0, .application = "b", .time = {}, .kind = "k", .body = {}}}),
              ErrorCode::kInvalidArgument);
  ASSERT_TRUE(create("b").ok());
  ASSERT_TRUE(apply(DeleteApplication{.id = "b", .expected = {1, 1}}).ok());
  open();
  EXPECT_EQ(*database_->last_event_id(), 14U);
}

TEST_F(DatabaseTest, IdempotencyKeysLiveForADay) {
  constexpr std::int64_t kDay = std::int64_t{24} * 3600 * 1000;
  const auto use = [](std::int64_t time) {
    return UseIdempotencyKey{{.key = "k", .digest = std::to_string(time), .answer = {}, .created_at = at(time)}};
  };
  ASSERT_TRUE(apply(use(1000)).ok());
  const Status again = apply(use(kDay + 999));
  expect_code(again, ErrorCode::kConflict);
  EXPECT_EQ(again.error().type, "idempotency-key-used");
  EXPECT_TRUE(database_->find_idempotency_key("default", "k", at(kDay + 999)).ok());
  EXPECT_FALSE(database_->find_idempotency_key("default", "k", at(kDay + 1000)).ok());
  EXPECT_FALSE(database_->find_idempotency_key("other", "k", at(1000)).ok());
  ASSERT_TRUE(apply(use(kDay + 1000)).ok());
  EXPECT_EQ(database_->find_idempotency_key("default", "k", at(kDay + 1001))->digest, std::to_string(kDay + 1000));
  ASSERT_TRUE(apply(ExpireIdempotencyKeys{at(kDay * 2)}).ok());
  EXPECT_TRUE(database_->find_idempotency_key("default", "k", at(kDay * 2)).ok());
  ASSERT_TRUE(apply(ExpireIdempotencyKeys{at(kDay * 2 + 1000)}).ok());
  EXPECT_FALSE(database_->find_idempotency_key("default", "k", at(kDay + 1001)).ok());
}

TEST_F(DatabaseTest, ANodeBelongsToOneClaim) {
  const auto node = [](const char* claim) { return PutNode{{.cloud = "c", .claim = claim, .node = "n", .body = {}}}; };
  ASSERT_TRUE(apply(node("one")).ok());
  ASSERT_TRUE(apply(node("one")).ok());
  expect_code(apply(node("two")), ErrorCode::kConflict);
  ASSERT_TRUE(apply(DeleteNode{.cloud = "c", .node = "n"}).ok());
  ASSERT_TRUE(apply(node("two")).ok());
}

TEST_F(DatabaseTest, OldOperationsExpireAndOthersAreDeletedByName) {
  ASSERT_TRUE(create("a").ok());
  ASSERT_TRUE(database_
                  ->apply({PutOperation{{.id = "old", .application = "a", .updated_at = at(1), .body = {}}},
                           PutOperation{{.id = "new", .application = "a", .updated_at = at(9), .body = {}}},
                           PutCheckpoint{{.id = "c", .application = "a", .created_at = {}, .body = {}}},
                           PutSetting{.key = "s", .value = "v"}})
                  .ok());
  ASSERT_TRUE(database_->apply({ExpireOperations{at(9)}, DeleteCheckpoint{"c"}, DeleteSetting{"s"}}).ok());
  EXPECT_EQ(database_->load_operations()->size(), 1U);
  EXPECT_TRUE(database_->load_checkpoints("")->empty());
  EXPECT_FALSE(database_->find_setting("s").ok());
}

TEST_F(DatabaseTest, ASecondHolderIsToldWhoHasIt) {
  const auto second = open_sqlite(path_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_EQ(second.error().type, "database-in-use");
  EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos) << second.error().message;
  database_.reset();
  EXPECT_TRUE(open_sqlite(path_).ok());
}

TEST_F(DatabaseTest, DamageIsNamedAndNothingIsMadeAnew) {
  ASSERT_TRUE(create("a").ok());
  database_.reset();
  // The schema's own page, past the header: SQLite would open the file and answer nonsense.
  const auto file = open_file(path_, O_RDWR);
  ASSERT_TRUE(file.ok());
  const std::string garbage(2000, '\x5a');
  ASSERT_TRUE(pwrite_full(file->get(), as_bytes(garbage), 100).ok());
  const auto damaged = open_sqlite(path_);
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.error().code, ErrorCode::kCorrupt) << damaged.error().to_string();
  EXPECT_NE(damaged.error().message.find(path_.string()), std::string::npos);

  ASSERT_TRUE(write_file_durably(path_, "this is a text, not a database\n").ok());
  const auto text = open_sqlite(path_);
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code, ErrorCode::kCorrupt) << text.error().to_string();
  EXPECT_EQ(*read_text_file(path_), "this is a text, not a database\n");
}

TEST(DatabaseDiskTest, AFullDiskLeavesNothingHalfWritten) {
  const TestDirectory directory;
  const auto done = run_command({.argv = {CACS_CRASH_WRITER, "fill", (directory.path() / "small" / "db").string()}});
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_TRUE(done->status.success()) << done->err;
}

/// What a killed writer had acknowledged: the highest number of each thread.
std::map<std::string, std::uint64_t> read_acknowledged(int fd) {
  std::string text;
  std::array<char, 4096> chunk{};
  while (true) {
    const ssize_t size = ::read(fd, chunk.data(), chunk.size());
    if (size <= 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(size));
  }
  std::map<std::string, std::uint64_t> highest;
  text.resize(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n'));
  for (const std::string& line : split(text, '\n')) {
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    highest["app-" + line.substr(0, space)] = std::stoull(line.substr(space + 1));
  }
  return highest;
}

TEST(DatabaseKillTest, WhatWasAcknowledgedOutlivesTheWriter) {
  const TestDirectory directory;
  const std::filesystem::path path = directory.path() / "db";
  std::minstd_rand random(20);
  std::map<std::string, std::uint64_t> acknowledged;
  for (int round = 0; round < 15; ++round) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    UniqueFd reading(ends[0]);
    UniqueFd writing(ends[1]);
    auto writer = spawn({.argv = {CACS_CRASH_WRITER, "write", path.string()}, .fds = {{writing.get(), 1}, {2, 2}}});
    ASSERT_TRUE(writer.ok()) << writer.error().to_string();
    writing.reset();
    // The instant of the kill is the test's input; the timeout of wait() is only its clock.
    const auto ended = writer->wait(std::chrono::milliseconds(30 + random() % 90));
    ASSERT_FALSE(ended.ok()) << "the writer ended by itself: " << ended->to_string();
    ASSERT_TRUE(writer->signal(SIGKILL).ok());
    ASSERT_TRUE(writer->wait().ok());
    for (const auto& [id, number] : read_acknowledged(reading.get())) acknowledged[id] = number;

    auto database = open_sqlite(path);
    ASSERT_TRUE(database.ok()) << database.error().to_string();
    for (const auto& [id, number] : acknowledged) {
      const auto row = (*database)->find_application(id);
      ASSERT_TRUE(row.ok()) << row.error().to_string();
      // One batch may have become durable just before its acknowledgement could be given.
      EXPECT_GE(row->version.version, number);
      EXPECT_LE(row->version.version, number + 1);
      EXPECT_EQ(*(*database)->find_setting(id), std::to_string(row->version.version)) << "half a batch";
      const auto events = (*database)->load_events(id, (row->version.version - 1) * 4 + 3, 10);
      ASSERT_EQ(events->size(), 1U) << "half a batch";
    }
  }
  EXPECT_EQ(acknowledged.size(), 4U) << "the writers never got to write";
}

}  // namespace
}  // namespace cacs::database
