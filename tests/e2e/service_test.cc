// What users and operators do, and what goes wrong: over REST, with the real server, agent, engine and programs.

#include "e2e/service.h"

#include <fcntl.h>
#include <signal.h>

#include "base/io.h"
#include "base/text.h"
#include "base/uuid.h"

namespace cacs::e2e {
namespace {

using ServiceTestCase = ServiceTest;

JsonArray ticking(int count) {
  return {"sh", "-c",
          "i=0; while [ $i -lt " + std::to_string(count) + " ]; do echo tick $i; i=$((i+1)); sleep 0.05; done"};
}

TEST_F(ServiceTestCase, RunsToItsEndAndKeepsTheExitStatus) {
  const std::string good = submit({{"command", JsonArray{"sh", "-c", "echo hello; exit 0"}}, {"name", "good"}});
  wait_state(good, "COMPLETED");
  EXPECT_EQ(output(good), "hello\n");
  const std::string bad = submit({{"command", JsonArray{"sh", "-c", "exit 7"}}});
  wait_state(bad, "ERROR");
  const JsonObject view = application(bad);
  EXPECT_EQ(json_int_or(*json_find_object(view, "exit"), "code", -1), 7);
}

TEST_F(ServiceTestCase, BadRequestsAreNamed) {
  auto mistyped = request("POST", "/coordinators", R"({"comand": ["true"]})");
  ASSERT_TRUE(mistyped.ok());
  EXPECT_EQ(mistyped->status, 400);
  EXPECT_NE(mistyped->body.find("comand"), std::string::npos);
  EXPECT_NE(mistyped->body.find("command"), std::string::npos);
  auto unknown = request("GET", "/coordinators/" + new_uuid());
  ASSERT_TRUE(unknown.ok());
  EXPECT_EQ(unknown->status, 404);
  const std::string missing = submit({{"command", JsonArray{"no-such-program-here"}}});
  wait_state(missing, "ERROR");
  EXPECT_NE(json_string_or(application(missing), "reason", "").find("no-such-program-here"), std::string::npos);
  const std::string nowhere = submit({{"command", JsonArray{"true"}}, {"workdir", "/no/such/dir"}});
  wait_state(nowhere, "ERROR");
  EXPECT_NE(json_string_or(application(nowhere), "reason", "").find("/no/such/dir"), std::string::npos)
      << json_string_or(application(nowhere), "reason", "");
}

TEST_F(ServiceTestCase, RestartsFromANamedCheckpointWithFilesAsTheyWere) {
  const std::string id = submit({{"command", ticking(100000)}});
  ASSERT_TRUE(wait_output(id, "tick 10\n"));
  const std::string first = checkpoint(id);
  ASSERT_TRUE(wait_output(id, "tick 40\n"));
  const std::string second = checkpoint(id);
  ASSERT_TRUE(wait_output(id, "tick 60\n"));
  must("POST", "/coordinators/" + id + "/checkpoints/" + first);
  ASSERT_TRUE(
      wait_until([&] { return json_int_or(application(id), "incarnation", 0) == 2 && state_of(id) == "RUNNING"; }));
  EXPECT_LT(split(output(id), '\n').size(), 50U);
  ASSERT_TRUE(wait_output(id, "tick 70\n"));
  int expected = 0;
  std::string text = output(id);
  text.resize(text.rfind('\n'));
  for (const auto& line : split(text, '\n')) EXPECT_EQ(line, "tick " + std::to_string(expected++));
  // The later checkpoint is as good as before.
  must("POST", "/coordinators/" + id + "/checkpoints/" + second);
  ASSERT_TRUE(
      wait_until([&] { return json_int_or(application(id), "incarnation", 0) == 3 && state_of(id) == "RUNNING"; }));
}

// The hardest file to tell has changed: one page, stored to through a mapping, again and again.
TEST_F(ServiceTestCase, APageWrittenThroughMmapComesBackFromEachOfTwentyCheckpoints) {
  const std::string script =
      "import mmap, os, struct, sys, time\n"
      "fd = os.open('/page', os.O_RDWR | os.O_CREAT)\n"
      "os.ftruncate(fd, 4096)\n"
      "page = mmap.mmap(fd, 4096)\n"
      "n = 0\n"
      "while True:\n"
      "    if struct.unpack('<Q', os.pread(fd, 8, 0))[0] != n or struct.unpack_from('<Q', page)[0] != n: sys.exit(3)\n"
      "    n += 1\n"
      "    struct.pack_into('<Q', page, 0, n)\n"
      "    print(n, flush=True)\n"
      "    time.sleep(0.005)\n";
  constexpr int kCheckpoints = 20;
  const std::string id =
      submit({{"command", JsonArray{"python3", "-c", script}}, {"checkpoint", {{"keep", kCheckpoints}}}});
  std::vector<std::string> taken;
  for (int i = 1; i <= kCheckpoints; ++i) {
    ASSERT_TRUE(wait_output(id, "\n" + std::to_string(10 * i) + "\n")) << output(id, "stderr");
    taken.push_back(checkpoint(id));
  }
  int incarnation = 1;
  for (auto saved = taken.rbegin(); saved != taken.rend(); ++saved) {
    must("POST", "/coordinators/" + id + "/checkpoints/" + *saved);
    ++incarnation;
    ASSERT_TRUE(wait_until([&] {
      return json_int_or(application(id), "incarnation", 0) == incarnation && state_of(id) == "RUNNING";
    })) << *saved;
    // It has looked at the page many times since.
    const std::size_t lines = split(output(id), '\n').size();
    ASSERT_TRUE(wait_until([&] { return split(output(id), '\n').size() > lines + 20 || state_of(id) != "RUNNING"; }));
    ASSERT_EQ(state_of(id), "RUNNING") << "the page was not the one of checkpoint " << *saved;
    std::string text = output(id);
    text.resize(text.rfind('\n'));
    int expected = 1;
    for (const auto& line : split(text, '\n')) ASSERT_EQ(line, std::to_string(expected++));
  }
}

TEST_F(ServiceTestCase, SurvivesTheDeathOfTheServerAndOfTheAgent) {
  const std::string id = submit({{"command", JsonArray{program("worker"), "200", "/work", "20"}}});
  ASSERT_TRUE(wait_output(id, "round 20 "));
  checkpoint(id);
  kill_server();
  start_server();
  ASSERT_TRUE(wait_output(id, "round 60 "));
  const auto text = read_text_file(dir_ / "state/nodes/local-0/agent.pid").value();
  const auto agent = parse_json_object(text, "agent.pid").value();
  ASSERT_EQ(::kill(static_cast<pid_t>(json_int(agent, "pid").value()), SIGKILL), 0);
  ASSERT_TRUE(wait_output(id, "round 110 "));
  checkpoint(id);
  wait_state(id, "COMPLETED");
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1) << "it should never have been restarted";
}

TEST_F(ServiceTestCase, PeriodicCheckpointsAreTakenAndOldOnesGo) {
  const std::string id =
      submit({{"command", ticking(100000)}, {"checkpoint", JsonObject{{"interval", "1s"}, {"keep", 2}}}});
  std::set<std::string> seen;
  ASSERT_TRUE(wait_until([&] {
    for (const auto& one : checkpoints(id)) {
      if (json_string_or(one, "state", "") == "AVAILABLE") seen.insert(json_string_or(one, "id", ""));
    }
    return seen.size() >= 5;
  }));
  ASSERT_TRUE(wait_until([&] {
    std::size_t available = 0;
    for (const auto& one : checkpoints(id)) available += json_string_or(one, "state", "") == "AVAILABLE" ? 1U : 0U;
    return available <= 3;
  }));
}

TEST_F(ServiceTestCase, TheApplicationAsksForACheckpointItself) {
  const std::string id = submit({{"command", JsonArray{program("asks")}}});
  ASSERT_TRUE(wait_output(id, "resumed ")) << output(id);
  const auto all = checkpoints(id);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(json_string_or(all[0], "reason", ""), "application");
  const std::string checkpoint_id = json_string_or(all[0], "id", "");
  EXPECT_NE(output(id).find("resumed " + checkpoint_id), std::string::npos) << output(id);
  EXPECT_EQ(kill_program(id, "asks"), 1);
  wait_state(id, "COMPLETED");
  EXPECT_NE(output(id).find("restored " + checkpoint_id + " incarnation 2"), std::string::npos) << output(id);
  EXPECT_EQ(output(id).find("resumed"), std::string::npos) << "output was not rolled back";
}

TEST_F(ServiceTestCase, ExplainNamesWhatCannotBeSaved) {
  const std::string id = submit({{"command", JsonArray{program("uring")}}});
  ASSERT_TRUE(wait_output(id, "ready"));
  const JsonObject explained = must("GET", "/coordinators/" + id + "/explain");
  EXPECT_FALSE(json_bool_or(explained, "savable", true));
  EXPECT_NE(boost::json::serialize(explained).find("io_uring"), std::string::npos);
  const JsonObject failed = try_checkpoint(id);
  EXPECT_EQ(json_string_or(failed, "state", ""), "FAILED");
  EXPECT_EQ(state_of(id), "RUNNING") << "a checkpoint that fails must not harm the program";
  EXPECT_EQ(processes_of(id, "uring").size(), 1U);
}

TEST_F(ServiceTestCase, AFlippedBitIsFoundAndAnOlderCheckpointServes) {
  const std::string id = submit({{"command", ticking(100000)}});
  ASSERT_TRUE(wait_output(id, "tick 10\n"));
  const std::string first = checkpoint(id);
  ASSERT_TRUE(wait_output(id, "tick 30\n"));
  // Packs that the second one alone uses are the new ones.
  const auto packs_of = [&] {
    std::set<std::filesystem::path> packs;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_ / "state/nodes/local-0/repository")) {
      if (entry.is_regular_file() && entry.file_size() > 4096) packs.insert(entry.path());
    }
    return packs;
  };
  const auto before = packs_of();
  const std::string second = checkpoint(id);
  std::filesystem::path pack;
  for (const auto& candidate : packs_of()) {
    if (before.count(candidate) == 0) pack = candidate;
  }
  ASSERT_FALSE(pack.empty());
  {
    const UniqueFd fd(::open(pack.c_str(), O_RDWR | O_CLOEXEC));
    const auto middle = static_cast<off_t>(std::filesystem::file_size(pack) / 2);
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, middle), 1);
    byte = static_cast<char>(byte ^ 4);
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, middle), 1);
  }
  EXPECT_GT(kill_program(id, "sh"), 0);
  // The newest is damaged: recovery takes the older one by itself.
  ASSERT_TRUE(wait_until([&] {
    const JsonObject view = application(id);
    return json_string_or(view, "state", "") == "RUNNING" && json_string_or(view, "restored_from", "") == first;
  })) << boost::json::serialize(application(id));
}

TEST_F(ServiceTestCase, APodDoesNotSeeTheServersState) {
  const std::string state = (dir_ / "state").string();
  const std::string script = "ls -A " + state + "; cat " + state + "/cacs.db; sleep 1000";
  const std::string id = submit({{"command", JsonArray{"sh", "-c", script}}});
  ASSERT_TRUE(wait_until([&] { return output(id, "stderr").find("cacs.db") != std::string::npos; }));
  EXPECT_EQ(output(id), "");
  checkpoint(id);
  EXPECT_GT(kill_program(id, "sh"), 0);
  ASSERT_TRUE(
      wait_until([&] { return json_int_or(application(id), "incarnation", 0) == 2 && state_of(id) == "RUNNING"; }));
  const std::string command = boost::json::serialize(JsonObject{{"command", JsonArray{"ls", "-A", state}}});
  EXPECT_EQ(json_string_or(must("POST", "/coordinators/" + id + "/exec", command), "stdout", "?"), "");
}

TEST_F(ServiceTestCase, TheSameKeyStartsNothingTwice) {
  net::Headers headers;
  headers.add("Idempotency-Key", "once");
  const std::string body = R"({"command": ["sleep", "1000"]})";
  auto one = request("POST", "/coordinators", body, headers);
  auto two = request("POST", "/coordinators", body, headers);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(json_string_or(parse_json_object(one->body, "x").value(), "id", "1"),
            json_string_or(parse_json_object(two->body, "x").value(), "id", "2"));
  auto other = request("POST", "/coordinators", R"({"command": ["sleep", "2000"]})", headers);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->status, 409);
}

TEST_F(ServiceTestCase, LimitsHoldBeforeAndAfterARestore) {
  const std::string id =
      submit({{"command", ticking(100000)}, {"resources", JsonObject{{"cpus", 0.5}, {"memory", "256MiB"}}}});
  ASSERT_TRUE(wait_output(id, "tick 5\n"));
  const auto limit_of = [&] {
    for (const pid_t pid : processes_of(id, "sh")) {
      auto cgroup = read_text_file("/proc/" + std::to_string(pid) + "/cgroup").value();
      for (const auto& line : split(cgroup, '\n')) {
        const auto fields = split(line, ':');
        if (fields.size() < 3 || fields[1].find("memory") == std::string::npos) continue;
        auto value = read_text_file("/sys/fs/cgroup/memory" + fields[2] + "/memory.limit_in_bytes");
        if (value) return std::string(trim(*value));
      }
      const auto v2 = cgroup.find("0::");
      if (v2 != std::string::npos) {
        auto value = read_text_file("/sys/fs/cgroup" + std::string(trim(cgroup.substr(v2 + 3))) + "/memory.max");
        if (value) return std::string(trim(*value));
      }
    }
    return std::string("none");
  };
  EXPECT_EQ(limit_of(), std::to_string(256U << 20U));
  checkpoint(id);
  EXPECT_GT(kill_program(id, "sh"), 0);
  ASSERT_TRUE(
      wait_until([&] { return json_int_or(application(id), "incarnation", 0) == 2 && state_of(id) == "RUNNING"; }));
  EXPECT_EQ(limit_of(), std::to_string(256U << 20U));
}

}  // namespace
}  // namespace cacs::e2e
