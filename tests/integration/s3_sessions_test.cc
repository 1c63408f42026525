// A repository that several machines write to in a real bucket (CACS_S3_SERVER: swift or moto), made, filled and
// collected by the program itself, with a writer beside it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/json.h"
#include "repository/backend/retry_backend.h"
#include "repository/keys/key_file.h"
#include "repository/levels/remote_level.h"
#include "repository/test_support.h"
#include "repository/unlock.h"
#include "s3_server.h"

namespace cacs::repository {
namespace {

using cacs::testing::S3Server;

class S3Sessions : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* kind = std::getenv("CACS_S3_SERVER");
    ASSERT_NE(kind, nullptr) << "set CACS_S3_SERVER to swift or moto";
    auto started = S3Server::start(kind);
    ASSERT_OK(started);
    server_ = *std::move(started);
    ASSERT_OK(server_->make_bucket("shared"));
  }

  /// The program, with this bucket for its repository.
  [[nodiscard]] Result<Captured> run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), CACS_BINARY);
    arguments.insert(arguments.end(), {"-o", "json"});
    const S3Options options = server_->options("shared");
    Command command;
    command.argv = std::move(arguments);
    command.env = {"PATH=/usr/bin:/bin",
                   "HOME=" + directory_.path().string(),
                   "CACS_REPOSITORY=s3://shared/team?endpoint=" + server_->endpoint() + "&region=" + options.region,
                   "CACS_KEY_FILE=" + (directory_.path() / "team.key").string(),
                   "AWS_ACCESS_KEY_ID=" + server_->keys().access_key,
                   "AWS_SECRET_ACCESS_KEY=" + server_->keys().secret_key};
    return run_command(command);
  }
  /// What it answers.
  [[nodiscard]] JsonObject json(std::vector<std::string> arguments) const {
    const auto ran = run(std::move(arguments));
    EXPECT_TRUE(ran.ok());
    if (!ran) return {};
    EXPECT_EQ(ran->status.value, 0) << ran->err;
    auto parsed = parse_json_object(ran->out, "answer");
    EXPECT_TRUE(parsed.ok()) << ran->out;
    return parsed ? *parsed : JsonObject{};
  }

  /// As a process of another machine has it.
  [[nodiscard]] Result<std::unique_ptr<Repository>> open() const {
    CACS_ASSIGN(auto bucket, S3Backend::open(server_->options("shared", "team/"), server_->credentials()));
    const std::shared_ptr<Backend> shared = std::move(bucket);
    return open_repository({.backend = make_retry_backend(make_shared_backend(shared)),
                            .gate = nullptr,
                            .plain = make_shared_backend(shared)},
                           [&] { return key(); });
  }
  [[nodiscard]] Result<Credential> key() const {
    CACS_ASSIGN(const SecretKey key, read_key_file(directory_.path() / "team.key"));
    return Credential(key);
  }

  static Result<BlobRef> store(Repository& repository, const std::string& id, std::uint64_t seed,
                               const BlobRef* parent) {
    CACS_ASSIGN(const auto writer, repository.begin("test", id));
    // The first half is everybody's.
    const std::string memory = random_bytes(600'000, 1) + random_bytes(600'000, seed);
    CACS_ASSIGN(const BlobRef blob, put_text(*writer, memory, StreamKind::kMemory, parent));
    CACS_TRY(writer->commit({.checkpoint = id, .application = "app", .entries = {{"memory", blob}}}));
    return blob;
  }

  std::unique_ptr<S3Server> server_;
  TemporaryDirectory directory_;
};

TEST_F(S3Sessions, AreCollectedBesideAWriter) {
  EXPECT_EQ(json_string_or(json({"repo", "init"}), "sealing", ""), "aes-256-gcm");
  const auto one = open();
  const auto two = open();
  ASSERT_OK(one);
  ASSERT_OK(two);
  ASSERT_TRUE((*one)->has_sessions());
  const std::string first = new_uuid();
  const std::string second = new_uuid();
  const std::string third = new_uuid();
  const auto blob = store(**one, first, 2, nullptr);
  ASSERT_OK(blob);
  ASSERT_OK(store(**two, second, 3, nullptr));
  // Under way while the first goes and the program collects: refers to what only the first had.
  const auto writer = (*two)->begin("test", third);
  ASSERT_OK(writer);
  const std::string memory = random_bytes(600'000, 1) + random_bytes(600'000, 2);
  const auto shared = put_text(**writer, memory, StreamKind::kMemory, &*blob);
  ASSERT_OK(shared);
  ASSERT_OK((*one)->remove(first));
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(json_find_array(json({"repo", "gc", "--max-garbage", "0"}), "problems")->size(), 0U);
  }
  ASSERT_OK((*writer)->commit({.checkpoint = third, .application = "app", .entries = {{"memory", *shared}}}));
  const auto loaded = (*one)->load(third);
  ASSERT_OK(loaded);
  const auto read = read_text(**one, loaded->entries.front().blob);
  ASSERT_OK(read);
  EXPECT_TRUE(*read == memory);

  // Alone, the program takes away all that nobody needs.
  ASSERT_OK((*two)->remove(second));
  ASSERT_OK((*one)->remove(third));
  std::int64_t freed = 0;
  for (int run = 0; run < 2; ++run) {
    freed += json_int_or(json({"repo", "gc", "--max-garbage", "0"}), "bytes_freed", 0);
  }
  EXPECT_GT(freed, 1'500'000);
  EXPECT_EQ(json_int_or(json({"repo", "stat"}), "checkpoints", -1), 0);
  EXPECT_TRUE(json_bool_or(json({"repo", "check", "--read-data"}), "ok", false));
}

// Packs are copied there as they are, so there are no sessions; and a bucket has no lock.
TEST_F(S3Sessions, ACopyInABucketIsCollectedByWhoSaysThatHeIsAlone) {
  const std::string local = (directory_.path() / "local").string();
  EXPECT_EQ(json_string_or(json({"repo", "init", "-r", local}), "sealing", ""), "aes-256-gcm");
  auto place = local_place(local);
  ASSERT_OK(place);
  const auto here = open_repository(*std::move(place), [&] { return key(); });
  ASSERT_OK(here);
  const std::string first = new_uuid();
  const std::string second = new_uuid();
  const auto blob = store(**here, first, 2, nullptr);
  ASSERT_OK(blob);
  ASSERT_OK(store(**here, second, 3, &*blob));
  const auto bucket =
      "s3://shared/team?endpoint=" + server_->endpoint() + "&region=" + server_->options("shared").region;
  EXPECT_EQ(json_int_or(json({"repo", "copy", "-r", local, "--to", bucket}), "checkpoints", 0), 2);
  EXPECT_EQ(json_int_or(json({"repo", "forget", second}), "removed", 0), 1);
  const auto refused = run({"repo", "gc", "--max-garbage", "0"});
  ASSERT_OK(refused);
  EXPECT_NE(refused->status.value, 0);
  EXPECT_NE(refused->err.find("--alone"), std::string::npos) << refused->err;
  const JsonObject collected = json({"repo", "gc", "--max-garbage", "0", "--alone"});
  EXPECT_EQ(json_int_or(collected, "packs_removed", 0), 1);
  EXPECT_EQ(json_int_or(collected, "packs_written", -1), 0);
  EXPECT_EQ(json_int_or(json({"repo", "copy", "-r", local, "--to", bucket}), "packs_copied", 0), 1);
  EXPECT_TRUE(json_bool_or(json({"repo", "check", "--read-data"}), "ok", false));
  const auto not_alone = run({"repo", "key", "rotate"});
  ASSERT_OK(not_alone);
  EXPECT_NE(not_alone->status.value, 0);
  EXPECT_NE(not_alone->err.find("--alone"), std::string::npos) << not_alone->err;
  EXPECT_EQ(json_int_or(json({"repo", "key", "rotate", "--alone"}), "generation", 0), 2);
  EXPECT_TRUE(json_bool_or(json({"repo", "check", "--read-data"}), "ok", false));
}

}  // namespace
}  // namespace cacs::repository
