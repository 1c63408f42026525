#include "pod/self_saving.h"

#include <gtest/gtest.h>

#include <csignal>

#include "pod/spec.h"

namespace cacs::pod {
namespace {

JsonObject good() {
  return {
      {"signal", "USR1"}, {"done", "/saved"}, {"in", "pod-0"}, {"timeout_ms", 5000}, {"files", JsonArray{"/job/*"}}};
}

JsonObject with(const char* field, Json value) {
  JsonObject object = good();
  object[field] = std::move(value);
  return object;
}

JsonObject spec_json(const JsonObject& options) {
  return {{"application", "0191b2a0-0000-7000-8000-000000000000"},
          {"pod", "pod-0"},
          {"incarnation", 2},
          {"command", JsonArray{"first"}},
          {"engine", "app"},
          {"engine_options", options}};
}

TEST(SelfSaving, SurvivesItsJson) {
  auto saving = parse_self_saving(good());
  ASSERT_TRUE(saving.ok()) << saving.error().to_string();
  EXPECT_EQ(saving->signal, "USR1");
  EXPECT_EQ(saving->timeout, std::chrono::seconds(5));
  EXPECT_TRUE(saving->asks("pod-0"));
  EXPECT_FALSE(saving->asks("pod-1"));
  const JsonObject json = self_saving_to_json(*saving);
  const auto again = parse_self_saving(json);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(self_saving_to_json(*again), json);
}

TEST(SelfSaving, TheAgentChecksAgain) {
  const JsonObject cases[] = {
      with("file", "/also"),
      with("signal", "KILL"),
      with("signal", ""),
      with("done", ""),
      with("done", "saved"),
      with("done", "/a/../saved"),
      with("timeout_ms", 0),
      with("timeout_ms", 3'600'001),
      with("files", JsonArray{}),
      with("files", JsonArray{"job"}),
      with("files", JsonArray{"/a/../../etc/shadow"}),
      with("files", JsonArray{7}),
      with("files", JsonArray(257, Json("/a"))),
      with("restart_command", JsonArray{Json(std::string("a\0b", 3))}),
  };
  for (const JsonObject& each : cases) EXPECT_FALSE(parse_self_saving(each).ok()) << boost::json::serialize(each);
}

TEST(SelfSaving, KnowsSignals) {
  EXPECT_EQ(signal_number("USR1"), SIGUSR1);
  EXPECT_EQ(signal_number("TERM"), SIGTERM);
  for (const char* name : {"KILL", "STOP", "", "SIGUSR1", "10"}) EXPECT_EQ(signal_number(name), 0) << name;
}

TEST(SelfSaving, TheRestartCommandRunsOnlyAtARestart) {
  using Words = std::vector<std::string>;
  auto spec = parse_pod_spec(spec_json(with("restart_command", JsonArray{"again"})));
  ASSERT_TRUE(spec.ok()) << spec.error().to_string();
  EXPECT_FALSE(spec->restarts());
  EXPECT_EQ(spec->command_to_run(), Words{"first"});
  spec->restore_checkpoint = "0191b2a0-0000-7000-8000-000000000001";
  EXPECT_TRUE(spec->restarts());
  EXPECT_EQ(spec->command_to_run(), Words{"again"});
  spec->command.clear();  // a pod in which others launch
  EXPECT_EQ(spec->command_to_run(), Words{});
  spec->command = {"first"};
  spec->self_saving->restart_command.clear();
  EXPECT_EQ(spec->command_to_run(), Words{"first"});
  const auto kept = parse_pod_spec(pod_spec_to_json(*spec));
  ASSERT_TRUE(kept.ok() && kept->self_saving) << "the shim reads it from there";
  EXPECT_EQ(kept->self_saving->files, Words{"/job/*"});

  JsonObject without = spec_json(good());
  without.erase("engine_options");
  EXPECT_FALSE(parse_pod_spec(without).ok());
}

}  // namespace
}  // namespace cacs::pod
