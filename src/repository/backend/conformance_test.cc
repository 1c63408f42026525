// The conformance suite on every backend and decorator that needs no server.
#include "repository/backend/conformance.h"

#include <filesystem>

#include "repository/backend/cached_backend.h"
#include "repository/backend/fake_clock.h"
#include "repository/backend/faulty_backend.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/forgetful_storage.h"
#include "repository/backend/limited_backend.h"
#include "repository/backend/memory_backend.h"
#include "repository/backend/probe.h"
#include "repository/backend/retry_backend.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

class MemoryUnderTest final : public BackendUnderTest {
 public:
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override { return make_memory_backend(store_); }
  std::vector<std::string> leftovers() override { return {}; }

 private:
  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  std::unique_ptr<Backend> backend_ = make_memory_backend(store_);
};

const bool kMemory =
    register_backend_conformance("MemoryConformance", [] { return std::make_unique<MemoryUnderTest>(); });

std::vector<std::string> temporaries_below(const std::filesystem::path& directory) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (is_temporary_name(entry.path().filename().string())) found.push_back(entry.path());
  }
  return found;
}

class FilesUnderTest final : public BackendUnderTest {
 public:
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override { return make_file_backend(make_file_storage(directory_.path())); }
  std::vector<std::string> leftovers() override { return temporaries_below(directory_.path()); }

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<Backend> backend_ = make_file_backend(make_file_storage(directory_.path()));
};

const bool kFiles = register_backend_conformance("FileConformance", [] { return std::make_unique<FilesUnderTest>(); });

/// On the disk that the crash tests use, as a file system without hard links that other hosts may have mounted: what
/// those tests find is worth something only if it is like a file system while nothing fails.
class ForgetfulUnderTest final : public BackendUnderTest {
 public:
  explicit ForgetfulUnderTest(bool plain) {
    disk_->set_hard_links(plain);
    disk_->set_host(!plain, "00000000-0000-4000-8000-000000000001");
    backend_ = another();
  }
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override { return make_file_backend(disk_->mount(disk_)); }
  std::vector<std::string> leftovers() override {
    std::vector<std::string> found;
    for (const auto& name : disk_->file_names()) {
      if (is_temporary_name(name.substr(name.rfind('/') + 1))) found.push_back(name);
    }
    return found;
  }

 private:
  std::shared_ptr<ForgetfulDisk> disk_ = std::make_shared<ForgetfulDisk>();
  std::unique_ptr<Backend> backend_;
};

const bool kForgetful =
    register_backend_conformance("ForgetfulDiskConformance", [] { return std::make_unique<ForgetfulUnderTest>(true); });
const bool kWithoutLinks = register_backend_conformance("WithoutHardLinksConformance",
                                                        [] { return std::make_unique<ForgetfulUnderTest>(false); });

/// Decorated clients of a directory; the decoration may use a second directory.
class DecoratedUnderTest : public BackendUnderTest {
 public:
  using Decorate =
      std::function<std::unique_ptr<Backend>(std::unique_ptr<Backend> files, const std::filesystem::path& own)>;
  explicit DecoratedUnderTest(Decorate decorate) : decorate_(std::move(decorate)), backend_(another()) {}
  Backend& backend() override { return *backend_; }
  std::unique_ptr<Backend> another() override {
    const auto own = directory_.path() / ("own-" + std::to_string(clients_++));
    std::filesystem::create_directories(own);
    return decorate_(make_file_backend(make_file_storage(directory_.path() / "store")), own);
  }
  std::vector<std::string> leftovers() override { return temporaries_below(directory_.path()); }

 private:
  Decorate decorate_;
  TemporaryDirectory directory_;
  int clients_ = 0;
  std::unique_ptr<Backend> backend_;
};

bool register_decorated(const std::string& suite, const DecoratedUnderTest::Decorate& decorate,
                        const ConformanceOptions& options = {}) {
  return register_backend_conformance(
      suite, [decorate] { return std::make_unique<DecoratedUnderTest>(decorate); }, options);
}

/// On a store that often fails and loses answers: whoever stands above sees nothing of it.
const bool kRetry = register_decorated("RetryConformance", [](auto files, const auto& own) {
  const auto clock = std::make_shared<FakeClock>();
  return make_retry_backend(
      std::make_unique<FaultyBackend>(std::move(files), 7, Faults{.error = 0.02, .lost_answer = 0.05}),
      {.attempts = 100,
       .give_up_after = std::chrono::hours(1000),
       .memory_bytes = std::size_t{2} << 20U,
       .spool_directory = own,
       .clock = clock});
});

const bool kLimited = register_decorated("LimitedConformance", [](auto files, const auto&) {
  return make_limited_backend(
      std::move(files),
      {.upload_rate = 10'000'000, .download_rate = 20'000'000, .requests = 2, .clock = std::make_shared<FakeClock>()});
});

/// Each client has a cache of its own. What the suite replaces, or removes and makes anew, is not immutable.
const bool kCached = register_decorated(
    "CachedConformance",
    [](auto files, const auto& own) -> std::unique_ptr<Backend> {
      auto cache = make_file_backend(make_file_storage(own), {.durability = Durability::kUntilPowerLoss});
      auto made = make_cached_backend(
          std::move(files), std::move(cache),
          {.max_bytes = 4'000'000, .block_bytes = 100'000, .immutable = [](const std::string& name) {
             return name.find('/') != std::string::npos && name != "packs/kept";
           }});
      return made.ok() ? std::move(*made) : nullptr;
    },
    {.removal_by_others_seen = false});

const bool kFaulty = register_decorated("FaultlessConformance", [](auto files, const auto&) {
  return std::make_unique<FaultyBackend>(std::move(files), 7);
});

const bool kProbed = register_decorated("ProbedConformance", [](auto files, const auto&) {
  auto probed = make_probed_backend(std::move(files));
  return probed.ok() ? std::move(*probed) : nullptr;
});

}  // namespace
}  // namespace cacs::repository
