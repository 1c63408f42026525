#include "application/asr.h"

#include <gtest/gtest.h>

#include <string>

namespace cacs::application {
namespace {

Result<Asr> parse(std::string_view text) {
  auto body = parse_json_object(text, "test");
  EXPECT_TRUE(body.ok()) << text;
  return parse_asr(*body);
}

Error failure(std::string_view text) {
  auto asr = parse(text);
  EXPECT_FALSE(asr.ok()) << text;
  return asr.ok() ? Error{} : asr.error();
}

constexpr std::string_view kFull = R"({
  "name": "lj-melt", "command": ["lmp", "-in", "in.melt"],
  "files": [{"path": "/job/in.melt", "content": "units lj\n", "mode": "0755"}],
  "workdir": "/job", "env": {"OMP_NUM_THREADS": "1"}, "user": "nobody", "cloud": "local", "pods": 1,
  "nodes": {"count": 1, "template": "small"}, "resources": {"cpus": 2, "memory": "2GiB"},
  "base": "host", "provision": [],
  "mounts": [{"source": "/scratch", "target": "/scratch", "mode": "ro", "rollback": false}],
  "network": {"egress": false, "ports": []}, "engine": "criu", "engine_options": {"x": 1},
  "checkpoint": {"interval": "10m", "keep": 5, "levels": ["local"], "external_connections": "refuse"},
  "health": {"interval": "10s", "timeout": "5s"},
  "recovery": {"max_attempts": 5, "restart_on": ["signal", "oom", 137], "fence": "lease"},
  "time_limit": "2h", "priority": 0})";

TEST(Asr, OnlyCommandIsRequired) {
  auto asr = parse(R"({"command": ["/usr/bin/sleep", "5"]})");
  ASSERT_TRUE(asr.ok()) << asr.error().to_string();
  EXPECT_EQ(asr->name, "sleep");
  EXPECT_EQ(asr->cloud, "local");
  EXPECT_EQ(asr->pods, 1);
  EXPECT_FALSE(asr->checkpoint_interval);
  EXPECT_TRUE(asr->restart_on_signal);
}

TEST(Asr, ReadsEveryField) {
  auto asr = parse(kFull);
  ASSERT_TRUE(asr.ok()) << asr.error().to_string();
  EXPECT_EQ(asr->files.at(0).mode, 0755U);
  EXPECT_EQ(asr->memory_bytes, std::uint64_t{2} << 30U);
  EXPECT_TRUE(asr->mounts.at(0).read_only);
  EXPECT_EQ(asr->checkpoint_interval, std::chrono::minutes(10));
  EXPECT_EQ(asr->health_timeout, std::chrono::seconds(5));
  EXPECT_TRUE(asr->restart_on_codes.contains(137));
  EXPECT_EQ(asr->time_limit, std::chrono::hours(2));
  EXPECT_FALSE(asr->egress);
}

TEST(Asr, ConnectionsToTheOutsideAreRefusedUnlessItSaysThatTheyAreReset) {
  const auto plain = parse(R"({"command": ["x"]})");
  ASSERT_TRUE(plain.ok());
  EXPECT_FALSE(plain->reset_external_connections);
  const auto reset = parse(R"({"command": ["x"], "checkpoint": {"external_connections": "reset"}})");
  ASSERT_TRUE(reset.ok()) << reset.error().to_string();
  EXPECT_TRUE(reset->reset_external_connections);
  const auto again = asr_from_stored_json(asr_to_stored_json(*reset, true));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->reset_external_connections);
  EXPECT_NE(failure(R"({"command": ["x"], "checkpoint": {"external_connections": "keep"}})")
                .message.find("external_connections"),
            std::string::npos);
}

TEST(Asr, SurvivesTheDatabase) {
  auto asr = parse(kFull);
  ASSERT_TRUE(asr.ok());
  asr->secret_env.insert("OMP_NUM_THREADS");
  const JsonObject stored = asr_to_stored_json(*asr, true);
  auto again = asr_from_stored_json(stored);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(asr_to_stored_json(*again, true), stored);
}

TEST(Asr, NeverShowsSecretValues) {
  Asr asr;
  asr.command = {"true"};
  asr.env = {{"TOKEN", "hunter2"}, {"PLAIN", "seen"}};
  asr.secret_env = {"TOKEN"};
  const std::string shown = boost::json::serialize(asr_to_json(asr));
  EXPECT_EQ(shown.find("hunter2"), std::string::npos);
  EXPECT_NE(shown.find("***"), std::string::npos);
  EXPECT_NE(shown.find("seen"), std::string::npos);
}

TEST(Asr, AnUnknownFieldIsNamedWithItsPlaceAndTheNearest) {
  Error top = failure(R"({"command": ["x"], "comand": ["y"]})");
  EXPECT_EQ(top.type, "unknown-field");
  EXPECT_NE(top.message.find("'comand'"), std::string::npos) << top.message;
  EXPECT_NE(top.hint.find("'command'"), std::string::npos) << top.hint;

  Error nested = failure(R"({"command": ["x"], "checkpoint": {"intervall": "10m"}})");
  EXPECT_EQ(nested.type, "unknown-field");
  EXPECT_NE(nested.message.find("'checkpoint'"), std::string::npos) << nested.message;
  EXPECT_NE(nested.hint.find("'interval'"), std::string::npos) << nested.hint;

  Error item = failure(R"({"command": ["x"], "files": [{"path": "/a", "content": "", "zzz": 1}]})");
  EXPECT_EQ(item.type, "unknown-field");
  EXPECT_NE(item.message.find("files[0]"), std::string::npos) << item.message;
}

TEST(Asr, EveryKindOfWrongValueIsNamed) {
  struct Case {
    std::string_view json;
    std::string_view place;
  };
  const Case cases[] = {
      {R"({})", "command"},
      {R"({"command": "sleep 5"})", "command"},
      {R"({"command": []})", "command"},
      {R"({"command": [1]})", "command[0]"},
      {R"({"command": ["a\u0000b"]})", "command[0]"},
      {R"({"command": ["x"], "name": 7})", "name"},
      {R"({"command": ["x"], "name": "a\nb"})", "name"},
      {R"({"command": ["x"], "workdir": "job"})", "workdir"},
      {R"({"command": ["x"], "workdir": "/a/../etc"})", "workdir"},
      {R"({"command": ["x"], "files": [{"path": "a", "content": ""}]})", "files[0].path"},
      {R"({"command": ["x"], "files": [{"content": ""}]})", "files[0].path"},
      {R"({"command": ["x"], "files": [{"path": "/a"}]})", "files[0].content"},
      {R"({"command": ["x"], "files": [{"path": "/a", "content": "", "mode": "0999"}]})", "files[0].mode"},
      {R"({"command": ["x"], "files": [{"path": "/a", "content": "", "mode": 420}]})", "files[0].mode"},
      {R"({"command": ["x"], "files": {"path": "/a"}})", "files"},
      {R"({"command": ["x"], "env": {"1A": "b"}})", "env.1A"},
      {R"({"command": ["x"], "env": {"A": 1}})", "env.A"},
      {R"({"command": ["x"], "user": "no body"})", "user"},
      {R"({"command": ["x"], "pods": 0})", "pods"},
      {R"({"command": ["x"], "pods": 1025})", "pods"},
      {R"({"command": ["x"], "pods": "2"})", "pods"},
      {R"({"command": ["x"], "resources": {"cpus": "two"}})", "resources.cpus"},
      {R"({"command": ["x"], "resources": {"memory": "two"}})", "resources.memory"},
      {R"({"command": ["x"], "resources": {"memory": -1}})", "resources.memory"},
      {R"({"command": ["x"], "mounts": [{"source": "/a"}]})", "mounts[0].target"},
      {R"({"command": ["x"], "mounts": [{"source": "/a", "target": "/"}]})", "mounts[0].target"},
      {R"({"command": ["x"], "mounts": [{"source": "/a", "target": "/b", "mode": "rx"}]})", "mounts[0].mode"},
      {R"({"command": ["x"], "network": {"ports": [0]}})", "network.ports[0]"},
      {R"({"command": ["x"], "engine": "cri"})", "engine"},
      {R"({"command": ["x"], "checkpoint": {"interval": 600}})", "checkpoint.interval"},
      {R"({"command": ["x"], "checkpoint": {"interval": "10"}})", "checkpoint.interval"},
      {R"({"command": ["x"], "checkpoint": {"keep": 0}})", "checkpoint.keep"},
      {R"({"command": ["x"], "checkpoint": {"levels": ["moon"]}})", "checkpoint.levels[0]"},
      {R"({"command": ["x"], "recovery": {"max_attempts": -1}})", "recovery.max_attempts"},
      {R"({"command": ["x"], "recovery": {"restart_on": ["sig"]}})", "recovery.restart_on[0]"},
      {R"({"command": ["x"], "recovery": {"fence": "hope"}})", "recovery.fence"},
      {R"({"command": ["x"], "time_limit": "1ms"})", "time_limit"},
      {R"({"command": ["x"], "priority": 1.5})", "priority"},
  };
  for (const Case& each : cases) {
    const Error error = failure(each.json);
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << each.json;
    EXPECT_NE(error.message.find("'" + std::string(each.place) + "'"), std::string::npos)
        << each.json << " gave: " << error.message;
  }
}

TEST(Asr, AsManyPodsAsNodesWhereNobodySaysHowMany) {
  const auto parsed = parse(R"({"command": ["x"], "nodes": {"count": 3}})");
  ASSERT_TRUE(parsed.ok()) << parsed.error().to_string();
  EXPECT_EQ(parsed->pods, 3);
  EXPECT_EQ(parsed->node_count, 3);
  const Error error = failure(R"({"command": ["x"], "pods": 2, "nodes": {"count": 3}})");
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_NE(error.message.find("'nodes.count'"), std::string::npos) << error.message;
}

TEST(Asr, WhatIsNotBuiltYetIsRefusedNotIgnored) {
  const std::string_view cases[] = {
      R"({"command": ["x"], "engine": "dmtcp"})",
      R"({"command": ["x"], "base": "debian"})",
      R"({"command": ["x"], "provision": ["apt-get install -y lammps"]})",
      R"({"command": ["x"], "checkpoint": {"levels": ["local", "peer"]}})",
      R"({"command": ["x"], "checkpoint": {"levels": ["remote"]}})",
      R"({"command": ["x"], "network": {"ports": [80]}})",
      R"({"command": ["x"], "resources": {"disk": "10GiB"}})",
      R"({"command": ["x"], "health": {"command": ["/job/healthy.sh"]}})",
      R"({"command": ["x"], "priority": 3})",
      R"({"command": ["x"], "mounts": [{"source": "/a", "target": "/b", "rollback": true}]})",
      R"({"command": ["x"], "secrets": [{"name": "L", "env": "L"}]})",
      R"({"command": ["x"], "env": {"TOKEN": {"value": "hunter2", "secret": true}}})",
  };
  for (const std::string_view each : cases) {
    const Error error = failure(each);
    EXPECT_EQ(error.code, ErrorCode::kUnsupported) << each;
    EXPECT_FALSE(error.hint.empty()) << each;
    EXPECT_EQ(error.to_string().find("hunter2"), std::string::npos);
  }
}

TEST(Asr, BoundsHold) {
  JsonObject many{{"command", JsonArray(4097, Json("x"))}};
  EXPECT_FALSE(parse_asr(many).ok());

  JsonArray files;
  for (int i = 0; i < 9; ++i) {
    files.push_back(
        JsonObject{{"path", "/f" + std::to_string(i)}, {"content", std::string(std::size_t{1} << 20U, 'x')}});
  }
  auto heavy = parse_asr(JsonObject{{"command", JsonArray{"x"}}, {"files", files}});
  ASSERT_FALSE(heavy.ok());
  EXPECT_EQ(heavy.error().code, ErrorCode::kTooLarge);

  files.erase(files.begin());
  EXPECT_TRUE(parse_asr(JsonObject{{"command", JsonArray{"x"}}, {"files", files}}).ok());

  JsonObject options;
  for (int i = 0; i < 1100; ++i) options["k" + std::to_string(i)] = std::string(1000, 'x');
  auto fat = parse_asr(JsonObject{{"command", JsonArray{"x"}}, {"engine_options", options}});
  ASSERT_FALSE(fat.ok());
  EXPECT_EQ(fat.error().code, ErrorCode::kTooLarge);

  EXPECT_FALSE(parse_asr(JsonObject{{"command", JsonArray{"x"}}, {"name", std::string(254, 'n')}}).ok());
}

}  // namespace
}  // namespace cacs::application
