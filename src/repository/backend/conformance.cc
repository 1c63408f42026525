#include "repository/backend/conformance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <map>
#include <random>
#include <thread>

#include "repository/backend/test_support.h"

namespace cacs::repository {

namespace {

using Bytes = std::vector<std::byte>;

struct Context {
  BackendUnderTest& under_test;
  const ConformanceOptions& options;
  [[nodiscard]] Backend& backend() const { return under_test.backend(); }
};

Status put(Backend& backend, const std::string& name, const Bytes& bytes, Overwrite overwrite = Overwrite::kNo) {
  return put_object(backend, name, bytes, overwrite);
}

/// Whether the object is exactly `bytes`, by its size and by one read that asks for more than there is.
void expect_holds(Backend& backend, const std::string& name, const Bytes& bytes) {
  const auto size = backend.size(name);
  ASSERT_OK(size);
  EXPECT_EQ(*size, bytes.size()) << name;
  Bytes got(bytes.size() + 7);
  const auto count = backend.read(name, 0, got);
  ASSERT_OK(count);
  ASSERT_EQ(*count, bytes.size()) << name;
  got.resize(*count);
  EXPECT_TRUE(got == bytes) << name << " holds other bytes";
}

std::map<std::string, std::uint64_t> listed(Backend& backend, const std::string& prefix) {
  std::map<std::string, std::uint64_t> found;
  const auto status = backend.list(prefix, [&](const ObjectInfo& info) -> Status {
    EXPECT_TRUE(found.emplace(info.name, info.size).second) << info.name << " was listed twice";
    return {};
  });
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  return found;
}

void expect_nothing_left(const Context& context) {
  for (const auto& name : context.under_test.leftovers()) ADD_FAILURE() << "left behind: " << name;
}

void sizes(const Context& context) {
  constexpr std::size_t kMiB = std::size_t{1} << 20U;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kMiB - 1, kMiB, kMiB + 1, 3 * kMiB + 17}) {
    SCOPED_TRACE(size);
    const std::string name = "packs/size-" + std::to_string(size);
    const Bytes bytes = object_bytes(size, size + 1);
    ASSERT_OK(put(context.backend(), name, bytes));
    expect_holds(context.backend(), name, bytes);
    const auto whole = get_object(context.backend(), name, size);
    ASSERT_OK(whole);
    EXPECT_TRUE(*whole == bytes);
    if (size > 0) EXPECT_CODE(get_object(context.backend(), name, size - 1), ErrorCode::kTooLarge);
  }
  expect_nothing_left(context);
}

void large_object_written_in_uneven_pieces(const Context& context) {
  const Bytes bytes = object_bytes(context.options.large_bytes, 42);
  auto writer = context.backend().create("packs/large", Overwrite::kNo);
  ASSERT_OK(writer);
  std::mt19937_64 random(7);
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t bound = random() % 8 == 0 ? (std::size_t{9} << 20U) : (std::size_t{300} << 10U);
    const std::size_t count = std::min<std::size_t>(random() % bound, bytes.size() - at);
    ASSERT_OK((*writer)->append(std::span(bytes).subspan(at, count)));
    at += count;
  }
  EXPECT_CODE(context.backend().size("packs/large"), ErrorCode::kNotFound);
  ASSERT_OK((*writer)->commit());
  writer->reset();
  expect_holds(context.backend(), "packs/large", bytes);
  const auto another = context.under_test.another();
  expect_holds(*another, "packs/large", bytes);
  expect_nothing_left(context);
}

void reads_at_any_offset(const Context& context) {
  const Bytes bytes = object_bytes((std::size_t{5} << 20U) + 321, 3);
  ASSERT_OK(put(context.backend(), "packs/ranges", bytes));
  std::mt19937_64 random(11);
  for (int round = 0; round < 200; ++round) {
    const std::uint64_t offset = random() % (bytes.size() + bytes.size() / 8);
    const std::size_t wanted = random() % (round % 10 == 0 ? std::size_t{4} << 20U : std::size_t{70'000});
    Bytes out(wanted, std::byte{0xee});
    const auto count = context.backend().read("packs/ranges", offset, out);
    ASSERT_OK(count);
    const std::size_t there = offset >= bytes.size() ? 0 : std::min<std::size_t>(wanted, bytes.size() - offset);
    ASSERT_EQ(*count, there) << offset << " + " << wanted;
    ASSERT_TRUE(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(there),
                           bytes.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(offset, bytes.size()))))
        << offset << " + " << wanted;
  }
  Bytes out(10);
  for (const std::uint64_t offset :
       {std::uint64_t{bytes.size()}, std::uint64_t{bytes.size()} + 1, std::uint64_t{1} << 40U}) {
    const auto count = context.backend().read("packs/ranges", offset, out);
    ASSERT_OK(count);
    EXPECT_EQ(*count, 0U) << offset;
  }
  const auto nothing = context.backend().read("packs/ranges", 5, {});
  ASSERT_OK(nothing);
  EXPECT_EQ(*nothing, 0U);
}

void what_is_not_there(const Context& context) {
  Bytes out(10);
  for (const char* name : {"absent", "packs/absent", "no/such/directory"}) {
    EXPECT_CODE(context.backend().read(name, 0, out), ErrorCode::kNotFound);
    EXPECT_CODE(context.backend().size(name), ErrorCode::kNotFound);
    const auto removed = context.backend().remove(name);
    if (!removed.ok()) {
      EXPECT_EQ(removed.error().code, ErrorCode::kNotFound) << removed.error().to_string();
    }
  }
  EXPECT_TRUE(listed(context.backend(), "").empty());
  EXPECT_TRUE(listed(context.backend(), "no/such/").empty());
  // What is the directory of objects is no object.
  ASSERT_OK(put(context.backend(), "packs/there", object_bytes(5, 1)));
  EXPECT_CODE(context.backend().read("packs", 0, out), ErrorCode::kNotFound);
  EXPECT_CODE(context.backend().size("packs"), ErrorCode::kNotFound);
  EXPECT_CODE(context.backend().read("packs/there/below", 0, out), ErrorCode::kNotFound);
}

void names(const Context& context) {
  const std::string longest = "d/" + std::string(198, 'x');
  const std::vector<std::string> good = {"a",   "repository", "packs/0.1", "A-Z_0.9/b", "tmp.abc", "-",
                                         "...", "p/.hidden",  "a-/b",      "a.b/c.d/e", longest};
  for (std::size_t i = 0; i < good.size(); ++i) {
    ASSERT_OK(put(context.backend(), good[i], object_bytes(i + 1, i)));
  }
  for (std::size_t i = 0; i < good.size(); ++i) expect_holds(context.backend(), good[i], object_bytes(i + 1, i));
  std::map<std::string, std::uint64_t> expected;
  for (std::size_t i = 0; i < good.size(); ++i) expected[good[i]] = i + 1;
  if (context.backend().traits().current_listing) {
    EXPECT_EQ(listed(context.backend(), ""), expected);
  }
  const std::vector<std::string> bad = {"",
                                        "/",
                                        "/a",
                                        "a/",
                                        "a//b",
                                        ".",
                                        "..",
                                        "../a",
                                        "a/../b",
                                        "a/.",
                                        "a b",
                                        "a\nb",
                                        "\xc3\xa4",
                                        "a~",
                                        "a+b",
                                        "a?b",
                                        "a%41",
                                        "a\\b",
                                        "a:b",
                                        std::string("a\0b", 3),
                                        std::string(201, 'x')};
  Bytes out(1);
  for (const auto& name : bad) {
    SCOPED_TRACE(testing::PrintToString(name));
    EXPECT_CODE(put(context.backend(), name, object_bytes(1, 1)), ErrorCode::kInvalidArgument);
    EXPECT_CODE(context.backend().read(name, 0, out), ErrorCode::kInvalidArgument);
    EXPECT_CODE(context.backend().size(name), ErrorCode::kInvalidArgument);
    EXPECT_CODE(context.backend().remove(name), ErrorCode::kInvalidArgument);
  }
  for (const char* prefix : {"packs", "/", "../", "a//", "a b/"}) {
    SCOPED_TRACE(prefix);
    EXPECT_CODE(context.backend().list(prefix, [](const ObjectInfo&) -> Status { return {}; }),
                ErrorCode::kInvalidArgument);
  }
}

void overwriting(const Context& context) {
  const auto another = context.under_test.another();
  Backend& backend = context.backend();
  // Also shorter and longer ones, large enough for whatever a backend treats in another way.
  const std::vector<std::size_t> lengths = {100, 7, 3'000'000, 0, 5000, 2'000'000};
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    SCOPED_TRACE(i);
    const Bytes bytes = object_bytes(lengths[i], 50 + i);
    ASSERT_OK(put(i % 2 == 0 ? backend : *another, "mutable", bytes, Overwrite::kYes));
    expect_holds(backend, "mutable", bytes);
    expect_holds(*another, "mutable", bytes);
  }
  expect_nothing_left(context);
}

void exclusive_create(const Context& context) {
  Backend& backend = context.backend();
  if (!backend.traits().exclusive_create) GTEST_SKIP() << "this backend does not promise it";
  const Bytes first = object_bytes(1000, 1);
  const Bytes second = object_bytes(2000, 2);
  ASSERT_OK(put(backend, "one", first));
  EXPECT_CODE(put(backend, "one", second), ErrorCode::kConflict);
  EXPECT_CODE(put(backend, "one", first), ErrorCode::kConflict);
  expect_holds(backend, "one", first);
  // Decided at commit(), not when writing begins.
  auto early = backend.create("two", Overwrite::kNo);
  ASSERT_OK(early);
  ASSERT_OK((*early)->append(first));
  ASSERT_OK(put(backend, "two", second));
  EXPECT_CODE((*early)->commit(), ErrorCode::kConflict);
  early->reset();
  expect_holds(backend, "two", second);
  // Free again after a removal.
  ASSERT_OK(backend.remove("two"));
  ASSERT_OK(put(backend, "two", first));
  expect_holds(backend, "two", first);
  expect_nothing_left(context);
}

void of_writers_at_once_exactly_one_wins(const Context& context) {
  Backend& backend = context.backend();
  if (!backend.traits().exclusive_create) GTEST_SKIP() << "this backend does not promise it";
  const auto another = context.under_test.another();
  constexpr std::size_t kWriters = 4;
  for (int round = 0; round < 10; ++round) {
    const std::string name = "race/" + std::to_string(round);
    std::barrier start(kWriters);
    std::array<Status, kWriters> outcome;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i] {
        start.arrive_and_wait();
        outcome.at(i) = put(i % 2 == 0 ? backend : *another, name, object_bytes(5000 + i, i));
      });
    }
    for (auto& thread : threads) thread.join();
    std::size_t winners = 0;
    for (std::size_t i = 0; i < kWriters; ++i) {
      if (outcome.at(i).ok()) {
        ++winners;
        expect_holds(backend, name, object_bytes(5000 + i, i));
      } else {
        EXPECT_EQ(outcome.at(i).error().code, ErrorCode::kConflict) << outcome.at(i).error().to_string();
      }
    }
    EXPECT_EQ(winners, 1U);
  }
  expect_nothing_left(context);
}

void listing_many(const Context& context) {
  Backend& backend = context.backend();
  if (!backend.traits().current_listing) GTEST_SKIP() << "this backend does not promise current listings";
  std::map<std::string, std::uint64_t> packs;
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  const auto name_of = [](std::size_t i) { return "packs/" + std::to_string(i); };
  for (std::size_t i = 0; i < context.options.many_objects; ++i) packs[name_of(i)] = i % 5;
  for (std::size_t t = 0; t < context.options.threads; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < context.options.many_objects; i = next++) {
        if (!put(backend, name_of(i), object_bytes(i % 5, i)).ok()) ++failures;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_EQ(failures, 0);
  ASSERT_OK(put(backend, "packs-of-others/1", object_bytes(9, 1)));
  ASSERT_OK(put(backend, "packs.also", object_bytes(10, 1)));
  ASSERT_OK(put(backend, "repository", object_bytes(11, 1)));
  ASSERT_OK(put(backend, "packs/deeper/1", object_bytes(12, 1)));
  packs["packs/deeper/1"] = 12;
  EXPECT_EQ(listed(backend, "packs/"), packs);
  EXPECT_EQ(listed(backend, "packs/deeper/").size(), 1U);
  EXPECT_EQ(listed(backend, "pack/").size(), 0U);
  auto all = packs;
  all["packs-of-others/1"] = 9;
  all["packs.also"] = 10;
  all["repository"] = 11;
  EXPECT_EQ(listed(backend, ""), all);
  // The visitor's error ends it and is passed on as it is.
  std::size_t seen = 0;
  const auto stopped = backend.list("packs/", [&](const ObjectInfo&) -> Status {
    if (++seen == 3) return make_error(ErrorCode::kStale, "enough");
    return {};
  });
  EXPECT_CODE(stopped, ErrorCode::kStale);
  EXPECT_EQ(seen, 3U);
  // The visitor may read, and remove, what it is shown.
  Bytes out(16);
  ASSERT_OK(backend.list("packs/deeper/", [&](const ObjectInfo& info) -> Status {
    CACS_TRY(backend.read(info.name, 0, out));
    return backend.remove(info.name);
  }));
  EXPECT_EQ(listed(backend, "packs/deeper/").size(), 0U);
}

void removal(const Context& context) {
  Backend& backend = context.backend();
  const auto another = context.under_test.another();
  const Bytes bytes = object_bytes(1'500'000, 1);
  ASSERT_OK(put(backend, "packs/a", bytes));
  ASSERT_OK(put(backend, "packs/b", bytes));
  expect_holds(backend, "packs/a", bytes);
  expect_holds(*another, "packs/b", bytes);
  ASSERT_OK(backend.remove("packs/a"));
  EXPECT_CODE(backend.size("packs/a"), ErrorCode::kNotFound);
  Bytes out(1);
  EXPECT_CODE(backend.read("packs/a", 0, out), ErrorCode::kNotFound);
  EXPECT_CODE(another->size("packs/a"), ErrorCode::kNotFound);
  if (backend.traits().current_listing) {
    const auto left = listed(*another, "packs/");
    EXPECT_EQ(left.size(), 1U);
    EXPECT_TRUE(left.contains("packs/b"));
  }
  const auto again = backend.remove("packs/a");
  if (!again.ok()) {
    EXPECT_EQ(again.error().code, ErrorCode::kNotFound);
  }
  if (context.options.removal_by_others_seen) {
    ASSERT_OK(backend.remove("packs/b"));
    EXPECT_CODE(another->size("packs/b"), ErrorCode::kNotFound);
  }
  ASSERT_OK(put(backend, "packs/a", object_bytes(10, 9)));
  expect_holds(*another, "packs/a", object_bytes(10, 9));
}

void abandoned_writers_leave_nothing(const Context& context) {
  Backend& backend = context.backend();
  const Bytes bytes = object_bytes(context.options.large_bytes, 8);
  ASSERT_OK(put(backend, "packs/kept", object_bytes(100, 1), Overwrite::kYes));
  for (const std::size_t length : {std::size_t{0}, std::size_t{10}, std::size_t{2'000'000}, bytes.size()}) {
    SCOPED_TRACE(length);
    for (const auto& [name, overwrite] :
         {std::pair{"packs/abandoned", Overwrite::kNo}, std::pair{"packs/kept", Overwrite::kYes}}) {
      auto writer = backend.create(name, overwrite);
      ASSERT_OK(writer);
      ASSERT_OK((*writer)->append(std::span(bytes).first(length)));
    }
    EXPECT_CODE(backend.size("packs/abandoned"), ErrorCode::kNotFound);
    expect_holds(backend, "packs/kept", object_bytes(100, 1));
    expect_nothing_left(context);
  }
  if (backend.traits().current_listing) {
    EXPECT_EQ(listed(backend, "").size(), 1U);
  }
}

/// Of a server that answers under load that it has too much to do (Swift: 503), which is no success and no fault.
Status put_at_last(Backend& backend, const std::string& name, const Bytes& bytes) {
  constexpr int kTries = 5;
  for (int tries = 1;; ++tries) {
    auto stored = put(backend, name, bytes);
    if (stored || stored.error().code != ErrorCode::kUnavailable || tries == kTries) return stored;
  }
}

/// Writers, readers, removers and lists at once, on two clients; every thread has names of its own.
void many_threads(const Context& context) {
  Backend& first = context.backend();
  const auto second = context.under_test.another();
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < context.options.threads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      std::map<std::string, Bytes> mine;
      for (int round = 0; round < 30; ++round) {
        Backend& backend = random() % 2 == 0 ? first : *second;
        const std::string name = "t" + std::to_string(t % 3) + "/" + std::to_string(t) + "." + std::to_string(round);
        mine[name] = object_bytes(random() % (round % 10 == 0 ? 3'000'000 : 20'000), random());
        EXPECT_OK(put_at_last(backend, name, mine[name]));
        expect_holds(random() % 2 == 0 ? first : *second, name, mine[name]);
        const auto victim = std::next(mine.begin(), static_cast<std::ptrdiff_t>(random() % mine.size()));
        if (round % 4 == 3) {
          EXPECT_OK(backend.remove(victim->first));
          EXPECT_CODE(backend.size(victim->first), ErrorCode::kNotFound);
          mine.erase(victim);
        } else {
          expect_holds(backend, victim->first, victim->second);
        }
        if (round % 10 == 5) EXPECT_OK(backend.list("t0/", [](const ObjectInfo&) -> Status { return {}; }));
      }
      for (const auto& [name, bytes] : mine) expect_holds(first, name, bytes);
    });
  }
  for (auto& thread : threads) thread.join();
  expect_nothing_left(context);
}

/// A reader of a name that is being replaced sees one of the objects, whole, never a mixture or nothing.
void replacing_is_atomic(const Context& context) {
  Backend& backend = context.backend();
  const auto another = context.under_test.another();
  const auto object = [](std::size_t i) { return Bytes(60'000 + i, static_cast<std::byte>(i)); };
  ASSERT_OK(put(backend, "head", object(0), Overwrite::kYes));
  std::atomic<bool> done{false};
  std::atomic<int> reads{0};
  std::thread reader([&] {
    Bytes out(70'000);
    std::size_t newest = 0;
    while (!done) {
      const auto count = another->read("head", 0, out);
      ASSERT_OK(count);
      ASSERT_GE(*count, 60'000U);
      const std::size_t which = *count - 60'000;
      ASSERT_GE(which, newest) << "went back";
      newest = which;
      const auto all = std::span(out).first(*count);
      ASSERT_EQ(std::ranges::count(all, static_cast<std::byte>(which)), std::ssize(all)) << "a mixture";
      ++reads;
    }
  });
  for (std::size_t i = 1; i <= 60; ++i) EXPECT_OK(put(backend, "head", object(i), Overwrite::kYes));
  while (reads < 3 && !testing::Test::HasFailure()) std::this_thread::yield();
  done = true;
  reader.join();
  expect_holds(backend, "head", object(60));
}

void describes_itself(const Context& context) {
  EXPECT_FALSE(context.backend().describe().empty());
  Bytes out(1);
  const auto absent = context.backend().read("packs/not-there", 0, out);
  ASSERT_FALSE(absent.ok());
  EXPECT_NE(absent.error().message.find("packs/not-there"), std::string::npos) << absent.error().message;
}

struct Case {
  const char* name;
  void (*run)(const Context&);
};

constexpr std::array kCases{
    Case{"Sizes", sizes},
    Case{"LargeObjectWrittenInUnevenPieces", large_object_written_in_uneven_pieces},
    Case{"ReadsAtAnyOffset", reads_at_any_offset},
    Case{"WhatIsNotThere", what_is_not_there},
    Case{"Names", names},
    Case{"Overwriting", overwriting},
    Case{"ExclusiveCreate", exclusive_create},
    Case{"OfWritersAtOnceExactlyOneWins", of_writers_at_once_exactly_one_wins},
    Case{"ListingMany", listing_many},
    Case{"Removal", removal},
    Case{"AbandonedWritersLeaveNothing", abandoned_writers_leave_nothing},
    Case{"ManyThreads", many_threads},
    Case{"ReplacingIsAtomic", replacing_is_atomic},
    Case{"DescribesItself", describes_itself},
};

class ConformanceTest : public ::testing::Test {
 public:
  ConformanceTest(const Case& which, std::function<std::unique_ptr<BackendUnderTest>()> make,
                  const ConformanceOptions& options)
      : which_(which), make_(std::move(make)), options_(options) {}
  void TestBody() override {
    const auto under_test = make_();
    if (!under_test) GTEST_SKIP() << "the store is not to be had here";
    which_.run({*under_test, options_});
  }

 private:
  Case which_;
  std::function<std::unique_ptr<BackendUnderTest>()> make_;
  ConformanceOptions options_;
};

}  // namespace

bool register_backend_conformance(const std::string& suite, std::function<std::unique_ptr<BackendUnderTest>()> make,
                                  ConformanceOptions options) {
  for (const auto& which : kCases) {
    ::testing::RegisterTest(suite.c_str(), which.name, nullptr, nullptr, __FILE__, __LINE__, [=]() -> ::testing::Test* {
      return new ConformanceTest(which, make, options);
    });  // gtest deletes it
  }
  return true;
}

}  // namespace cacs::repository
