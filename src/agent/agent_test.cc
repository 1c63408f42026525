#include <gtest/gtest.h>

#include "agent/checkpoint_store.h"
#include "agent/compatibility.h"
#include "agent/event_queue.h"
#include "base/base64.h"
#include "transfer/tokens.h"

namespace cacs::agent {
namespace {

TEST(EventQueue, GivesWhatCameAfterAndStartsOverForStrangers) {
  EventQueue queue;
  queue.push({{"kind", "a"}});
  queue.push({{"kind", "b"}});
  const auto all = queue.read(0, queue.instance(), std::chrono::milliseconds(0));
  EXPECT_EQ(all.at("events").as_array().size(), 2U);
  const auto rest = queue.read(1, queue.instance(), std::chrono::milliseconds(0));
  EXPECT_EQ(rest.at("events").as_array().size(), 1U);
  const auto stranger = queue.read(2, "another", std::chrono::milliseconds(0));
  EXPECT_EQ(stranger.at("events").as_array().size(), 2U);
}

TEST(Compatibility, NamesWhatDiffers) {
  const JsonObject saved{{"architecture", "x86_64"}, {"cpu_features", "sse avx avx512f"}};
  EXPECT_TRUE(check_compatible(saved, saved).ok());
  const auto less = check_compatible(saved, {{"architecture", "x86_64"}, {"cpu_features", "sse avx"}});
  ASSERT_FALSE(less.ok());
  EXPECT_NE(less.error().message.find("avx512f"), std::string::npos);
  EXPECT_FALSE(check_compatible(saved, {{"architecture", "aarch64"}, {"cpu_features", "sse avx avx512f"}}).ok());
}

TEST(Compatibility, OfFilesOnlyTheirFormCounts) {
  const JsonObject node{{"architecture", "x86_64"},
                        {"kernel", "6.1"},
                        {"cpu_features", "sse avx avx512f"},
                        {"engine", JsonObject{{"name", "criu"}, {"version", "4.2"}}},
                        {"base", "host"}};
  const JsonObject saved = files_compatibility(node);
  EXPECT_TRUE(check_compatible(saved, {{"architecture", "x86_64"}, {"cpu_features", "sse"}}).ok());
  EXPECT_FALSE(check_compatible(saved, {{"architecture", "aarch64"}, {"cpu_features", "sse avx avx512f"}}).ok());
  EXPECT_TRUE(check_engine(saved, "app").ok());
  EXPECT_FALSE(check_engine(saved, "criu").ok());
  EXPECT_FALSE(check_engine(node, "app").ok());
  EXPECT_TRUE(check_engine(node, "criu").ok());
  EXPECT_TRUE(check_engine({}, "criu").ok()) << "of a time when it was not written down";
}

TEST(Tokens, NameBlobsAndRefuseNonsense) {
  repository::BlobRef blob;
  blob.pack = repository::PackId::make();
  blob.slot = 77;
  blob.layout = repository::BlobLayout::kFile;
  blob.height = 1;
  blob.size = 12345;
  EXPECT_EQ(transfer::blob_of(transfer::token_of(blob)).value(), blob);
  for (const auto* text : {"", "abc:1", ":", "zz"}) EXPECT_FALSE(transfer::blob_of(text).ok()) << text;
}

TEST(Base64, Pads) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("a"), "YQ==");
  EXPECT_EQ(base64_encode("abc"), "YWJj");
}

}  // namespace
}  // namespace cacs::agent
