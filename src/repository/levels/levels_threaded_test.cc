#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/io.h"
#include "repository/levels/test_support.h"

namespace cacs::repository {
namespace {

/// Two copiers on one remote level, while the near repository loses checkpoints and is collected.
TEST(LevelsThreadedTest, TwoCopiersAndACollectionLeaveWholeCheckpoints) {
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    const TwoStores stores;
    std::atomic<int> failures = 0;
    const auto work = [&] {
      const auto repository = stores.open_local();
      if (!repository) {
        ++failures;
        return;
      }
      const auto to = make_memory_backend(stores.far);
      LevelCopier copier(**repository, *to);
      for (const auto& id : {kFirst, kSecond, kThird}) {
        const auto copied = copier.copy(id);
        const bool removed = !copied && id == kFirst && copied.error().code == ErrorCode::kNotFound;
        if (!copied && !removed) {
          ADD_FAILURE() << copied.error().to_string();
          ++failures;
        }
      }
    };
    std::thread one(work);
    std::thread other(work);
    const auto removed = stores.remove_first();
    one.join();
    other.join();
    ASSERT_OK(removed);
    ASSERT_EQ(failures, 0);
    const auto there = stores.open_far();
    ASSERT_OK(there);
    ASSERT_OK(expect_sound(**there));
    ASSERT_OK(expect_whole(**there, kSecond));
    ASSERT_OK(expect_whole(**there, kThird));
  }
}

/// Notes how many reads are under way at a time. Each waits for company for a moment, as a far store makes one wait.
class CountingBackend final : public Backend {
 public:
  explicit CountingBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}
  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    return inner_->create(name, overwrite);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    {
      std::unique_lock lock(mutex_);
      most_ = std::max(most_, ++reading_);
      changed_.notify_all();
      changed_.wait_for(lock, std::chrono::milliseconds(20), [&] { return reading_ >= kCompany; });
    }
    auto got = inner_->read(name, offset, out);
    const std::lock_guard lock(mutex_);
    --reading_;
    return got;
  }
  Result<std::uint64_t> size(const std::string& name) override { return inner_->size(name); }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    return inner_->list(prefix, visitor);
  }
  Status remove(const std::string& name) override { return inner_->remove(name); }
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }
  [[nodiscard]] int most() {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  static constexpr int kCompany = 4;
  std::unique_ptr<Backend> inner_;
  BackendTraits traits_{.exclusive_create = true, .current_listing = true, .local = false};
  std::mutex mutex_;
  std::condition_variable changed_;
  int reading_ = 0;
  int most_ = 0;
};

TEST(LevelsThreadedTest, ARestoreFromFarReadsInParallel) {
  TestStore local;
  const auto made = Repository::create(local.place());
  ASSERT_OK(made);
  const std::string memory = random_bytes(std::size_t{32} << 20U, 5);
  Manifest manifest{.checkpoint = kFirst, .application = "app"};
  {
    const auto writer = (*made)->begin("test");
    ASSERT_OK(writer);
    const auto blob = put_text(**writer, memory, StreamKind::kMemory);
    ASSERT_OK(blob);
    manifest.entries.push_back({"memory", *blob});
    ASSERT_OK((*writer)->commit(manifest));
  }
  const auto far = std::make_shared<MemoryStore>();
  const auto to = make_memory_backend(far);
  ASSERT_OK(LevelCopier(**made, *to).copy(kFirst));

  // A node that has lost everything but what the repository is.
  const auto near = std::make_shared<MemoryStore>();
  near->put("repository", local.objects->get("repository"), Overwrite::kNo);
  const auto lost = Repository::open({make_memory_backend(near), local.keys, make_process_gate()});
  ASSERT_OK(lost);
  CountingBackend* counting = nullptr;
  (*lost)->set_further(std::make_shared<RemoteLevel>(
      (*lost)->core(), RemotePlace{.connect = [&]() -> Result<std::unique_ptr<Backend>> {
                                     auto backend = std::make_unique<CountingBackend>(make_memory_backend(far));
                                     counting = backend.get();
                                     return std::unique_ptr<Backend>(std::move(backend));
                                   },
                                   .name = "far"}));
  const auto loaded = (*lost)->load(kFirst);
  ASSERT_OK(loaded);
  const TemporaryDirectory directory;
  const auto file = open_file(directory.path() / "memory", O_RDWR | O_CREAT, 0600);
  ASSERT_OK(file);
  ASSERT_OK((*lost)->restore_blob(loaded->entries.front().blob, file->get()));
  std::string restored(memory.size(), '\0');
  const auto got = pread_full(file->get(), std::as_writable_bytes(std::span(restored)), 0);
  ASSERT_OK(got);
  EXPECT_TRUE(restored == memory);
  ASSERT_NE(counting, nullptr);
  EXPECT_GE(counting->most(), 4);
}

}  // namespace
}  // namespace cacs::repository
