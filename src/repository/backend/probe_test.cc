#include "repository/backend/probe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "repository/backend/faulty_backend.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/memory_backend.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

class ProbeTest : public ::testing::Test {
 protected:
  std::unique_ptr<FaultyBackend> make(const Faults& faults = {}) {
    return std::make_unique<FaultyBackend>(make_memory_backend(store_), 1, faults);
  }
  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
};

TEST_F(ProbeTest, FindsAGoodStoreGoodAndLeavesNothing) {
  const TemporaryDirectory directory;
  const auto files = make_file_backend(make_file_storage(directory.path()));
  const auto memory = make();
  for (Backend* backend : {static_cast<Backend*>(files.get()), static_cast<Backend*>(memory.get())}) {
    const auto traits = probe_backend(*backend);
    ASSERT_OK(traits);
    EXPECT_TRUE(traits->exclusive_create);
    EXPECT_TRUE(traits->current_listing);
    EXPECT_TRUE(traits->local);
    EXPECT_OK(backend->list("", [](const ObjectInfo& info) -> Status {
      return make_error(ErrorCode::kInternal, "left behind: " + info.name);
    }));
  }
  EXPECT_LT(memory->operations(), 150U);
}

TEST_F(ProbeTest, FindsWhatIsMissing) {
  for (const bool conditions : {false, true}) {
    for (const bool listing : {false, true}) {
      const auto traits = probe_backend(*make({.ignore_conditions = !conditions, .late_listing = listing ? 0U : 4U}));
      ASSERT_OK(traits);
      EXPECT_EQ(traits->exclusive_create, conditions);
      EXPECT_EQ(traits->current_listing, listing);
      EXPECT_TRUE(store_->list("").empty());
    }
  }
  auto probed = make_probed_backend(make({.ignore_conditions = true}));
  ASSERT_OK(probed);
  EXPECT_FALSE((*probed)->traits().exclusive_create);
  EXPECT_TRUE((*probed)->traits().current_listing);
}

/// A store that looks whether a name is taken and then writes, as gateways have done: refuses a taken name, and lets
/// both of two writers succeed that come at once.
class CheckThenWrite final : public Backend {
 public:
  explicit CheckThenWrite(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}
  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    if (overwrite == Overwrite::kNo && inner_->size(name).ok()) {
      return std::unique_ptr<ObjectWriter>(std::make_unique<Refusing>());
    }
    return inner_->create(name, Overwrite::kYes);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    return inner_->read(name, offset, out);
  }
  Result<std::uint64_t> size(const std::string& name) override { return inner_->size(name); }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    return inner_->list(prefix, visitor);
  }
  Status remove(const std::string& name) override { return inner_->remove(name); }
  [[nodiscard]] const BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return "check then write"; }

 private:
  class Refusing final : public ObjectWriter {
   public:
    Status append(std::span<const std::byte> /*data*/) override { return {}; }
    Status commit() override { return make_error(ErrorCode::kConflict, "taken"); }
  };
  std::unique_ptr<Backend> inner_;
};

TEST_F(ProbeTest, ARefusalOfTakenNamesIsNotEnough) {
  CheckThenWrite backend(make_memory_backend(store_));
  const auto traits = probe_backend(backend);
  ASSERT_OK(traits);
  EXPECT_FALSE(traits->exclusive_create);
  EXPECT_TRUE(store_->list("").empty());
}

/// A store whose reads are behind by one change: as caches on the way, and NFS with its defaults.
class StaleReads final : public Backend {
 public:
  enum class What { kCreated, kReplaced, kRemoved };
  StaleReads(std::unique_ptr<Backend> inner, What what) : inner_(std::move(inner)), what_(what) {}
  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    if (what_ == What::kReplaced && overwrite == Overwrite::kYes) keep_old(name);
    if (what_ == What::kCreated) hidden_ = name;
    return inner_->create(name, overwrite);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    if (name == hidden_) return make_error(ErrorCode::kNotFound, "not yet");
    const auto old = old_.find(name);
    if (old == old_.end()) return inner_->read(name, offset, out);
    const std::size_t count = std::min(out.size(), old->second.size());
    std::copy_n(old->second.begin(), count, out.begin());
    return count;
  }
  Result<std::uint64_t> size(const std::string& name) override {
    const auto old = old_.find(name);
    return old == old_.end() ? inner_->size(name) : std::uint64_t{old->second.size()};
  }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    return inner_->list(prefix, visitor);
  }
  Status remove(const std::string& name) override {
    if (what_ == What::kRemoved) keep_old(name);
    return inner_->remove(name);
  }
  [[nodiscard]] const BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return "stale"; }

 private:
  void keep_old(const std::string& name) {
    auto bytes = get_object(*inner_, name, 1000);
    if (bytes) old_[name] = *bytes;
  }
  std::unique_ptr<Backend> inner_;
  What what_;
  std::string hidden_;
  std::map<std::string, std::vector<std::byte>> old_;
};

TEST_F(ProbeTest, RefusesAStoreThatReadsWhatIsOld) {
  for (const auto what : {StaleReads::What::kCreated, StaleReads::What::kReplaced, StaleReads::What::kRemoved}) {
    StaleReads backend(make_memory_backend(store_), what);
    const auto traits = probe_backend(backend);
    EXPECT_CODE(traits, ErrorCode::kUnsupported);
    if (!traits.ok()) {
      EXPECT_FALSE(traits.error().hint.empty());
    }
    EXPECT_TRUE(store_->list("").empty());
  }
}

TEST_F(ProbeTest, PassesOnWhatFailsAndCleansUp) {
  std::uint64_t at = 1;
  for (; at < 1000; ++at) {
    SCOPED_TRACE(at);
    const auto backend = make();
    backend->fail_at(at, ErrorCode::kPermission);
    const auto traits = probe_backend(*backend);
    EXPECT_TRUE(store_->list("").empty());
    if (backend->operations() < at) break;
    EXPECT_CODE(traits, ErrorCode::kPermission);
  }
  EXPECT_GT(at, 50U);
}

}  // namespace
}  // namespace cacs::repository
