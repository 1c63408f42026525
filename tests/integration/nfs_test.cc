// The file backend on a real NFSv4 server (scripts/conformance.sh ganesha): the conformance suite, and a server that is
// killed. Not part of `make test`.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/io.h"
#include "nfs_storage.h"
#include "repository/backend/conformance.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/test_support.h"
#include "test_server.h"

namespace cacs::repository {
namespace {

using cacs::testing::make_nfs_storage;
using cacs::testing::TestServer;

/// The server of this process, from the first test to the last.
class NfsEnvironment final : public ::testing::Environment {
 public:
  void SetUp() override {
    auto started = TestServer::start("ganesha");
    ASSERT_OK(started);
    server_ = std::move(started).value();
    const auto url = json_string(server_->ready(), "endpoint");
    ASSERT_OK(url);
    url_ = *url;
  }
  void TearDown() override { server_.reset(); }

  [[nodiscard]] TestServer& server() const { return *server_; }
  /// A client with a connection of its own.
  [[nodiscard]] std::unique_ptr<Storage> storage(const std::string& folder) const {
    auto made = make_nfs_storage(url_, folder);
    EXPECT_OK(made);
    return made ? std::move(made).value() : nullptr;
  }
  [[nodiscard]] std::unique_ptr<Backend> open(const std::string& folder) const {
    auto client = storage(folder);
    return client ? make_file_backend(std::move(client)) : nullptr;
  }

 private:
  std::unique_ptr<TestServer> server_;
  std::string url_;
};

// gtest deletes it.
NfsEnvironment* const kEnvironment =
    static_cast<NfsEnvironment*>(::testing::AddGlobalTestEnvironment(new NfsEnvironment));

void find_temporaries(Storage& storage, const std::string& folder, std::vector<std::string>& found) {
  const auto names = storage.list(folder);
  ASSERT_OK(names);
  for (const auto& name : *names) {
    const std::string path = folder.empty() ? name : folder + "/" + name;
    const auto info = storage.stat(path);
    ASSERT_OK(info);
    if (info->directory) find_temporaries(storage, path, found);
    if (is_temporary_name(name)) found.push_back(path);
  }
}

class NfsUnderTest final : public BackendUnderTest {
 public:
  NfsUnderTest() { EXPECT_OK(storage_->make_directory("")); }
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override { return kEnvironment->open(folder_); }
  std::vector<std::string> leftovers() override {
    std::vector<std::string> found;
    find_temporaries(*storage_, "", found);
    return found;
  }

 private:
  std::string folder_ = new_uuid();
  std::unique_ptr<Storage> storage_ = kEnvironment->storage(folder_);
  std::unique_ptr<Backend> backend_ = kEnvironment->open(folder_);
};

const bool kRegistered =
    register_backend_conformance("NfsConformance", [] { return std::make_unique<NfsUnderTest>(); });

TEST(Nfs, WhatWasCommittedOutlivesTheServer) {
  const std::string folder = new_uuid();
  const std::string bytes = random_bytes(3'000'000, 1);
  {
    const auto backend = kEnvironment->open(folder);
    for (int i = 0; i < 20; ++i) {
      ASSERT_OK(put_object(*backend, "packs/" + std::to_string(i), as_bytes(bytes), Overwrite::kNo));
    }
    // One is not committed.
    auto writer = backend->create("packs/open", Overwrite::kNo);
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->append(as_bytes(bytes)));
    ASSERT_OK(kEnvironment->server().command("kill"));
    ASSERT_OK(kEnvironment->server().command("start"));
  }
  const auto again = kEnvironment->open(folder);
  std::size_t listed = 0;
  ASSERT_OK(again->list("packs/", [&](const ObjectInfo& object) -> Status {
    ++listed;
    EXPECT_EQ(object.size, bytes.size());
    return {};
  }));
  EXPECT_EQ(listed, 20U);
  for (int i = 0; i < 20; ++i) {
    const auto read = get_object(*again, "packs/" + std::to_string(i), bytes.size());
    ASSERT_OK(read);
    EXPECT_TRUE(std::ranges::equal(*read, as_bytes(bytes)));
  }
}

}  // namespace
}  // namespace cacs::repository
