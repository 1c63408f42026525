#include "database/schema.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "base/io.h"
#include "database/database.h"
#include "database/test_directory.h"

namespace cacs::database {
namespace {

constexpr std::chrono::milliseconds kBusy{1000};

std::filesystem::path copy_of_fixture(const TestDirectory& directory) {
  std::filesystem::path copy = directory.path() / "copy.db";
  std::filesystem::copy_file(std::filesystem::path(CACS_DATABASE_TESTDATA) / "schema1.db", copy);
  return copy;
}

// The fixture was written by the first build with schema 1: see testdata/README.md. It must be readable for ever.
TEST(SchemaTest, TheFirstSchemaIsStillRead) {
  const TestDirectory directory;
  const auto opened = open_sqlite(copy_of_fixture(directory));
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  Database& database = **opened;
  const auto applications = database.load_applications();
  ASSERT_TRUE(applications.ok());
  ASSERT_EQ(applications->size(), 2U);
  EXPECT_EQ(applications->front().id, "0193aaaa-0000-7000-8000-000000000001");
  EXPECT_EQ(applications->front().tenant, "default");
  EXPECT_EQ(applications->front().version, (RowVersion{3, 14}));
  EXPECT_EQ(json_string_or(applications->front().state, "state", ""), "RUNNING");
  EXPECT_EQ(database.load_checkpoints(applications->front().id)->size(), 2U);
  EXPECT_EQ(database.load_operations()->size(), 1U);
  EXPECT_EQ(database.load_events("", 0, 100)->size(), 3U);
  EXPECT_EQ(*database.last_event_id(), 42U);
  EXPECT_TRUE(
      database.find_idempotency_key("default", "key-1", WallTime(std::chrono::milliseconds(1763668800001))).ok());
  EXPECT_EQ(database.load_nodes("local")->size(), 1U);
  EXPECT_EQ(*database.find_setting("colour"), "blue");
  EXPECT_TRUE(database.apply({PutSetting{.key = "colour", .value = "red"}}).ok());
}

constexpr const char* kAddColumn = "ALTER TABLE nodes ADD COLUMN zone TEXT NOT NULL DEFAULT 'here'";

TEST(SchemaTest, GoesForwardFromTheFixtureStepByStep) {
  const TestDirectory directory;
  auto connection = Connection::open(copy_of_fixture(directory), kBusy);
  ASSERT_TRUE(connection.ok());
  const std::array steps{migrations().front(), Migration{2, kAddColumn},
                         Migration{3, "UPDATE nodes SET zone='there'; CREATE TABLE extra(n INTEGER)"}};
  ASSERT_TRUE(migrate(*connection, steps).ok());
  EXPECT_EQ(*connection->query_number("PRAGMA user_version"), 3);
  EXPECT_EQ(*connection->query_number("SELECT count(*) FROM nodes WHERE zone='there'"), 1);
  ASSERT_TRUE(migrate(*connection, steps).ok()) << "again: nothing to do";
}

TEST(SchemaTest, AStepThatFailsLeavesTheOneBeforeIt) {
  const TestDirectory directory;
  auto connection = Connection::open(copy_of_fixture(directory), kBusy);
  ASSERT_TRUE(connection.ok());
  const std::array steps{migrations().front(), Migration{2, kAddColumn},
                         Migration{3, "CREATE TABLE half(n INTEGER); UPDATE no_such_table SET n=1"}};
  const Status failed = migrate(*connection, steps);
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().message.find("version 3"), std::string::npos) << failed.error().message;
  EXPECT_EQ(*connection->query_number("PRAGMA user_version"), 2);
  EXPECT_EQ(*connection->query_number("SELECT count(*) FROM sqlite_schema WHERE name='half'"), 0);
  EXPECT_FALSE(connection->in_transaction());
}

TEST(SchemaTest, ANewerSchemaIsRefused) {
  const TestDirectory directory;
  const std::filesystem::path path = copy_of_fixture(directory);
  {
    auto connection = Connection::open(path, kBusy);
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(connection->execute("PRAGMA user_version=999").ok());
  }
  const auto opened = open_sqlite(path);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(opened.error().message.find("999"), std::string::npos) << opened.error().message;
}

TEST(SchemaTest, AnotherProgramsDatabaseIsLeftAlone) {
  const TestDirectory directory;
  const std::filesystem::path path = directory.path() / "other.db";
  ASSERT_TRUE(write_file_durably(path, "").ok());
  {
    auto connection = Connection::open(path, kBusy);
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(connection->execute("CREATE TABLE theirs(n INTEGER)").ok());
  }
  const auto opened = open_sqlite(path);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument) << opened.error().to_string();
}

}  // namespace
}  // namespace cacs::database
