// The remote level in a real bucket (CACS_S3_SERVER: swift or moto): copied to, read from, and away for a while.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/io.h"
#include "repository/backend/retry_backend.h"
#include "repository/levels/test_support.h"
#include "s3_server.h"

namespace cacs::repository {
namespace {

using cacs::testing::S3Server;

TEST(S3Levels, ABucketServesANodeThatHasLostItsRepository) {
  const char* kind = std::getenv("CACS_S3_SERVER");
  ASSERT_NE(kind, nullptr) << "set CACS_S3_SERVER to swift or moto";
  auto server = S3Server::start(kind);
  ASSERT_OK(server);
  ASSERT_OK((*server)->make_bucket("levels"));
  const S3Server& reached = **server;
  const RemotePlace place{.connect = [&reached]() -> Result<std::unique_ptr<Backend>> {
                            CACS_ASSIGN(auto backend,
                                        S3Backend::open(reached.options("levels", "node/"), reached.credentials()));
                            return make_retry_backend(std::move(backend), {.attempts = 2});
                          },
                          .name = "s3://levels/node"};

  const TwoStores stores;
  const std::string large = "01900000-0000-7000-8000-0000000000aa";
  const std::string memory = random_bytes(std::size_t{24} << 20U, 7);  // several parts of an upload
  {
    const auto writer = stores.repository->begin("test");
    ASSERT_OK(writer);
    const auto blob = put_text(**writer, memory, StreamKind::kMemory);
    ASSERT_OK(blob);
    ASSERT_OK((*writer)->commit({.checkpoint = large, .application = "app", .entries = {{"memory", *blob}}}));
  }
  Levels levels(*stores.repository, std::make_shared<RemoteLevel>(stores.repository->core(), place));
  ASSERT_OK(levels.copy(kFirst));

  // Away in the middle: nothing is taken for there that is not. (moto keeps all in memory.)
  if (reached.kind() == "swift") {
    ASSERT_OK((*server)->command("stop"));
    EXPECT_FALSE(levels.copy(kSecond).ok());
    EXPECT_EQ(*levels.levels_of(kSecond), std::vector<std::string>{"local"});
    ASSERT_OK((*server)->command("start"));
  }
  for (const auto& id : {kSecond, kThird, large}) ASSERT_OK(levels.copy(id));

  const auto near = std::make_shared<MemoryStore>();
  near->put("repository", stores.local.objects->get("repository"), Overwrite::kNo);
  const auto lost = Repository::open({make_memory_backend(near), stores.local.keys, make_process_gate()});
  ASSERT_OK(lost);
  (*lost)->set_further(std::make_shared<RemoteLevel>((*lost)->core(), place));
  for (const auto& id : {kFirst, kSecond, kThird}) ASSERT_OK(expect_whole(**lost, id));
  const auto loaded = (*lost)->load(large);
  ASSERT_OK(loaded);
  const TemporaryDirectory directory;
  const auto file = open_file(directory.path() / "memory", O_RDWR | O_CREAT, 0600);
  ASSERT_OK(file);
  ASSERT_OK((*lost)->restore_blob(loaded->entries.front().blob, file->get()));
  std::string restored(memory.size(), '\0');
  ASSERT_OK(pread_full(file->get(), std::as_writable_bytes(std::span(restored)), 0));
  EXPECT_TRUE(restored == memory);

  ASSERT_OK(levels.remove(kThird));
  ASSERT_OK(levels.finish_removal(kThird));
  const auto collected = levels.collect_remote();
  if (collected) {
    EXPECT_EQ(collected->packs_removed, 1U);
  } else {
    EXPECT_EQ(collected.error().code, ErrorCode::kUnsupported);  // a store whose listings were found to be late
  }
  EXPECT_EQ((*lost)->load(kThird).error().code, ErrorCode::kNotFound);
  ASSERT_OK(expect_whole(**lost, kSecond));
}

}  // namespace
}  // namespace cacs::repository
