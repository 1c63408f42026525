// Damaged checkpoints, the order in which things become durable, and what cannot be saved.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <set>
#include <vector>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "e2e/outside.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

class FaultsTest : public ServiceTest {
 protected:
  /// The end of an operation.
  JsonObject wait_operation(const std::string& operation) {
    JsonObject last;
    EXPECT_TRUE(wait_until([&] {
      last = must("GET", "/operations/" + operation);
      return json_string_or(last, "state", "") != "RUNNING";
    })) << boost::json::serialize(last);
    return last;
  }

  JsonObject restart(const std::string& id, const std::string& checkpoint) {
    return wait_operation(json_string_or(must("POST", "/coordinators/" + id + "/checkpoints/" + checkpoint), "id", ""));
  }

  std::set<std::filesystem::path> packs() {
    std::set<std::filesystem::path> all;
    for (const auto& entry : std::filesystem::directory_iterator(dir_ / "state/nodes/local-0/repository/packs")) {
      all.insert(entry.path());
    }
    return all;
  }

  /// Flips a bit in the middle of the one pack that is not among `before`. What fills more than half of it is hit:
  /// everything in it is sealed, and its place cannot be looked for.
  void damage_new_pack(const std::set<std::filesystem::path>& before, std::uintmax_t more_than_half) {
    std::vector<std::filesystem::path> made;
    std::ranges::set_difference(packs(), before, std::back_inserter(made));
    ASSERT_EQ(made.size(), 1U);
    const auto size = std::filesystem::file_size(made.front());
    ASSERT_GT(more_than_half, size / 2) << "something else may be in the middle";
    const UniqueFd fd(::open(made.front().c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, static_cast<off_t>(size / 2)), 1);
    byte = static_cast<char>(byte ^ 4);
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(size / 2)), 1);
  }

  std::string exec_out(const std::string& id, const JsonArray& command) {
    return json_string_or(
        must("POST", "/coordinators/" + id + "/exec", boost::json::serialize(JsonObject{{"command", command}})),
        "stdout", "?");
  }

  std::vector<std::string> events_of(const std::string& id, const std::string& kind) {
    std::vector<std::string> messages;
    const JsonObject view = application(id);
    const JsonArray* events = json_find_array(view, "events");
    if (events == nullptr) return messages;
    for (const auto& event : *events) {
      if (json_string_or(event.as_object(), "kind", "") == kind) {
        messages.push_back(json_string_or(event.as_object(), "message", ""));
      }
    }
    return messages;
  }
};

/// Of a file that does not shrink.
constexpr std::uintmax_t kFileBytes = 8'000'000;

/// Ticks, and makes a file of random bytes when the file /job/go is there.
JsonArray ticking_with_file() {
  return {"sh", "-c",
          "mkdir -p /job; i=0; while :; do echo tick $i; if [ -e /job/go ]; then head -c 8000000 /dev/urandom > "
          "/job/data.bin; rm /job/go; echo made; fi; i=$((i+1)); sleep 0.05; done"};
}

TEST_F(FaultsTest, ARestartFromADamagedCheckpointIsRefusedAndNothingIsTornDown) {
  const std::string id = submit({{"command", ticking_with_file()}});
  ASSERT_TRUE(wait_output(id, "tick 5\n"));
  const std::string first = checkpoint(id);
  const auto before_second = packs();
  exec_out(id, {"touch", "/job/go"});
  ASSERT_TRUE(wait_output(id, "made\n"));
  const std::string second = checkpoint(id);
  const std::string sum = exec_out(id, {"sha256sum", "/job/data.bin"});
  ASSERT_NO_FATAL_FAILURE(damage_new_pack(before_second, kFileBytes));
  const auto before = processes_of(id, "sh");
  ASSERT_EQ(before.size(), 1U);

  const JsonObject refused = restart(id, second);
  EXPECT_EQ(json_string_or(refused, "state", ""), "FAILED") << boost::json::serialize(refused);
  const JsonObject* problem = json_find_object(refused, "problem");
  ASSERT_NE(problem, nullptr) << boost::json::serialize(refused);
  const std::string detail = json_string_or(*problem, "detail", "");
  EXPECT_NE(detail.find(second), std::string::npos) << detail;
  EXPECT_NE(detail.find("/job/data.bin"), std::string::npos) << detail;
  EXPECT_NE(json_string_or(*problem, "hint", "").find(first), std::string::npos) << boost::json::serialize(*problem);
  EXPECT_NE(json_string_or(*problem, "type", "").find("corrupt"), std::string::npos);
  // What ran runs on, and was never stopped.
  EXPECT_EQ(processes_of(id, "sh"), before);
  EXPECT_EQ(state_of(id), "RUNNING");
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1);
  EXPECT_FALSE(events_of(id, "application.restart").empty());
  const auto lines = split(output(id), '\n').size();
  EXPECT_TRUE(wait_until([&] { return split(output(id), '\n').size() > lines + 5; }));

  // The next one has the same file, and shares no damage with the one before.
  const std::string third = checkpoint(id);
  EXPECT_EQ(json_string_or(restart(id, third), "state", ""), "SUCCEEDED");
  EXPECT_EQ(exec_out(id, {"sha256sum", "/job/data.bin"}), sum);
  // And what is offered holds.
  EXPECT_EQ(json_string_or(restart(id, first), "state", ""), "SUCCEEDED");
  EXPECT_EQ(json_string_or(application(id), "restored_from", ""), first);
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 3);
}

TEST_F(FaultsTest, RecoveryGoesToTheNextOlderCheckpointByItselfAndSaysSo) {
  const std::string id = submit({{"command", ticking_with_file()}});
  ASSERT_TRUE(wait_output(id, "tick 5\n"));
  const std::string first = checkpoint(id);
  const auto before_second = packs();
  exec_out(id, {"touch", "/job/go"});
  ASSERT_TRUE(wait_output(id, "made\n"));
  const std::string second = checkpoint(id);
  ASSERT_NO_FATAL_FAILURE(damage_new_pack(before_second, kFileBytes));
  EXPECT_GT(kill_program(id, "sh"), 0);
  ASSERT_TRUE(wait_until([&] {
    const JsonObject view = application(id);
    return json_string_or(view, "state", "") == "RUNNING" && json_string_or(view, "restored_from", "") == first;
  })) << boost::json::serialize(application(id));
  const auto told = events_of(id, "application.recovery");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find(second), std::string::npos) << told[0];
  EXPECT_NE(told[0].find("/job/data.bin"), std::string::npos) << told[0];
  ASSERT_TRUE(wait_output(id, "tick 30\n"));
  EXPECT_EQ(output(id).find("made"), std::string::npos);
  checkpoint(id);
}

TEST_F(FaultsTest, ExplainNamesAConnectionToTheOutsideWhileTheProgramRunsOn) {
  const OutsideAddress outside;
  const OutsideServer server;
  const std::string peer = server.name();
  const std::string script =
      "import socket, time\n"
      "host, port = '" +
      peer +
      "'.split(':')\n"
      "s = socket.create_connection((host, int(port)))\n"
      "for i in range(10000):\n"
      "    print('tick', i, flush=True)\n"
      "    time.sleep(0.05)\n";
  const std::string id = submit({{"command", JsonArray{"python3", "-c", script}},
                                 {"network", JsonObject{{"egress", true}}},
                                 {"checkpoint", JsonObject{{"interval", "2s"}}}});
  ASSERT_TRUE(wait_output(id, "tick 0\n")) << output(id, "stderr");
  const JsonObject explained = must("GET", "/coordinators/" + id + "/explain");
  EXPECT_FALSE(json_bool_or(explained, "savable", true)) << boost::json::serialize(explained);
  const std::string text = boost::json::serialize(explained);
  EXPECT_NE(text.find("outside-connection"), std::string::npos) << text;
  EXPECT_NE(text.find("python3"), std::string::npos) << text;
  EXPECT_NE(text.find(peer), std::string::npos) << text;
  // The periodic checkpoint fails for that reason, within its interval, and does no harm.
  ASSERT_TRUE(wait_until([&] {
    const auto all = checkpoints(id);
    return !all.empty() && json_string_or(all.front(), "state", "") == "FAILED";
  }));
  const std::string failed = boost::json::serialize(checkpoints(id).front());
  EXPECT_NE(failed.find("a connection to the outside"), std::string::npos) << failed;
  EXPECT_NE(failed.find(peer), std::string::npos) << failed;
  ASSERT_TRUE(wait_output(id, "tick 80\n"));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1);
}

TEST_F(FaultsTest, ExplainNamesADeviceWhileTheProgramRunsOn) {
  // The control of loop devices: every machine has it and no engine saves it. It comes in by a mount, as devices do.
  const auto devices = dir_ / "devices";
  ASSERT_TRUE(make_directories(devices, 0755).ok());
  ASSERT_EQ(::mknod((devices / "loop-control").c_str(), S_IFCHR | 0600, makedev(10, 237)), 0);
  const std::string script =
      "import os, time\n"
      "f = os.open('/devices/loop-control', os.O_RDWR)\n"
      "for i in range(10000):\n"
      "    print('tick', i, flush=True)\n"
      "    time.sleep(0.05)\n";
  const std::string id = submit(
      {{"command", JsonArray{"python3", "-c", script}},
       {"mounts", JsonArray{JsonObject{{"source", devices.string()}, {"target", "/devices"}, {"rollback", false}}}},
       {"checkpoint", JsonObject{{"interval", "2s"}}}});
  ASSERT_TRUE(wait_output(id, "tick 0\n")) << output(id, "stderr");
  const JsonObject explained = must("GET", "/coordinators/" + id + "/explain");
  const std::string text = boost::json::serialize(explained);
  EXPECT_FALSE(json_bool_or(explained, "savable", true)) << text;
  EXPECT_NE(text.find("\"device\""), std::string::npos) << text;
  EXPECT_NE(text.find("loop-control"), std::string::npos) << text;
  EXPECT_NE(text.find("python3"), std::string::npos) << text;
  ASSERT_TRUE(wait_until([&] {
    const auto all = checkpoints(id);
    return !all.empty() && json_string_or(all.front(), "state", "") == "FAILED";
  })) << boost::json::serialize(must("GET", "/coordinators/" + id + "/checkpoints"));
  const std::string failed = boost::json::serialize(checkpoints(id).front());
  EXPECT_NE(failed.find("device that cannot be saved"), std::string::npos) << failed;
  EXPECT_NE(failed.find("10:237"), std::string::npos) << failed;
  EXPECT_NE(failed.find("cacs explain"), std::string::npos) << failed;
  ASSERT_TRUE(wait_output(id, "tick 80\n"));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1);
}

class DurabilityTest : public FaultsTest {
 protected:
  void make_place() override {
    server_env_ = {"LD_PRELOAD=" + program("sync_recorder.so"), "SYNC_RECORD=" + (dir_ / "syncs").string()};
  }
};

/// docs/repository-format.md, *What an interruption leaves*, as the kernel sees it; and the database after all of it.
/// An object gets its name by a link to its temporary, whose bytes were synced, and has it for good when the directory
/// was.
TEST_F(DurabilityTest, EverythingOfACheckpointIsDurableBeforeItsManifestAndTheManifestBeforeTheDatabase) {
  const std::string id = submit({{"command", JsonArray{program("worker"), "10000", "/work", "20"}}});
  ASSERT_TRUE(wait_output(id, "round 20 "));
  checkpoint(id);
  const std::string text = read_text_file(dir_ / "syncs").value();
  const auto lines = split(text, '\n');
  const std::string repository = (dir_ / "state/nodes/local-0/repository").string();
  const auto find = [&](const std::string& start, std::size_t from) {
    for (std::size_t i = from; i < lines.size(); ++i) {
      if (lines[i].starts_with(start)) return i;
    }
    return lines.size();
  };
  // What was named in this folder of the repository: the places of the names in the record.
  const auto named_in = [&](const std::string& folder) {
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const auto words = split(lines[i], ' ');
      if (words[0] == "link" && words.at(2).starts_with(repository + "/" + folder + "/")) places.push_back(i);
    }
    return places;
  };
  const auto expect_synced_before = [&](std::size_t name) {
    const std::string temporary = split(lines[name], ' ')[1];
    EXPECT_LT(find("sync " + temporary, 0), name) << lines[name];
  };
  const auto manifests = named_in("manifests");
  ASSERT_EQ(manifests.size(), 1U) << text;
  const auto manifest = manifests.front();
  expect_synced_before(manifest);
  const std::size_t manifest_durable = find("sync " + repository + "/manifests", manifest);
  ASSERT_LT(manifest_durable, lines.size()) << text;
  EXPECT_EQ(lines[manifest_durable], "sync " + repository + "/manifests");
  // No pack, and no piece, is named before its bytes are durable; all names are before the manifest is.
  for (const std::string folder : {"packs", "pieces"}) {
    const auto names = named_in(folder);
    ASSERT_FALSE(names.empty()) << folder << "\n" << text;
    for (const auto name : names) expect_synced_before(name);
    EXPECT_LT(find("sync " + repository + "/" + folder, names.back()), manifest) << folder;
  }
  // That it is AVAILABLE was stored when all of this was done.
  EXPECT_LT(find("sync " + (dir_ / "state/cacs.db-wal").string(), manifest_durable), lines.size()) << text;
}

/// The engine behind a script that, where it finds the file `kill-now`, stops the pod's init and kills the program
/// before it dumps: the instant between a program's death and anybody's noticing it, made as long as it takes.
class DyingTest : public FaultsTest {
 protected:
  void make_place() override {
    const char* real = std::getenv("CACS_CRIU");
    engine_was_named_ = real != nullptr;
    real_ = real != nullptr ? real : (cacs().parent_path() / "../../engine/criu/bin/criu").string();
    const auto script = dir_ / "engine.sh";
    const std::string text =
        "#!/bin/sh\n"
        "here=" +
        dir_.string() +
        "\n"
        "if [ \"$1\" = dump ] && [ -e $here/kill-now ]; then\n"
        "  previous=\n"
        "  for word; do [ \"$previous\" = --tree ] && init=$word; previous=$word; done\n"
        "  kill -STOP $init\n"
        "  read -r program rest < /proc/$init/task/$init/children\n"
        "  kill -KILL $program\n"
        "  mv $here/kill-now $here/killed && echo $init > $here/killed\n"
        "fi\n"
        "exec " +
        real_ + " \"$@\"\n";
    ASSERT_TRUE(write_file_durably(script, text, 0755).ok());
    ::setenv("CACS_CRIU", script.c_str(), 1);
  }
  void remove_place() override {
    if (engine_was_named_) {
      ::setenv("CACS_CRIU", real_.c_str(), 1);
    } else {
      ::unsetenv("CACS_CRIU");
    }
  }

  std::string real_;
  bool engine_was_named_ = false;
};

TEST_F(DyingTest, ACheckpointOfAProgramThatHasJustDiedIsNone) {
  const std::string id = submit({{"command", JsonArray{program("worker"), "60", "/work", "20"}}});
  ASSERT_TRUE(wait_output(id, "round 10 "));
  const std::string good = checkpoint(id);
  ASSERT_TRUE(wait_output(id, "round 15 "));
  ASSERT_TRUE(write_file_durably(dir_ / "kill-now", "").ok());
  const JsonObject failed = try_checkpoint(id);
  EXPECT_EQ(json_string_or(failed, "state", ""), "FAILED") << boost::json::serialize(failed);
  EXPECT_NE(boost::json::serialize(failed).find("ended while it was being saved"), std::string::npos)
      << boost::json::serialize(failed);
  const auto init = static_cast<pid_t>(std::stol(read_text_file(dir_ / "killed").value()));
  ASSERT_GT(init, 1);
  ::kill(init, SIGCONT);
  ASSERT_TRUE(wait_until([&] { return state_of(id) == "COMPLETED"; }));
  EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 2);
  EXPECT_EQ(json_string_or(application(id), "restored_from", ""), good);
}

}  // namespace
}  // namespace cacs::e2e
