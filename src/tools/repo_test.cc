#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <fstream>

#include "base/fd.h"
#include "base/io.h"
#include "base/process.h"
#include "repository/keys/key_file.h"
#include "repository/test_support.h"
#include "repository/unlock.h"
#include "tools/repo_actions.h"

// `cacs repo` as its users call it: the program itself, on directories.
namespace cacs::tools {
namespace {

using repository::Repository;
using repository::TemporaryDirectory;

constexpr const char* kPassphrase = "correct horse battery";

class RepoTest : public ::testing::Test {
 protected:
  RepoTest() { write("secret", kPassphrase, 0600); }

  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return dir_.path() / name; }
  [[nodiscard]] std::string repo() const { return path("store"); }

  void write(const std::string& name, const std::string& text, mode_t mode) const {
    EXPECT_TRUE(write_file_durably(path(name), text, mode).ok());
  }

  /// With the passphrase of secret in CACS_PASSPHRASE_FILE, unless `env` says otherwise.
  [[nodiscard]] Captured run(std::vector<std::string> arguments, std::vector<std::string> env = {}) const {
    Command command;
    command.argv = {CACS_BINARY};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    if (env.empty()) env = {"CACS_PASSPHRASE_FILE=" + path("secret").string()};
    for (const char* name : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS"}) {
      if (const char* value = ::getenv(name)) env.push_back(std::string(name) + "=" + value);
    }
    env.push_back("HOME=" + dir_.path().string());
    command.env = std::move(env);
    command.cwd = dir_.path();
    command.new_session = true;  // no terminal to ask
    const auto ran = run_command(command);
    EXPECT_TRUE(ran.ok()) << ran.error().to_string();
    return ran ? *ran : Captured{};
  }
  [[nodiscard]] JsonObject json(std::vector<std::string> arguments, int code = 0) const {
    arguments.insert(arguments.end(), {"-o", "json"});
    const Captured ran = run(arguments);
    EXPECT_EQ(ran.status.value, code) << ran.err;
    auto parsed = parse_json_object(ran.out, "answer");
    EXPECT_TRUE(parsed.ok()) << ran.out;
    return parsed ? *parsed : JsonObject{};
  }

  void init() const { ASSERT_EQ(run({"repo", "init", repo()}).status.value, 0); }

  [[nodiscard]] std::unique_ptr<Repository> open() const {
    auto place = repository::local_place(repo());
    EXPECT_TRUE(place.ok());
    auto opened = open_repository(std::move(*place), []() -> Result<repository::Credential> {
      CACS_ASSIGN(auto text, repository::Passphrase::from(kPassphrase));
      return repository::Credential(std::move(text));
    });
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    return opened ? *std::move(opened) : nullptr;
  }

  /// A checkpoint with bytes of its own; returns its id.
  static std::string store(Repository& repository, const std::string& application, const std::string& created,
                           std::uint64_t seed) {
    auto writer = repository.begin("test");
    EXPECT_TRUE(writer.ok());
    const auto blob = put_text(**writer, repository::random_bytes(300'000, seed));
    EXPECT_TRUE(blob.ok());
    const std::string id = new_uuid();
    EXPECT_TRUE((*writer)
                    ->commit({.checkpoint = id,
                              .application = application,
                              .created_at = created,
                              .meta = {{"name", "melt"}},
                              .entries = {{.name = "memory", .blob = *blob}}})
                    .ok());
    return id;
  }

  TemporaryDirectory dir_;
};

TEST_F(RepoTest, InitMakesOneAndStatShowsIt) {
  const JsonObject made = json({"repo", "init", repo()});
  EXPECT_EQ(json_string_or(made, "sealing", ""), "aes-256-gcm");
  EXPECT_EQ(json_string_or(made, "location", ""), repo());
  const Captured again = run({"repo", "init", "-r", repo()});
  EXPECT_EQ(again.status.value, 4);
  EXPECT_NE(again.err.find("there is one already"), std::string::npos) << again.err;
  store(*open(), "app-1", "2026-11-01T00:00:00.000Z", 1);
  const JsonObject stat = json({"repo", "stat", repo()});
  EXPECT_EQ(json_string_or(stat, "repository", "1"), json_string_or(made, "repository", "2"));
  EXPECT_EQ(json_int_or(stat, "checkpoints", 0), 1);
  EXPECT_EQ(json_int_or(stat, "checkpoint_bytes", 0), 300'000);
  EXPECT_GT(json_int_or(stat, "stored_bytes", 0), 300'000);
  EXPECT_EQ(json_string_or(stat, "newest", ""), "2026-11-01T00:00:00.000Z");
  const std::string secret = path("secret");
  const Captured table =
      run({"repo", "stat", "--utc"}, {"CACS_REPOSITORY=" + repo(), "CACS_PASSPHRASE_FILE=" + secret});
  EXPECT_NE(table.out.find("1 of 1 applications"), std::string::npos) << table.out << table.err;
}

TEST_F(RepoTest, WhatIsNotThereOrNotNamedIsSaid) {
  EXPECT_EQ(run({"repo", "stat", repo()}).status.value, 3);
  EXPECT_FALSE(std::filesystem::exists(repo()));  // looking makes nothing
  EXPECT_EQ(run({"repo", "stat", "--state", path("none")}).status.value, 2);
  EXPECT_EQ(run({"repo", "init"}).status.value, 2);
  EXPECT_EQ(run({"repo", "stat", repo(), "-r", repo()}).status.value, 2);
  EXPECT_EQ(run({"repo", "stat", "ftp://host/x"}).status.value, 7);
  EXPECT_EQ(run({"repo", "gc", "--max-garbage", "120%", repo()}).status.value, 2);
}

TEST_F(RepoTest, AWrongPassphraseOpensNothingAndIsNotShown) {
  init();
  write("wrong", "a wrong passphrase", 0600);
  for (const char* command : {"stat", "check", "gc"}) {
    const Captured ran = run({"repo", command, repo(), "--password-file", path("wrong")});
    EXPECT_EQ(ran.status.value, 6) << command;
    EXPECT_NE(ran.err.find("key slot"), std::string::npos) << ran.err;
    EXPECT_EQ(ran.err.find("a wrong passphrase"), std::string::npos);
  }
  // Nobody there to ask.
  EXPECT_NE(run({"repo", "stat", repo()}, {"X=1"}).status.value, 0);
  write("readable", kPassphrase, 0644);
  EXPECT_EQ(run({"repo", "stat", repo(), "--passphrase-file", path("readable")}).status.value, 6);
  EXPECT_EQ(run({"repo", "stat", repo(), "--key-file", path("x"), "--passphrase-file", path("y")}).status.value, 2);
  EXPECT_EQ(
      run({"repo", "stat", repo(), "--passphrase-command", "cat " + path("secret").string()}, {"X=1"}).status.value, 0);
}

TEST_F(RepoTest, CheckNamesADamagedByte) {
  init();
  store(*open(), "app-1", "2026-11-01T00:00:00.000Z", 1);
  EXPECT_TRUE(json_bool_or(json({"repo", "check", "--read-data", repo()}), "ok", false));
  std::filesystem::path pack;
  for (const auto& file : std::filesystem::recursive_directory_iterator(path("store") / "packs")) {
    if (file.is_regular_file() && file.file_size() > 100'000) pack = file.path();
  }
  ASSERT_FALSE(pack.empty());
  {
    std::fstream bytes(pack, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(50'000);
    const char old = static_cast<char>(bytes.get());
    bytes.seekp(50'000);
    bytes.put(static_cast<char>(old ^ 1));
  }
  const JsonObject checked = json({"repo", "check", "--read-data", repo()}, 1);
  EXPECT_FALSE(json_bool_or(checked, "ok", true));
  const std::string id = pack.filename().string().substr(0, pack.filename().string().find('.'));
  EXPECT_NE(boost::json::serialize(checked).find(id), std::string::npos) << boost::json::serialize(checked);
  const Captured told = run({"repo", "check", "--read-data", repo()});
  EXPECT_EQ(told.status.value, 1);
  EXPECT_NE(told.out.find("damaged: "), std::string::npos) << told.out;
}

TEST_F(RepoTest, ForgetKeepsWhatThePolicySaysAndGcFreesTheRest) {
  init();
  const auto repository = open();
  const std::string old = store(*repository, "app-1", "2026-11-01T00:00:00.000Z", 1);
  const std::string middle = store(*repository, "app-1", "2026-11-02T00:00:00.000Z", 2);
  const std::string newest = store(*repository, "app-1", "2026-11-02T10:00:00.000Z", 3);
  const std::string other = store(*repository, "app-2", "2020-01-01T00:00:00.000Z", 4);
  const JsonObject dry = json({"repo", "forget", "-r", repo(), "--keep-last", "1", "--dry-run"});
  EXPECT_EQ(json_int_or(dry, "removed", -1), 0);
  EXPECT_EQ(repository->list()->size(), 4U);
  const JsonObject done = json({"repo", "forget", "-r", repo(), "--keep-daily", "1", "--prune"});
  EXPECT_EQ(json_int_or(done, "removed", -1), 2);
  const JsonObject* collected = json_find_object(done, "collected");
  ASSERT_NE(collected, nullptr);
  EXPECT_GT(json_int_or(*collected, "bytes_freed", 0), 500'000);
  for (const auto& item : *json_find_array(done, "items")) {
    const std::string id = json_string_or(item.as_object(), "id", "");
    EXPECT_EQ(json_bool_or(item.as_object(), "keep", false), id == newest || id == other) << id;
  }
  EXPECT_FALSE(repository->load(old).ok());
  EXPECT_FALSE(repository->load(middle).ok());
  // By its name, then its space by hand.
  EXPECT_NE(run({"repo", "forget", "-r", repo(), other}).out.find("removed 1"), std::string::npos);
  EXPECT_GT(json_int_or(json({"repo", "gc", repo()}), "bytes_freed", 0), 250'000);
  EXPECT_TRUE(open()->verify(newest).ok());
  EXPECT_TRUE(json_bool_or(json({"repo", "check", "--read-data", repo()}), "ok", false));
}

TEST_F(RepoTest, ForgetRefusesWhatIsNotSaid) {
  init();
  const auto repository = open();
  const std::string id = store(*repository, "app-1", "2026-11-01T00:00:00.000Z", 1);
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{},
                                             {"--keep-last", "0"},
                                             {"--keep-last", "-3"},
                                             {"--keep-last", "3x"},
                                             {"--keep-within", "7"},
                                             {"--unsafe-allow-remove-all"},
                                             {"--unsafe-allow-remove-all", "--application", "melt", "--keep-last", "1"},
                                             {id, "--keep-last", "1"}}) {
    std::vector<std::string> arguments{"repo", "forget", "-r", repo()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run(arguments).status.value, 2) << ::testing::PrintToString(more);
  }
  EXPECT_EQ(run({"repo", "forget", "-r", repo(), new_uuid()}).status.value, 3);
  EXPECT_EQ(repository->list()->size(), 1U);
  EXPECT_EQ(run({"repo", "forget", "-r", repo(), "--unsafe-allow-remove-all", "--application", "melt"}).status.value,
            0);
  EXPECT_TRUE(repository->list()->empty());
}

TEST_F(RepoTest, ANodesOwnRepositoryIsFoundAndSpared) {
  const auto node = dir_.path() / "state" / "nodes" / "local-0";
  std::filesystem::create_directories(node);
  const auto directory = node / "repository";
  { ASSERT_TRUE(repository::open_or_create_local(directory, directory.string() + ".key").ok()); }
  ASSERT_TRUE(write_file_durably(node / "agent.lock", "").ok());
  const std::vector<std::string> env{"CACS_STATE=" + path("state").string()};
  const Captured stat = run({"repo", "stat"}, env);
  EXPECT_EQ(stat.status.value, 0) << stat.err;
  EXPECT_NE(stat.out.find(directory.string()), std::string::npos);
  const Captured spared = run({"repo", "forget", "--keep-last", "1"}, env);
  EXPECT_EQ(spared.status.value, 4);
  EXPECT_NE(spared.err.find("--force"), std::string::npos) << spared.err;
  EXPECT_EQ(run({"repo", "forget", "--keep-last", "1", "--force"}, env).status.value, 0);
  EXPECT_EQ(run({"repo", "forget", "--keep-last", "1", "--dry-run"}, env).status.value, 0);
  // What the agent opens it with stays, and its keys are not changed below it.
  EXPECT_EQ(run({"repo", "key", "passwd", "--new-key-file", path("new.key")}, env).status.value, 4);
  const UniqueFd agent(::open((node / "agent.lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(agent.get(), LOCK_EX), 0);
  const Captured busy = run({"repo", "key", "rotate"}, env);
  EXPECT_EQ(busy.status.value, 4);
  EXPECT_NE(busy.err.find("an agent works in"), std::string::npos) << busy.err;
  ASSERT_EQ(::flock(agent.get(), LOCK_UN), 0);
  EXPECT_EQ(run({"repo", "key", "rotate"}, env).status.value, 0);
  EXPECT_TRUE(repository::open_or_create_local(directory, directory.string() + ".key").ok());
}

TEST_F(RepoTest, KeysAreAddedChangedAndRemoved) {
  init();
  const std::string id = store(*open(), "app-1", "2026-11-01T00:00:00.000Z", 1);
  const std::string key = path("a.key");
  const std::string added = json_string_or(json({"repo", "key", "add", "-r", repo(), "--new-key-file", key}), "id", "");
  EXPECT_EQ(std::filesystem::status(key).permissions() & std::filesystem::perms::all,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(json_find_array(json({"repo", "key", "list", "-r", repo()}), "items")->size(), 2U);
  EXPECT_EQ(run({"repo", "stat", repo(), "--key-file", key}).status.value, 0);
  EXPECT_EQ(run({"repo", "key", "add", "-r", repo(), "--new-key-file", key}).status.value, 4);

  write("next", "another passphrase", 0600);
  ASSERT_EQ(run({"repo", "key", "passwd", "-r", repo(), "--new-passphrase-file", path("next")}).status.value, 0);
  EXPECT_EQ(run({"repo", "stat", repo()}).status.value, 6);
  EXPECT_EQ(run({"repo", "stat", repo(), "--passphrase-file", path("next")}).status.value, 0);

  EXPECT_EQ(run({"repo", "key", "remove", "-r", repo(), "--key-file", key, added}).status.value, 4);
  EXPECT_EQ(run({"repo", "key", "remove", "-r", repo(), "--key-file", key, new_uuid()}).status.value, 3);
  EXPECT_EQ(run({"repo", "key", "remove", "-r", repo(), "--passphrase-file", path("next"), added}).status.value, 0);
  EXPECT_EQ(run({"repo", "stat", repo(), "--key-file", key}).status.value, 6);
  EXPECT_EQ(run({"repo", "check", "--read-data", repo(), "--passphrase-file", path("next")}).status.value, 0);
}

TEST_F(RepoTest, ARotationLeavesOthersStaleUntilRefreshed) {
  init();
  const std::string id = store(*open(), "app-1", "2026-11-01T00:00:00.000Z", 1);
  const std::string key = path("a.key");
  ASSERT_EQ(run({"repo", "key", "add", "-r", repo(), "--new-key-file", key}).status.value, 0);
  const JsonObject rotated = json({"repo", "key", "rotate", "-r", repo()});
  EXPECT_EQ(json_int_or(rotated, "generation", 0), 2);
  EXPECT_EQ(json_find_array(rotated, "stale")->size(), 1U);
  EXPECT_EQ(run({"repo", "stat", repo(), "--key-file", key}).status.value, 6);
  EXPECT_NE(run({"repo", "key", "list", "-r", repo()}).out.find("stale"), std::string::npos);
  EXPECT_TRUE(open()->verify(id).ok());
  ASSERT_EQ(run({"repo", "key", "refresh", "-r", repo(), "--stale-key-file", key}).status.value, 0);
  EXPECT_EQ(run({"repo", "stat", repo(), "--key-file", key}).status.value, 0);
  EXPECT_EQ(run({"repo", "key", "list", "-r", repo()}).out.find("stale"), std::string::npos);
  EXPECT_EQ(json_find_array(json({"repo", "key", "rotate", "-r", repo(), "--also-key-file", key}), "stale")->size(),
            0U);
}

TEST_F(RepoTest, ACopyIsTheSameRepositoryAndIsBroughtUpToDate) {
  init();
  const auto repository = open();
  const std::string first = store(*repository, "app-1", "2026-11-01T00:00:00.000Z", 1);
  const std::string second = store(*repository, "app-1", "2026-11-02T00:00:00.000Z", 2);
  const std::string copy = path("copy");
  const JsonObject one = json({"repo", "copy", "-r", repo(), "--to", copy, first});
  EXPECT_EQ(json_int_or(one, "checkpoints", 0), 1);
  EXPECT_GT(json_int_or(one, "bytes_copied", 0), 300'000);
  EXPECT_EQ(json_int_or(json({"repo", "stat", copy}), "checkpoints", 0), 1);
  const JsonObject rest = json({"repo", "copy", "-r", repo(), "--to", copy});
  EXPECT_EQ(json_int_or(rest, "checkpoints", 0), 2);
  EXPECT_LT(json_int_or(rest, "bytes_copied", 0), 400'000) << "the first one was there";
  const JsonObject again = json({"repo", "copy", "-r", repo(), "--to", copy, "--rate", "1GiB"});
  EXPECT_EQ(json_int_or(again, "bytes_copied", -1), 0);
  EXPECT_TRUE(json_bool_or(json({"repo", "check", "--read-data", copy}), "ok", false));
  EXPECT_EQ(run({"repo", "copy", "-r", repo(), "--to", repo()}).status.value, 2);
  EXPECT_EQ(run({"repo", "copy", "-r", repo()}).status.value, 2);
  EXPECT_EQ(run({"repo", "copy", "-r", repo(), "--to", copy, "--rate", "fast"}).status.value, 2);
  EXPECT_EQ(run({"repo", "copy", "-r", repo(), "--to", copy, new_uuid()}).status.value, 3);
  ASSERT_EQ(run({"repo", "init", path("other")}).status.value, 0);
  EXPECT_EQ(run({"repo", "copy", "-r", repo(), "--to", path("other")}).status.value, 4) << "another repository";
}

TEST_F(RepoTest, ASharedRepositoryIsCollectedWithoutALock) {
  ASSERT_EQ(run({"repo", "init", "--shared", repo()}).status.value, 0);
  const auto repository = open();
  ASSERT_TRUE(repository->has_sessions());
  const std::string kept = store(*repository, "app-1", "2026-11-01T00:00:00.000Z", 1);
  const std::string gone = store(*repository, "app-1", "2026-11-02T00:00:00.000Z", 2);
  EXPECT_NE(run({"repo", "forget", "-r", repo(), gone}).out.find("removed 1"), std::string::npos);
  const JsonObject collected = json({"repo", "gc", repo()});
  EXPECT_GT(json_int_or(collected, "bytes_freed", 0), 250'000);
  EXPECT_EQ(json_int_or(collected, "packs_condemned", -1), 0);
  EXPECT_TRUE(json_bool_or(json({"repo", "check", "--read-data", repo()}), "ok", false));
  EXPECT_TRUE(repository->verify(kept).ok());
  // Packs are rewritten there by others at any time, so that a copy of sealed packs is not to be had.
  EXPECT_EQ(run({"repo", "copy", "-r", repo(), "--to", path("copy")}).status.value, 7);
}

TEST(RepoOptions, SharesAndPoliciesAreReadStrictly) {
  EXPECT_DOUBLE_EQ(parse_share("20%").value(), 0.2);
  EXPECT_DOUBLE_EQ(parse_share("0.05").value(), 0.05);
  EXPECT_DOUBLE_EQ(parse_share("0").value(), 0.0);
  for (const char* text : {"", "%", "20", "-1%", "101%", "1.1", "nan", "0.1x", " 1%"}) {
    EXPECT_FALSE(parse_share(text).ok()) << text;
  }
  ForgetOptions options;
  options.last = "unlimited";
  options.weekly = "4";
  options.within = "2d";
  const auto policy = policy_of(options);
  ASSERT_TRUE(policy.ok());
  EXPECT_EQ(policy->last, repository::RetentionPolicy::kUnlimited);
  EXPECT_EQ(policy->weekly, 4);
  EXPECT_EQ(policy->within.days, 2);
  EXPECT_TRUE(policy_of({}).value().empty());
}

}  // namespace
}  // namespace cacs::tools
