// The S3 backend against real servers: the conformance suite, refusals, and a server that goes away while it is written
// to. One process a server (CACS_S3_SERVER: swift or moto), as a server takes seconds to start.

#include <gtest/gtest.h>

#include <cstdlib>

#include "repository/backend/conformance.h"
#include "repository/backend/s3_client.h"
#include "repository/backend/s3_objects.h"
#include "repository/backend/test_support.h"
#include "s3_server.h"

namespace cacs::repository {
namespace {

using cacs::testing::S3Server;
using namespace std::chrono_literals;

constexpr const char* kBucket = "conformance";
constexpr std::size_t kMiB = std::size_t{1} << 20U;

/// The server of this process, from the first test to the last.
class ServerEnvironment final : public ::testing::Environment {
 public:
  void SetUp() override {
    const char* kind = std::getenv("CACS_S3_SERVER");
    ASSERT_NE(kind, nullptr) << "set CACS_S3_SERVER to swift or moto";
    auto started = S3Server::start(kind);
    ASSERT_OK(started);
    server_ = std::move(started).value();
    ASSERT_OK(server_->make_bucket(kBucket));
    auto probed = S3Backend::open(server_->options(kBucket), server_->credentials());
    ASSERT_OK(probed);
    abilities_ = (*probed)->abilities();
  }
  void TearDown() override { server_.reset(); }

  [[nodiscard]] S3Server& server() const { return *server_; }
  [[nodiscard]] const S3Abilities& abilities() const { return abilities_; }
  /// A backend with a prefix of its own, and what the first probe found.
  [[nodiscard]] std::unique_ptr<S3Backend> open(const std::string& prefix, std::size_t part_bytes = 5 * kMiB) const {
    S3Options options = server_->options(kBucket, prefix);
    options.part_bytes = part_bytes;
    options.abilities = abilities_;
    auto backend = S3Backend::open(options, server_->credentials());
    EXPECT_OK(backend);
    return backend.ok() ? std::move(backend).value() : nullptr;
  }

 private:
  std::unique_ptr<S3Server> server_;
  S3Abilities abilities_;
};

// gtest deletes it.
ServerEnvironment* const kEnvironment =
    static_cast<ServerEnvironment*>(::testing::AddGlobalTestEnvironment(new ServerEnvironment));

std::string fresh_prefix() { return new_uuid() + "/"; }

class S3UnderTest final : public BackendUnderTest {
 public:
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override { return kEnvironment->open(prefix_); }
  std::vector<std::string> leftovers() override {
    std::vector<std::string> names;
    const auto uploads = backend_->uploads("");
    EXPECT_OK(uploads);
    if (uploads.ok()) {
      for (const auto& upload : *uploads) names.push_back("upload of " + upload.key);
    }
    return names;
  }

 private:
  const std::string prefix_ = fresh_prefix();
  const std::unique_ptr<S3Backend> backend_ = kEnvironment->open(prefix_);
};

const bool kConformance = register_backend_conformance("S3Conformance", [] { return std::make_unique<S3UnderTest>(); });

/// What the probe is known to find, so that a change of ours or of theirs does not pass unnoticed.
S3Abilities known_abilities(const std::string& kind) {
  if (kind == "swift") return {.integrity = S3Integrity::kPayloadHash};
  if (kind == "ceph") {
    return {.conditional_put = true, .current_listing = true, .integrity = S3Integrity::kPayloadHash};
  }
  return {
      .conditional_put = true, .conditional_complete = true, .current_listing = true, .integrity = S3Integrity::kEtag};
}

TEST(S3, ProbeFindsWhatTheServerIsKnownToDo) {
  const S3Abilities& found = kEnvironment->abilities();
  const S3Abilities known = known_abilities(kEnvironment->server().kind());
  EXPECT_EQ(found.conditional_put, known.conditional_put);
  EXPECT_EQ(found.conditional_complete, known.conditional_complete);
  EXPECT_EQ(found.current_listing, known.current_listing);
  EXPECT_EQ(found.integrity, known.integrity);
  // It leaves nothing.
  const auto backend = kEnvironment->open("");
  auto client = S3Client::make(kEnvironment->server().options(kBucket), kEnvironment->server().credentials());
  ASSERT_OK(client);
  const auto page = s3_list(**client, "probe/", "", "list");
  ASSERT_OK(page);
  EXPECT_TRUE(page->entries.empty());
}

// Also where the conformance suite does not look at listings, as they are not promised to be current (Swift).
TEST(S3, ListingsOfSeveralPages) {
  const std::string prefix = fresh_prefix();
  const auto backend = kEnvironment->open(prefix);
  for (int i = 0; i < 7; ++i) {
    ASSERT_OK(put_object(*backend, "many/" + std::to_string(i), object_bytes(10, 1), Overwrite::kNo));
  }
  const auto client = S3Client::make(kEnvironment->server().options(kBucket), kEnvironment->server().credentials());
  ASSERT_OK(client);
  std::vector<std::string> seen;
  std::size_t pages = 0;
  std::string token;
  do {
    auto page = s3_list(**client, prefix + "many/", token, "list", 3);
    ASSERT_OK(page);
    for (const auto& entry : page->entries) seen.push_back(entry.key.substr(prefix.size()));
    token = page->next;
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(pages, 3U);
  EXPECT_EQ(seen, (std::vector<std::string>{"many/0", "many/1", "many/2", "many/3", "many/4", "many/5", "many/6"}));
}

TEST(S3, RemovingWhatIsNotThereIsSuccess) {
  const auto backend = kEnvironment->open(fresh_prefix());
  EXPECT_OK(backend->remove("absent"));
  EXPECT_OK(backend->remove("no/such/place"));
}

TEST(S3, AWrongSecretIsRefused) {
  if (kEnvironment->server().kind() == "moto") GTEST_SKIP() << "moto takes any";
  AwsKeys keys = kEnvironment->server().keys();
  keys.secret_key = "not-the-secret-of-anybody";
  const auto backend = S3Backend::open(kEnvironment->server().options(kBucket), fixed_credentials(keys));
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.error().code, ErrorCode::kPermission) << backend.error().to_string();
  EXPECT_NE(backend.error().message.find("SignatureDoesNotMatch"), std::string::npos) << backend.error().message;
  EXPECT_NE(backend.error().hint.find("secret"), std::string::npos) << backend.error().hint;
  EXPECT_EQ(backend.error().to_string().find(keys.secret_key), std::string::npos);
}

TEST(S3, AMissingBucketIsNotAMissingObject) {
  auto options = kEnvironment->server().options("no-such-bucket");
  const auto unopened = S3Backend::open(options, kEnvironment->server().credentials());
  EXPECT_CODE(unopened, ErrorCode::kInvalidArgument);
  EXPECT_EQ(unopened.error().type, "s3-no-such-bucket");
  options.abilities = kEnvironment->abilities();
  const auto backend = S3Backend::open(options, kEnvironment->server().credentials());
  ASSERT_OK(backend);
  std::array<std::byte, 4> bytes{};
  EXPECT_CODE((*backend)->read("a", 0, bytes), ErrorCode::kInvalidArgument);
  EXPECT_CODE((*backend)->size("a"), ErrorCode::kInvalidArgument);
  EXPECT_CODE((*backend)->list("", [](const ObjectInfo&) -> Status { return {}; }), ErrorCode::kInvalidArgument);
  EXPECT_CODE(put_object(**backend, "a", bytes, Overwrite::kNo), ErrorCode::kInvalidArgument);
}

TEST(S3, AWrongClockIsNamed) {
  if (kEnvironment->server().kind() == "moto") GTEST_SKIP() << "moto takes any date";
  auto options = kEnvironment->server().options(kBucket);
  options.clock = [] { return system_aws_clock()() - 2h; };
  const auto backend = S3Backend::open(options, kEnvironment->server().credentials());
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.error().code, ErrorCode::kPermission);
  EXPECT_EQ(backend.error().type, "s3-clock-skew") << backend.error().to_string();
  EXPECT_NE(backend.error().message.find("behind"), std::string::npos) << backend.error().message;
}

/// Swift rounds the time at which an upload began up to a whole second, and HTTP's Date is cut to one: an upload just
/// begun may seem to lie up to two seconds ahead.
constexpr auto kOfAnyAge = -2s;

/// Begins an upload and leaves it, as a process does that is killed.
void leave_upload(const std::string& key) {
  auto client = S3Client::make(kEnvironment->server().options(kBucket), kEnvironment->server().credentials());
  ASSERT_OK(client);
  const auto id = s3_begin_upload(**client, key, "test");
  ASSERT_OK(id);
  std::string body(5 * kMiB, 'x');
  ASSERT_OK(s3_upload_part(**client, key, *id, 1, body, S3Integrity::kNone, "test"));
}

TEST(S3, UploadsOfKilledWritersAreAborted) {
  const std::string prefix = fresh_prefix();
  const auto backend = kEnvironment->open(prefix);
  leave_upload(prefix + "packs/a");
  leave_upload(prefix + "pieces/b");
  auto writer = backend->create("packs/under-way", Overwrite::kNo);
  ASSERT_OK(writer);
  const auto bytes = object_bytes(12 * kMiB, 1);
  ASSERT_OK((*writer)->append(bytes));
  const auto all = backend->uploads("");
  ASSERT_OK(all);
  EXPECT_EQ(all->size(), 3U);
  auto aborted = backend->abort_stale_uploads("", 3600s);
  ASSERT_OK(aborted);
  if (kEnvironment->server().kind() == "moto") {
    EXPECT_EQ(*aborted, 2U) << "moto says of every upload that it began in 2010";
    ASSERT_OK((*writer)->commit());
    return;
  }
  EXPECT_EQ(*aborted, 0U) << "none of them is an hour old";
  // That of the prefix, and not that of this process.
  aborted = backend->abort_stale_uploads("packs/", kOfAnyAge);
  ASSERT_OK(aborted);
  EXPECT_EQ(*aborted, 1U);
  aborted = backend->abort_stale_uploads("", kOfAnyAge);
  ASSERT_OK(aborted);
  EXPECT_EQ(*aborted, 1U);
  ASSERT_OK((*writer)->commit());
  const auto size = backend->size("packs/under-way");
  ASSERT_OK(size);
  EXPECT_EQ(*size, bytes.size());
  const auto none = backend->uploads("");
  ASSERT_OK(none);
  EXPECT_TRUE(none->empty());
}

TEST(S3, AnUploadWhoseObjectHasAppearedIsLeftAlone) {
  const std::string prefix = fresh_prefix();
  const auto backend = kEnvironment->open(prefix);
  leave_upload(prefix + "packs/a");
  ASSERT_OK(put_object(*backend, "packs/a", object_bytes(10, 1), Overwrite::kYes));
  auto aborted = backend->abort_stale_uploads("", kOfAnyAge);
  ASSERT_OK(aborted);
  EXPECT_EQ(*aborted, 0U);
  ASSERT_OK(backend->remove("packs/a"));
  aborted = backend->abort_stale_uploads("", kOfAnyAge);
  ASSERT_OK(aborted);
  EXPECT_EQ(*aborted, 1U);
}

TEST(S3, AServerThatGoesAwayDuringAnUpload) {
  S3Server& server = kEnvironment->server();
  if (server.kind() != "swift") GTEST_SKIP() << "keeps all in memory here";
  const std::string prefix = fresh_prefix();
  const auto backend = kEnvironment->open(prefix);
  ASSERT_OK(put_object(*backend, "packs/before", object_bytes(1000, 1), Overwrite::kNo));
  auto large = backend->create("packs/large", Overwrite::kNo);
  auto small = backend->create("packs/small", Overwrite::kNo);
  ASSERT_OK(large);
  ASSERT_OK(small);
  const auto bytes = object_bytes(12 * kMiB, 2);
  ASSERT_OK((*large)->append(std::span(bytes).first(11 * kMiB)));  // two parts are there
  ASSERT_OK((*small)->append(std::span(bytes).first(100)));
  ASSERT_OK(server.command("kill"));
  EXPECT_CODE((*small)->commit(), ErrorCode::kUnavailable);
  EXPECT_CODE((*large)->append(object_bytes(6 * kMiB, 3)), ErrorCode::kUnavailable);
  EXPECT_CODE((*large)->commit(), ErrorCode::kAborted);
  std::array<std::byte, 4> four{};
  EXPECT_CODE(backend->read("packs/before", 0, four), ErrorCode::kUnavailable);
  large->reset();  // cannot abort its upload
  ASSERT_OK(server.command("start"));
  EXPECT_CODE(backend->size("packs/large"), ErrorCode::kNotFound);
  EXPECT_CODE(backend->size("packs/small"), ErrorCode::kNotFound);
  EXPECT_OK(backend->size("packs/before"));
  // What was in memory is still to be had.
  ASSERT_OK((*small)->commit());
  const auto size = backend->size("packs/small");
  ASSERT_OK(size);
  EXPECT_EQ(*size, 100U);
  const auto left = backend->uploads("");
  ASSERT_OK(left);
  EXPECT_EQ(left->size(), 1U);
  const auto aborted = backend->abort_stale_uploads("", kOfAnyAge);
  ASSERT_OK(aborted);
  EXPECT_EQ(*aborted, 1U);
  const auto none = backend->uploads("");
  ASSERT_OK(none);
  EXPECT_TRUE(none->empty());
}

TEST(S3, ATransferThatStallsIsGivenUp) {
  S3Server& server = kEnvironment->server();
  auto options = server.options(kBucket, fresh_prefix());
  options.abilities = kEnvironment->abilities();
  options.stall_timeout = 2s;
  const auto backend = S3Backend::open(options, server.credentials());
  ASSERT_OK(backend);
  ASSERT_OK(put_object(**backend, "a", object_bytes(10, 1), Overwrite::kNo));
  ASSERT_OK(server.command("freeze"));
  const auto before = std::chrono::steady_clock::now();
  EXPECT_CODE(put_object(**backend, "b", object_bytes(10, 1), Overwrite::kNo), ErrorCode::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 10s);
  ASSERT_OK(server.command("thaw"));
  EXPECT_OK((*backend)->size("a"));
}

}  // namespace
}  // namespace cacs::repository
