// What a session looks at before it refers to what is stored, each look shown to be needed: where it is left out, a
// checkpoint is lost. The schedules that show it are too rare for session_soak_test.cc to come upon.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <mutex>

#include "repository/backend/memory_backend.h"
#include "repository/layout.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

constexpr std::string_view kOne = "018f0000-0000-7000-8000-000000000001";
constexpr std::string_view kTwo = "018f0000-0000-7000-8000-000000000002";
constexpr std::string_view kThree = "018f0000-0000-7000-8000-000000000003";

/// What one process sees of the store: listings that never forget a name, and a look over its shoulder.
class WatchedBackend final : public Backend {
 public:
  using Watch = std::function<void(const std::string& name)>;
  WatchedBackend(std::unique_ptr<Backend> inner, bool late, std::shared_ptr<Watch> before_read)
      : inner_(std::move(inner)), late_(late), before_read_(std::move(before_read)) {}

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    return inner_->create(name, overwrite);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    if (*before_read_) (*before_read_)(name);
    return inner_->read(name, offset, out);
  }
  Result<std::uint64_t> size(const std::string& name) override {
    if (*before_read_) (*before_read_)(name);
    return inner_->size(name);
  }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    std::map<std::string, std::uint64_t> shown;
    const std::lock_guard lock(mutex_);
    if (late_) shown = listed_[prefix];
    CACS_TRY(inner_->list(prefix, [&](const ObjectInfo& object) -> Status {
      shown[object.name] = object.size;
      return {};
    }));
    listed_[prefix] = shown;
    for (const auto& [name, size] : shown) CACS_TRY(visitor({name, size}));
    return {};
  }
  Status remove(const std::string& name) override { return inner_->remove(name); }
  [[nodiscard]] const BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }

 private:
  std::unique_ptr<Backend> inner_;
  bool late_;
  std::shared_ptr<Watch> before_read_;
  std::mutex mutex_;
  std::map<std::string, std::map<std::string, std::uint64_t>> listed_;
};

/// A process that writes, with a fault or without, and one that collects.
struct Pair {
  explicit Pair(SessionFault fault) {
    auto made = Repository::create(place(fault, true));
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    writer = std::move(made).value();
    auto opened = Repository::open(place(SessionFault::kNone, false));
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    collector = std::move(opened).value();
  }
  [[nodiscard]] Place place(SessionFault fault, bool late) const {
    const auto watch = late ? std::make_shared<WatchedBackend::Watch>() : collector_reads;
    Place place{std::make_unique<WatchedBackend>(make_memory_backend(objects), late, watch), test_keys(), nullptr};
    place.sessions.fault = fault;
    place.sessions.collector.limits.max_done = 0;
    return place;
  }
  Result<BlobRef> commit(std::string_view id, const std::string& memory) const {
    CACS_ASSIGN(const auto session, writer->begin("test", id));
    CACS_ASSIGN(const BlobRef blob, session->put_pages(MemoryPageSource(as_bytes(memory)), nullptr));
    CACS_TRY(session->commit({.checkpoint = std::string(id), .application = "a", .entries = {{"memory", blob}}}));
    return blob;
  }
  [[nodiscard]] std::size_t packs() const { return objects->list("packs/").size(); }
  /// To a process that has seen nothing yet.
  [[nodiscard]] bool has(std::string_view id, const std::string& memory) const {
    const auto fresh = Repository::open(place(SessionFault::kNone, false));
    if (!fresh) return false;
    const auto manifest = (*fresh)->load(id);
    if (!manifest) return false;
    const auto text = read_text(**fresh, manifest->entries.at(0).blob);
    const auto checked = (*fresh)->check(true);
    return text && *text == memory && checked && checked->problems.empty();
  }

  std::shared_ptr<MemoryStore> objects = std::make_shared<MemoryStore>();
  std::shared_ptr<WatchedBackend::Watch> collector_reads = std::make_shared<WatchedBackend::Watch>();
  std::unique_ptr<Repository> writer;
  std::unique_ptr<Repository> collector;
};

class SessionReference : public testing::TestWithParam<bool> {
 protected:
  /// Whether the look is left out.
  static SessionFault fault(SessionFault planted) { return GetParam() ? planted : SessionFault::kNone; }
};

// A pack was condemned, removed, and the removal forgotten, all while a process remembered its table.
TEST_P(SessionReference, NotToWhatIsOnlyRemembered) {
  const Pair pair(fault(SessionFault::kTrustMemory));
  const std::string memory = random_bytes(8 * kPageBytes, 1);
  ASSERT_OK(pair.commit(kOne, memory));
  ASSERT_OK(pair.commit(kThree, random_bytes(kPageBytes, 2)));  // its listing shows the first one's pack
  ASSERT_EQ(pair.packs(), 2U);
  ASSERT_OK(pair.writer->remove(kOne));
  for (int run = 0; run < 8; ++run) ASSERT_OK(pair.collector->collect({.max_garbage = 0}));
  ASSERT_EQ(pair.packs(), 1U);
  ASSERT_OK(pair.commit(kTwo, memory));
  EXPECT_EQ(pair.has(kTwo, memory), !GetParam());
}

// A pack is condemned while a session stores a piece that refers to it. The piece is joined, and dropped, after a
// collection has asked which sessions there are and before it reads the piece.
TEST_P(SessionReference, NotToWhatAPieceRefersToWithoutALook) {
  const Pair pair(fault(SessionFault::kTakePieces));
  const std::string memory = random_bytes(8 * kPageBytes, 1);
  const auto parent = pair.commit(kOne, memory);
  ASSERT_OK(parent);
  auto session = pair.writer->begin("pod");
  ASSERT_OK(session);
  ASSERT_OK(pair.writer->remove(kOne));
  ASSERT_OK(pair.collector->collect({.max_garbage = 0}));  // condemns: this session does not know of it
  ASSERT_OK((*session)->reuse(*parent));
  const auto piece = (*session)->finish_piece({{"memory", *parent}}, {});
  ASSERT_OK(piece);
  bool joined = false;
  *pair.collector_reads = [&](const std::string& name) {
    if (name != piece_name(*piece) || std::exchange(joined, true)) return;
    ASSERT_OK(pair.writer->commit_checkpoint({.checkpoint = std::string(kTwo), .application = "a"}, {*piece}));
  };
  for (int run = 0; run < 6; ++run) {
    const auto collected = pair.collector->collect({.max_garbage = 0});
    if (!GetParam()) ASSERT_OK(collected);
  }
  *pair.collector_reads = nullptr;
  ASSERT_TRUE(joined);
  EXPECT_EQ(pair.has(kTwo, memory), !GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, SessionReference, testing::Bool(), [](const auto& which) {
  return which.param ? std::string("LeftOut") : std::string("AsItIs");
});

}  // namespace
}  // namespace cacs::repository
