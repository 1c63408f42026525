// Writers and a collector over a store: the driver of the machines, with answers lost at every single operation.
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>

#include "base/io.h"
#include "repository/backend/fake_clock.h"
#include "repository/backend/faulty_backend.h"
#include "repository/backend/memory_backend.h"
#include "repository/session/collector_driver.h"
#include "repository/session/session_gate.h"
#include "repository/session/session_keys.h"

namespace cacs::repository {
namespace {

/// The name before the bytes: enough to see that nothing is opened under another name.
class NamedSealer final : public DocumentSealer {
 public:
  Result<std::vector<std::byte>> seal(const std::string& name, std::span<const std::byte> plain) override {
    const auto head = as_bytes(name);
    std::vector<std::byte> sealed(head.begin(), head.end());
    sealed.insert(sealed.end(), plain.begin(), plain.end());
    return sealed;
  }
  Result<std::vector<std::byte>> open(const std::string& name, std::span<const std::byte> sealed) override {
    const auto head = as_bytes(name);
    if (sealed.size() < head.size() || !std::equal(head.begin(), head.end(), sealed.begin())) {
      return make_error(ErrorCode::kCorrupt, name + ": it is another object's");
    }
    return std::vector<std::byte>(sealed.begin() + static_cast<std::ptrdiff_t>(head.size()), sealed.end());
  }
};

/// Roots are registers whose open session is their origin, and whose committed roots are the packs that they reference.
SessionDocument make_root(const RootOrigin& origin, std::vector<std::string> packs) {
  WriterRegister root;
  root.instance = {origin.session.seat, origin.session.number};
  root.open = {{origin.session.number, origin.seen, {}}};
  root.committed = std::move(packs);
  return root;
}

/// A collector's view of them: packs are "packs/NAME.GENERATION", and dead as a whole or not at all.
class Hooks final : public CollectionHooks {
 public:
  Hooks(Backend& backend, DocumentSealer& sealer) : backend_(backend), store_(backend, sealer) {}

  Result<std::vector<std::string>> list(const RootCatalogue& /*catalogue*/) override {
    packs_.clear();
    std::vector<std::string> roots;
    CACS_TRY(backend_.list("", [&](const ObjectInfo& object) -> Status {
      if (object.name.starts_with("roots/")) roots.push_back(object.name);
      if (object.name.starts_with("packs/")) packs_.push_back(object.name.substr(6, object.name.size() - 8));
      return {};
    }));
    return roots;
  }
  Result<std::optional<RootOrigin>> read_root(const std::string& key) override {
    SessionOp op;
    op.key = key;
    const auto performed = store_.perform(op);
    if (performed.error) return *performed.error;
    const auto* root = session_document_as<WriterRegister>(performed.answer.document);
    if (root == nullptr) return std::optional<RootOrigin>();
    references_[key] = root->committed;
    return std::optional(RootOrigin{{root->instance.high, root->instance.low}, root->open.at(0).seen});
  }
  Result<MarkResult> mark(const std::vector<std::string>& roots, const std::vector<CondemnedPack>& condemned) override {
    std::set<std::string> live;
    for (const auto& root : roots) live.insert(references_.at(root).begin(), references_.at(root).end());
    MarkResult result;
    for (const auto& entry : condemned) {
      if (live.contains(entry.pack)) result.referenced.push_back(entry.pack);
    }
    for (const auto& pack : packs_) {
      result.objects.push_back({pack, 0});
      if (!live.contains(pack)) result.reports.push_back({pack, {}, true, {}});
    }
    return result;
  }
  Status remove_pack(const std::string& pack, std::uint64_t generation) override {
    auto removed = backend_.remove("packs/" + pack + "." + std::to_string(generation));
    return removed || removed.error().code == ErrorCode::kNotFound ? Status() : removed;
  }
  Status rewrite_pack(const std::string& /*pack*/, std::uint64_t /*from*/, std::uint64_t /*to*/,
                      const std::vector<SlotRange>& /*without*/) override {
    return make_error(ErrorCode::kInternal, "nothing here is dead in part");
  }

 private:
  Backend& backend_;
  SessionStore store_;
  std::vector<std::string> packs_;
  std::map<std::string, std::vector<std::string>> references_;
};

struct World {
  std::shared_ptr<MemoryStore> objects = std::make_shared<MemoryStore>();
  std::shared_ptr<FakeClock> clock = std::make_shared<FakeClock>();
  NamedSealer sealer;
  std::unique_ptr<Backend> backend = make_memory_backend(objects);
  bool everybody_is_gone = false;

  [[nodiscard]] std::unique_ptr<FaultyBackend> faulty(const Faults& faults = {}) const {
    return std::make_unique<FaultyBackend>(make_memory_backend(objects), 1, faults, clock);
  }
  [[nodiscard]] WriterRegistryOptions writer_options() const {
    WriterRegistryOptions options;
    options.patience.clock = clock;
    return options;
  }
  [[nodiscard]] CollectorDriverOptions collector_options() {
    CollectorDriverOptions options;
    options.patience.clock = clock;
    options.is_gone = [this](const WriterHost&) { return everybody_is_gone; };
    return options;
  }
  Status write(Backend& on, const std::string& key, const RootOrigin& origin, std::vector<std::string> packs) {
    const auto bytes = encode_session_document(make_root(origin, std::move(packs)));
    const auto sealed = sealer.seal(key, bytes.value());
    return put_object(on, key, sealed.value(), Overwrite::kYes);
  }
  void write_pack(const std::string& pack) const {
    objects->put("packs/" + pack + ".0", std::make_shared<const std::vector<std::byte>>(4), Overwrite::kYes);
  }
  [[nodiscard]] bool has(const std::string& name) const { return objects->get(name) != nullptr; }
  /// Whether readers count it.
  bool counts(const std::string& key) {
    const auto view = read_collection_view(*backend, sealer);
    Hooks hooks(*backend, sealer);
    const auto origin = hooks.read_root(key);
    EXPECT_TRUE(view.ok() && origin.ok());
    return origin->has_value() && root_counts(view->state, view->catalogue, key, **origin);
  }
  [[nodiscard]] std::vector<std::string> protocol_objects() const {
    std::vector<std::string> names;
    for (const auto& object : objects->list("sessions/")) {
      if (!object.name.starts_with("sessions/terms/")) names.push_back(object.name);
    }
    return names;
  }
};

struct Collector {
  explicit Collector(World& world)
      : hooks(*world.backend, world.sealer), driver(*world.backend, world.sealer, hooks, world.collector_options()) {}
  Result<CollectorReport> run() { return driver.run(); }
  Hooks hooks;
  CollectorDriver driver;
};

TEST(SessionDriver, ACommitIsKeptAndItsWriterForgotten) {
  World world;
  {
    WriterRegistry registry(*world.backend, world.sealer, world.writer_options());
    auto session = registry.begin({"roots/1"});
    ASSERT_TRUE(session.ok()) << session.error().to_string();
    EXPECT_EQ(session->origin(), (RootOrigin{{1, 1}, {0, 0}}));
    EXPECT_TRUE(world.has(licence_key(1)));
    EXPECT_TRUE(world.has(register_key(1, 1)));
    world.write_pack("a");
    ASSERT_TRUE(world.write(*world.backend, "roots/1", session->origin(), {"a"}).ok());
    ASSERT_TRUE(session->confirm().ok());
    ASSERT_TRUE(session->confirm().ok()) << "asking again is success";
    ASSERT_TRUE(session->end().ok());
    auto second = registry.begin({"roots/2"});
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(second->origin().session, (SessionId{1, 2})) << "the same seat, another number";
  }
  world.write_pack("b");  // nobody's
  Collector collector(world);
  for (int run = 0; run < 4; ++run) {
    const auto report = collector.run();
    ASSERT_TRUE(report.ok()) << report.error().to_string();
    EXPECT_TRUE(world.counts("roots/1"));
    EXPECT_EQ(world.has("packs/b.0"), run == 0) << "condemned by the first run, removed by the second";
  }
  EXPECT_TRUE(world.has("packs/a.0"));
  EXPECT_EQ(world.protocol_objects(), (std::vector<std::string>{"sessions/catalogues/1.2", "sessions/states/1"}))
      << "nothing of the writer";
}

TEST(SessionDriver, WorksWithoutConditionsAndWithLateListings) {
  World world;
  const auto store = world.faulty({.ignore_conditions = true, .late_listing = 1'000'000});
  ASSERT_FALSE(store->traits().exclusive_create);
  WriterRegistry one(*store, world.sealer, world.writer_options());
  WriterRegistry two(*store, world.sealer, world.writer_options());
  auto first = one.begin({"roots/1"});
  auto second = two.begin({"roots/2"});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->origin().session.seat, 1U);
  EXPECT_EQ(second->origin().session.seat, 2U);
  EXPECT_TRUE(world.has(second_key(Chain::kSeats, 1))) << "the splitter's second register";
  for (auto* session : {&*first, &*second}) {
    const std::string key = "roots/" + std::to_string(session->origin().session.seat);
    ASSERT_TRUE(world.write(*store, key, session->origin(), {}).ok());
    ASSERT_TRUE(session->confirm().ok());
    ASSERT_TRUE(session->end().ok());
  }
  Hooks hooks(*store, world.sealer);
  CollectorDriver driver(*store, world.sealer, hooks, world.collector_options());
  const auto report = driver.run();  // nothing is listed to it
  ASSERT_TRUE(report.ok()) << report.error().to_string();
  EXPECT_EQ(report->roots, 2U) << "found by key: the registers name them";
}

TEST(SessionDriver, AFencedWriterCommitsNothing) {
  World world;
  WriterRegistry registry(*world.backend, world.sealer, world.writer_options());
  auto session = registry.begin({"roots/1"});
  ASSERT_TRUE(session.ok());
  Collector collector(world);
  ASSERT_TRUE(collector.run().ok());
  EXPECT_TRUE(world.has(licence_key(1)));
  world.everybody_is_gone = true;
  const auto report = collector.run();
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->settled, 1U);
  EXPECT_FALSE(world.has(licence_key(1)));
  ASSERT_TRUE(world.write(*world.backend, "roots/1", session->origin(), {}).ok());
  EXPECT_FALSE(world.counts("roots/1")) << "late";
  const auto confirmed = session->confirm();
  ASSERT_FALSE(confirmed.ok());
  EXPECT_EQ(confirmed.error().code, ErrorCode::kAborted);
  EXPECT_FALSE(world.has("roots/1"));
  auto again = registry.begin({"roots/2"});
  ASSERT_TRUE(again.ok()) << "another instance takes over";
  EXPECT_EQ(again->origin().session.seat, 2U);
}

TEST(SessionDriver, ARootFoundAtTheSettlingCounts) {
  World world;
  WriterRegistry registry(*world.backend, world.sealer, world.writer_options());
  auto session = registry.begin({"roots/1"});
  ASSERT_TRUE(session.ok());
  Collector collector(world);
  ASSERT_TRUE(collector.run().ok());
  ASSERT_TRUE(world.write(*world.backend, "roots/1", session->origin(), {}).ok());
  world.everybody_is_gone = true;  // and indeed it never confirms
  ASSERT_TRUE(collector.run().ok());
  EXPECT_TRUE(world.counts("roots/1"));
  session->doubt();
  ASSERT_TRUE(collector.run().ok());
  EXPECT_TRUE(world.counts("roots/1"));
}

TEST(SessionDriver, ALateRootIsRemovedByTheCollector) {
  World world;
  WriterRegistry registry(*world.backend, world.sealer, world.writer_options());
  auto session = registry.begin({"roots/1"});
  ASSERT_TRUE(session.ok());
  Collector collector(world);
  ASSERT_TRUE(collector.run().ok());
  world.everybody_is_gone = true;
  ASSERT_TRUE(collector.run().ok());
  ASSERT_TRUE(world.write(*world.backend, "roots/1", session->origin(), {}).ok());
  session->doubt();
  ASSERT_TRUE(collector.run().ok());
  EXPECT_FALSE(world.has("roots/1"));
}

TEST(SessionDriver, NothingIsRemovedUnderASessionThatMayNotKnow) {
  World world;
  world.write_pack("old");
  WriterRegistry registry(*world.backend, world.sealer, world.writer_options());
  auto session = registry.begin({"roots/1"});
  ASSERT_TRUE(session.ok());
  EXPECT_FALSE(session->avoids("old", 0));
  Collector collector(world);
  for (int run = 0; run < 3; ++run) ASSERT_TRUE(collector.run().ok());
  EXPECT_TRUE(world.has("packs/old.0"));
  auto later = registry.begin({"roots/2"});
  ASSERT_TRUE(later.ok());
  EXPECT_TRUE(later->avoids("old", 0)) << "whoever begins now is told";
  ASSERT_TRUE(world.write(*world.backend, "roots/1", session->origin(), {"old"}).ok());
  ASSERT_TRUE(session->confirm().ok());
  ASSERT_TRUE(session->end().ok());
  for (int run = 0; run < 3; ++run) ASSERT_TRUE(collector.run().ok());
  EXPECT_TRUE(world.has("packs/old.0")) << "pardoned";
  ASSERT_TRUE(later->end().ok());
}

TEST(SessionDriver, OfTwoCollectorsOneHasTheRole) {
  World world;
  Collector one(world);
  Collector two(world);
  ASSERT_TRUE(one.run().ok());
  ASSERT_TRUE(two.run().ok());
  const auto superseded = one.run();
  ASSERT_FALSE(superseded.ok());
  EXPECT_EQ(superseded.error().code, ErrorCode::kConflict);
  ASSERT_TRUE(one.run().ok()) << "it takes the role back";
  EXPECT_EQ(two.run().error().code, ErrorCode::kConflict);
}

TEST(SessionDriver, AFullRegisterMakesPlaceForAnother) {
  World world;
  auto options = world.writer_options();
  options.max_committed = 2;
  WriterRegistry registry(*world.backend, world.sealer, options);
  for (int i = 1; i <= 5; ++i) {
    const std::string key = "roots/" + std::to_string(i);
    auto session = registry.begin({key});
    ASSERT_TRUE(session.ok()) << session.error().to_string();
    EXPECT_EQ(session->origin().session.seat, static_cast<std::uint64_t>((i + 1) / 2));
    ASSERT_TRUE(world.write(*world.backend, key, session->origin(), {}).ok());
    ASSERT_TRUE(session->confirm().ok());
    ASSERT_TRUE(session->end().ok());
  }
  Collector collector(world);
  for (int run = 0; run < 3; ++run) ASSERT_TRUE(collector.run().ok());
  for (int i = 1; i <= 5; ++i) EXPECT_TRUE(world.counts("roots/" + std::to_string(i))) << i;
}

TEST(SessionDriver, NamesThatCannotBeAreRefusedAtTheBeginning) {
  World world;
  WriterRegistry registry(*world.backend, world.sealer, world.writer_options());
  EXPECT_EQ(registry.begin({"../roots"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(registry.begin(std::vector<std::string>(kMaxSessionRoots + 1, "roots/1")).error().code,
            ErrorCode::kTooLarge);
  EXPECT_TRUE(world.protocol_objects().empty()) << "nothing was written";
}

/// Tells when a register was written.
class Watched final : public Backend {
 public:
  explicit Watched(Backend& inner) : inner_(inner) {}
  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    if (name.starts_with("sessions/registers/")) {
      const std::lock_guard lock(mutex_);
      ++registers_;
      changed_.notify_all();
    }
    return inner_.create(name, overwrite);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    return inner_.read(name, offset, out);
  }
  Result<std::uint64_t> size(const std::string& name) override { return inner_.size(name); }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    return inner_.list(prefix, visitor);
  }
  Status remove(const std::string& name) override { return inner_.remove(name); }
  [[nodiscard]] const BackendTraits& traits() const override { return inner_.traits(); }
  [[nodiscard]] std::string describe() const override { return inner_.describe(); }

  bool wait_for_registers(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return registers_ >= count; });
  }

 private:
  Backend& inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t registers_ = 0;
};

TEST(SessionDriver, AnOpenSessionBeats) {
  World world;
  Watched backend(*world.backend);
  auto options = world.writer_options();
  options.beat = std::chrono::milliseconds(1);
  WriterRegistry registry(backend, world.sealer, options);
  auto session = registry.begin({"roots/1"});
  ASSERT_TRUE(session.ok());
  EXPECT_TRUE(backend.wait_for_registers(4)) << "heartbeats move the register";
  SessionStore store(*world.backend, world.sealer);
  SessionOp op;
  op.key = register_key(1, 1);
  const auto performed = store.perform(op);
  const auto* content = session_document_as<WriterRegister>(performed.answer.document);
  ASSERT_NE(content, nullptr);
  EXPECT_GE(content->version, 3U);
  EXPECT_EQ(content->open.size(), 1U);
}

TEST(SessionDriver, AWriterTellsWhatItIs) {
  const auto self = this_writer_host();
  ASSERT_FALSE(self.boot.empty());
  EXPECT_FALSE(is_known_gone(self, self));
  auto gone = self;
  gone.started += 1;
  EXPECT_TRUE(is_known_gone(gone, self)) << "another process had the number";
  gone.boot = "another machine's";
  EXPECT_FALSE(is_known_gone(gone, self)) << "nothing is known of another machine";
  gone.boot.clear();
  EXPECT_FALSE(is_known_gone(gone, self));
}

// --- an answer lost at each operation --------------------------------------------------------------------------------

struct Lost {
  bool took_effect = false;
  bool conditions = true;
};

class LostAnswer : public testing::TestWithParam<Lost> {};

/// One session whose n-th operation fails: what it was told is what readers find, for good.
void run_with_failure(std::uint64_t n, const Lost& lost, std::uint64_t& operations) {
  World world;
  const auto store = world.faulty({.ignore_conditions = !lost.conditions});
  store->fail_at(n, ErrorCode::kTimeout, lost.took_effect);
  bool committed = false;
  bool refused = false;
  world.write_pack("a");
  {
    WriterRegistry registry(*store, world.sealer, world.writer_options());
    auto session = registry.begin({"roots/1"});
    ASSERT_TRUE(session.ok()) << n << ": " << session.error().to_string();
    if (world.write(*store, "roots/1", session->origin(), {"a"}).ok()) {
      const auto confirmed = session->confirm();
      ASSERT_TRUE(confirmed.ok()) << n << ": " << confirmed.error().to_string();
      committed = true;
      EXPECT_TRUE(session->end().ok()) << n;
    } else {
      session->doubt();
    }
    refused = !committed;
  }
  operations = store->operations();
  const bool there = world.has("roots/1");
  EXPECT_TRUE(there || refused) << n;
  Collector collector(world);
  for (int run = 0; run < 4; ++run) {
    ASSERT_TRUE(collector.run().ok()) << n;
    EXPECT_EQ(world.counts("roots/1"), there) << n << ", run " << run;
    if (there) {
      EXPECT_TRUE(world.has("packs/a.0")) << n;
    }
  }
  EXPECT_EQ(world.has("packs/a.0"), there) << n << ": garbage is collected all the same";
}

TEST_P(LostAnswer, LosesNothing) {
  std::uint64_t operations = 1;
  for (std::uint64_t n = 1; n <= operations && n < 500; ++n) run_with_failure(n, GetParam(), operations);
  EXPECT_GT(operations, 15U);
}

TEST_P(LostAnswer, OfACollectorLosesNothing) {
  std::uint64_t operations = 1;
  for (std::uint64_t n = 1; n <= operations && n < 1000; ++n) {
    World world;
    WriterRegistry registry(*world.backend, world.sealer, world.writer_options());
    auto session = registry.begin({"roots/1"});
    ASSERT_TRUE(session.ok());
    world.write_pack("a");
    world.write_pack("b");
    ASSERT_TRUE(world.write(*world.backend, "roots/1", session->origin(), {"a"}).ok());
    ASSERT_TRUE(session->confirm().ok());
    ASSERT_TRUE(session->end().ok());
    const auto store = world.faulty({.ignore_conditions = !GetParam().conditions});
    store->fail_at(n, ErrorCode::kTimeout, GetParam().took_effect);
    Hooks hooks(*store, world.sealer);
    CollectorDriver driver(*store, world.sealer, hooks, world.collector_options());
    for (int run = 0; run < 3; ++run) {
      const auto report = driver.run();
      if (!report) {
        EXPECT_EQ(report.error().code, ErrorCode::kUnavailable) << n << report.error().to_string();
      }
      EXPECT_TRUE(world.counts("roots/1")) << n;
      EXPECT_TRUE(world.has("packs/a.0")) << n;
    }
    operations = store->operations();
    const auto last = driver.run();
    EXPECT_TRUE(last.ok()) << n;
    EXPECT_FALSE(world.has("packs/b.0")) << n;
  }
  EXPECT_GT(operations, 30U);
}

INSTANTIATE_TEST_SUITE_P(All, LostAnswer,
                         testing::Values(Lost{false, true}, Lost{true, true}, Lost{false, false}, Lost{true, false}));

}  // namespace
}  // namespace cacs::repository
