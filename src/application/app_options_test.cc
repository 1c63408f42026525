#include "application/app_options.h"

#include <gtest/gtest.h>

#include <string>

#include "application/pod_request.h"

namespace cacs::application {
namespace {

Result<Asr> parse(const std::string& options, const std::string& more = "") {
  const auto body = parse_json_object(
      R"({"command": ["lmp"], "engine": "app", "pods": 2)" + more + R"(, "engine_options": )" + options + "}", "test");
  EXPECT_TRUE(body.ok()) << options;
  return parse_asr(*body);
}

AppOptions options_of(const Asr& asr) {
  ParseFailure failure;
  AppOptions options = read_app_options(asr, failure);
  EXPECT_FALSE(failure.error);
  return options;
}

TEST(AppOptions, ReadsEveryWayOfAsking) {
  const auto command = parse(R"({"command": ["save", "now"], "in": "pod-1", "timeout": "90s",
    "files": ["/job/restart.*", "/data"], "restart_command": ["lmp", "-in", "again"]})");
  ASSERT_TRUE(command.ok()) << command.error().to_string();
  AppOptions options = options_of(*command);
  EXPECT_EQ(options.command, (std::vector<std::string>{"save", "now"}));
  EXPECT_EQ(options.in, "pod-1");
  EXPECT_EQ(options.timeout, std::chrono::seconds(90));
  EXPECT_EQ(options.files, (std::vector<std::string>{"/job/restart.*", "/data"}));
  EXPECT_EQ(options.restart_command.size(), 3U);

  const auto signal = parse(R"({"signal": "SIGUSR1", "done": "/job/saved", "files": ["/job/state"]})");
  ASSERT_TRUE(signal.ok()) << signal.error().to_string();
  options = options_of(*signal);
  EXPECT_EQ(options.signal, "USR1");
  EXPECT_EQ(options.in, "pod-0") << "the main process is there";
  EXPECT_EQ(options.timeout, std::chrono::seconds(60));

  const auto file = parse(R"({"file": "/job/save", "files": ["/job/state"]})");
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  EXPECT_EQ(options_of(*file).file, "/job/save");
  EXPECT_TRUE(options_of(*file).done.empty());
}

TEST(AppOptions, WhatIsWrongIsNamed) {
  struct Case {
    const char* options;
    const char* place;
  };
  const Case cases[] = {
      {R"({"files": ["/a"]})", "engine_options.command"},
      {R"({"command": ["x"], "file": "/f", "files": ["/a"]})", "engine_options.command"},
      {R"({"signal": "USR1", "file": "/f", "done": "/d", "files": ["/a"]})", "engine_options.file"},
      {R"({"command": [], "files": ["/a"]})", "engine_options.command"},
      {R"({"command": [""], "files": ["/a"]})", "engine_options.command"},
      {R"({"command": "x", "files": ["/a"]})", "engine_options.command"},
      {R"({"command": ["x"], "done": "/d", "files": ["/a"]})", "engine_options.done"},
      {R"({"signal": "USR1", "files": ["/a"]})", "engine_options.done"},
      {R"({"signal": "KILL", "done": "/d", "files": ["/a"]})", "engine_options.signal"},
      {R"({"signal": 10, "done": "/d", "files": ["/a"]})", "engine_options.signal"},
      {R"({"signal": "USR1", "in": "pod-1", "done": "/d", "files": ["/a"]})", "engine_options.in"},
      {R"({"file": "relative", "files": ["/a"]})", "engine_options.file"},
      {R"({"file": "/a/../f", "files": ["/a"]})", "engine_options.file"},
      {R"({"file": "/directory/", "files": ["/a"]})", "engine_options.file"},
      {R"({"file": "/proc/1/x", "files": ["/a"]})", "engine_options.file"},
      {R"({"file": "/f", "done": "/f", "files": ["/a"]})", "engine_options.done"},
      {R"({"command": ["x"], "in": "pod-2", "files": ["/a"]})", "engine_options.in"},
      {R"({"command": ["x"], "in": "pod-01", "files": ["/a"]})", "engine_options.in"},
      {R"({"command": ["x"], "in": "0", "files": ["/a"]})", "engine_options.in"},
      {R"({"command": ["x"], "timeout": "10ms", "files": ["/a"]})", "engine_options.timeout"},
      {R"({"command": ["x"], "timeout": "2h", "files": ["/a"]})", "engine_options.timeout"},
      {R"({"command": ["x"]})", "engine_options.files"},
      {R"({"command": ["x"], "files": []})", "engine_options.files"},
      {R"({"command": ["x"], "files": ["a"]})", "engine_options.files[0]"},
      {R"({"command": ["x"], "files": ["/a", "/"]})", "engine_options.files[1]"},
      {R"({"command": ["x"], "files": ["/a/../../b"]})", "engine_options.files[0]"},
      {R"({"command": ["x"], "files": ["/dev/shm/state"]})", "engine_options.files[0]"},
      {R"({"command": ["x"], "files": ["/.cacs/exit"]})", "engine_options.files[0]"},
      {R"({"command": ["x"], "files": ["/scratch/run/*.dat"]})", "engine_options.files[0]"},
      {R"({"command": ["x"], "files": ["/a"], "restart_command": []})", "engine_options.restart_command"},
  };
  for (const Case& each : cases) {
    const auto asr = parse(each.options, R"(, "mounts": [{"source": "/s", "target": "/scratch"}])");
    ASSERT_FALSE(asr.ok()) << each.options;
    EXPECT_EQ(asr.error().code, ErrorCode::kInvalidArgument) << each.options;
    EXPECT_NE(asr.error().message.find("'" + std::string(each.place) + "'"), std::string::npos)
        << each.options << " gave: " << asr.error().message;
  }
  const auto unknown = parse(R"({"comand": ["x"], "files": ["/a"]})");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().hint.find("'command'"), std::string::npos) << unknown.error().hint;
  const auto signal = parse(R"({"signal": "USR3", "done": "/d", "files": ["/a"]})");
  ASSERT_FALSE(signal.ok());
  EXPECT_NE(signal.error().hint.find("'USR"), std::string::npos) << signal.error().hint;
  EXPECT_FALSE(parse_asr(parse_json_object(R"({"command": ["x"], "engine": "app"})", "test").value()).ok());
}

TEST(AppOptions, BoundsHold) {
  JsonObject options{{"command", JsonArray{"x"}}, {"files", JsonArray(257, Json("/a"))}};
  const JsonObject body{{"command", JsonArray{"x"}}, {"engine", "app"}, {"engine_options", options}};
  EXPECT_FALSE(parse_asr(body).ok());
  options["files"] = JsonArray{"/" + std::string(4096, 'a')};
  EXPECT_FALSE(parse_asr({{"command", JsonArray{"x"}}, {"engine", "app"}, {"engine_options", options}}).ok());
  options["files"] = JsonArray(256, Json("/a"));
  EXPECT_TRUE(parse_asr({{"command", JsonArray{"x"}}, {"engine", "app"}, {"engine_options", options}}).ok());
}

TEST(AppOptions, ReachTheNodePlain) {
  ActionContext context;
  const auto asr = parse(R"({"signal": "SIGUSR1", "done": "/job/saved", "timeout": "5s", "files": ["/job/state"]})");
  ASSERT_TRUE(asr.ok()) << asr.error().to_string();
  context.asr = std::make_shared<const Asr>(*asr);
  Action action;
  action.incarnation = 1;
  const JsonObject request = pod_request(context, action, nullptr, {});
  const JsonObject expected{
      {"in", "pod-0"},    {"timeout_ms", 5000},  {"files", JsonArray{"/job/state"}}, {"restart_command", JsonArray{}},
      {"signal", "USR1"}, {"done", "/job/saved"}};
  EXPECT_EQ(request.at("engine_options").as_object(), expected);
}

}  // namespace
}  // namespace cacs::application
