// A full disk: in the middle of a dump, while a checkpoint is stored, and under the database. The state directory is a
// small file system of its own.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <set>
#include <thread>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

class FullDiskTest : public ServiceTest {
 protected:
  void make_place() override {
    const auto image = dir_ / "disk.img";
    const auto state = dir_ / "state";
    ASSERT_TRUE(make_directories(state, 0755).ok());
    {
      const auto fd = open_file(image, O_RDWR | O_CREAT, 0600);
      ASSERT_TRUE(fd.ok());
      ASSERT_EQ(::ftruncate(fd->get(), static_cast<off_t>(768 * kMiB)), 0);
    }
    run({"mkfs.xfs", "-q", "-m", "reflink=1", image.string()});
    run({"mount", "-o", "loop", image.string(), state.string()});
  }

  void remove_place() override {
    // What the test let fail may still be in the way for a moment; the loop device goes with the mount.
    if (::umount2((dir_ / "state").c_str(), MNT_DETACH) != 0) ADD_FAILURE() << "the test's disk stays mounted";
  }

  static void run(const std::vector<std::string>& argv) {
    const auto result = run_command({.argv = argv});
    ASSERT_TRUE(result.ok() && result->status.success()) << argv[0] << ": " << (result ? result->err : "");
  }

  std::uint64_t free_bytes() {
    struct statvfs info {};
    EXPECT_EQ(::statvfs((dir_ / "state").c_str(), &info), 0);
    return std::uint64_t{info.f_bavail} * info.f_frsize;
  }

  /// Takes all of the disk but `leave` bytes.
  void fill_disk(std::uint64_t leave) {
    const UniqueFd fd(::open((dir_ / "state/ballast").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(fd.valid());
    const off_t begun = ::lseek(fd.get(), 0, SEEK_END);
    off_t at = begun;
    for (std::uint64_t step = 512 * kMiB; step >= 4096; step /= 2) {
      while (free_bytes() >= leave + step && ::fallocate(fd.get(), 0, at, static_cast<off_t>(step)) == 0) {
        at += static_cast<off_t>(step);
      }
    }
  }

  void make_room() { ASSERT_EQ(::unlink((dir_ / "state/ballast").c_str()), 0); }

  /// Nothing of a failed checkpoint is left: neither images nor staged files nor half-written packs.
  void expect_no_leavings() {
    const auto node = dir_ / "state/nodes/local-0";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(node)) {
      const std::string path = entry.path().string();
      EXPECT_FALSE(path.ends_with(".tmp")) << path;
      EXPECT_EQ(path.find("/images/"), std::string::npos) << path;
      EXPECT_EQ(path.find("/staging/"), std::string::npos) << path;
      EXPECT_FALSE(path.ends_with(".piece")) << path;
    }
  }

  void fill_memory(const std::string& id, int times) {
    for (const pid_t pid : processes_of(id, "filler")) ASSERT_EQ(::kill(pid, SIGUSR1), 0);
    ASSERT_TRUE(wait_output(id, "filled " + std::to_string(times) + "\n"));
  }

  int last_tick(const std::string& id) {
    const std::string text = output(id);
    const std::size_t at = text.rfind("tick ");
    return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + 5);
  }

  static std::string problem_of(const JsonObject& checkpoint) {
    const JsonObject* problem = json_find_object(checkpoint, "problem");
    return problem == nullptr ? "" : json_string_or(*problem, "detail", "");
  }

  /// What must hold after a checkpoint failed on the full disk, up to the program's right end.
  void goes_on(const std::string& id, const std::string& first, const JsonObject& failed) {
    EXPECT_EQ(json_string_or(failed, "state", ""), "FAILED") << boost::json::serialize(failed);
    const std::string why = problem_of(failed);
    const JsonObject* problem = json_find_object(failed, "problem");
    const std::string type = problem == nullptr ? "" : json_string_or(*problem, "type", "");
    EXPECT_TRUE(type.ends_with("disk-full") || type.ends_with("no-space")) << type;
    RecordProperty("why", why);
    EXPECT_TRUE(why.find("disk is") != std::string::npos || why.find("No space left") != std::string::npos) << why;
    EXPECT_EQ(state_of(id), "RUNNING");
    const int tick = last_tick(id);
    EXPECT_TRUE(wait_until([&] { return last_tick(id) > tick + 5; })) << "the program does not run on";
    EXPECT_EQ(json_int_or(application(id), "incarnation", 0), 1) << "it was restarted";
    expect_no_leavings();
    // The older one is as good as before, with the disk as full as it is.
    EXPECT_EQ(kill_program(id, "filler"), 1);
    ASSERT_TRUE(wait_until([&] {
      const JsonObject view = application(id);
      return json_string_or(view, "state", "") == "RUNNING" && json_string_or(view, "restored_from", "") == first;
    })) << boost::json::serialize(application(id));
    make_room();
    fill_memory(id, 1);
    checkpoint(id);
    EXPECT_EQ(kill_program(id, "filler"), 1);
    wait_state(id, "COMPLETED");
    EXPECT_NE(output(id).find("result 400\n"), std::string::npos);
  }
};

JsonObject filler(const std::string& program) { return {{"command", JsonArray{program, "160", "400", "30"}}}; }

TEST_F(FullDiskTest, ACheckpointThatCannotFitIsRefusedBeforeTheProgramStops) {
  const std::string id = submit(filler(program("filler")));
  ASSERT_TRUE(wait_output(id, "tick 5\n"));
  const std::string first = checkpoint(id);
  fill_memory(id, 1);
  fill_disk(100 * kMiB);
  goes_on(id, first, try_checkpoint(id));
}

TEST_F(FullDiskTest, TheDiskFillsUpWhileChunksAreStored) {
  const std::string id = submit(filler(program("filler")));
  ASSERT_TRUE(wait_output(id, "tick 5\n"));
  const std::string first = checkpoint(id);
  fill_memory(id, 1);
  // Room for the engine's images, which are 160 MiB, and not for their chunks beside them.
  fill_disk(250 * kMiB);
  goes_on(id, first, try_checkpoint(id));
}

TEST_F(FullDiskTest, TheDiskFillsUpInTheMiddleOfADump) {
  const std::string id = submit(filler(program("filler")));
  ASSERT_TRUE(wait_output(id, "tick 5\n"));
  const std::string first = checkpoint(id);
  fill_memory(id, 1);
  JsonObject failed;
  std::string stage;
  // Another's writes take the room while the engine writes memory. A dump that was quicker is no answer: once more.
  for (int attempt = 0; attempt < 5 && stage != "dump"; ++attempt) {
    std::atomic<bool> stop = false;
    std::thread other([&] {
      const auto pod = dir_ / "state/nodes/local-0/pods" / (id + ".pod-0") / "images";
      while (!stop) {
        std::error_code gone;
        for (auto file = std::filesystem::recursive_directory_iterator(pod, gone);
             !gone && file != std::filesystem::recursive_directory_iterator(); file.increment(gone)) {
          if (!file->path().filename().string().starts_with("pages-") || file->file_size(gone) < kMiB) continue;
          fill_disk(0);
          return;
        }
        ::usleep(500);
      }
    });
    failed = try_checkpoint(id);
    stop = true;
    other.join();
    stage = problem_of(failed).find("store the checkpoint") == std::string::npos &&
                    json_string_or(failed, "state", "") == "FAILED"
                ? "dump"
                : "later";
    if (stage != "dump") {
      ::unlink((dir_ / "state/ballast").c_str());
      const std::string made = json_string_or(failed, "id", "");
      if (json_string_or(failed, "state", "") == "AVAILABLE") {
        must("DELETE", "/coordinators/" + id + "/checkpoints/" + made);
        ASSERT_TRUE(wait_until([&] { return checkpoints(id).size() == 1; }));
      }
    }
  }
  ASSERT_EQ(stage, "dump") << "the dump was quicker every time";
  goes_on(id, first, failed);
}

TEST_F(FullDiskTest, TheDatabaseOnAFullDiskLosesNothingAndGoesOn) {
  const std::string id = submit({{"command", JsonArray{program("worker"), "100000", "/work", "20"}}});
  ASSERT_TRUE(wait_output(id, "round 20 "));
  const std::string first = checkpoint(id);
  fill_disk(0);
  // Too large for what the database's log has set aside already.
  const std::string body = boost::json::serialize(
      JsonObject{{"command", JsonArray{"sleep", "1000"}},
                 {"files", JsonArray{JsonObject{{"path", "/job/input"}, {"content", std::string(900'000, 'x')}}}}});
  Result<net::ClientResponse> refused = request("POST", "/coordinators", body);
  std::set<std::string> taken{id};
  for (int more = 0; more < 8 && refused && refused->status == 202; ++more) {
    taken.insert(json_string_or(parse_json_object(refused->body, "answer").value(), "id", ""));
    refused = request("POST", "/coordinators", body);
  }
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(refused->status, 507) << refused->body;
  EXPECT_NE(refused->body.find("full"), std::string::npos) << refused->body;
  // It answers, and knows what it knew.
  EXPECT_EQ(json_string_or(must("GET", "/coordinators/" + id + "/checkpoints/" + first), "state", ""), "AVAILABLE");
  const auto ids = [&] {
    std::set<std::string> listed;
    const JsonObject page = must("GET", "/coordinators?limit=1000");
    for (const auto& item : *json_find_array(page, "items")) {
      listed.insert(json_string_or(item.as_object(), "id", ""));
    }
    return listed;
  };
  EXPECT_EQ(ids(), taken);
  // Also when it dies here: it starts on the full disk, or once there is room.
  make_room();
  kill_server();
  start_server();
  EXPECT_EQ(ids(), taken);
  EXPECT_EQ(json_string_or(must("GET", "/coordinators/" + id + "/checkpoints/" + first), "state", ""), "AVAILABLE");
  const std::string later = submit({{"command", JsonArray{"true"}}});
  wait_state(later, "COMPLETED");
  checkpoint(id);
}

/// What nobody waits for (a program's death) is stored when there is room, and acted upon then.
TEST_F(FullDiskTest, AProgramsDeathOnAFullDiskIsNotForgotten) {
  const std::string id = submit({{"command", JsonArray{program("worker"), "300", "/work", "20"}}});
  ASSERT_TRUE(wait_output(id, "round 20 "));
  checkpoint(id);
  fill_disk(0);
  EXPECT_EQ(kill_program(id, "worker"), 1);
  ::usleep(1'500'000);  // long enough for it to have been told, and not to have got through
  make_room();
  wait_state(id, "COMPLETED");
  EXPECT_GE(json_int_or(application(id), "incarnation", 0), 2);
}

}  // namespace
}  // namespace cacs::e2e
