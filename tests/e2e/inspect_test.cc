// Checkpoints of real programs, made by the real engine, looked into without restoring them; and the levels that they
// reach.
#include <cstdlib>

#include "base/io.h"
#include "base/text.h"
#include "e2e/service.h"

namespace cacs::e2e {
namespace {

class InspectTest : public ServiceTest {
 protected:
  /// The program, on the node's own repository.
  Captured run(std::vector<std::string> words, int code = 0) {
    words.insert(words.begin(), cacs().string());
    words.insert(words.end(), {"--repo", (dir_ / "state/nodes/local-0/repository").string()});
    Command command;
    command.argv = std::move(words);
    const auto ran = run_command(command);
    EXPECT_TRUE(ran.ok()) << ran.error().to_string();
    if (!ran) return {};
    EXPECT_EQ(ran->status.value, code) << ran->err;
    return *ran;
  }

  /// The path of the first line that ends so; empty: there is none.
  static std::string find_line(const std::string& text, const std::string& end) {
    for (const auto& line : split(text, '\n')) {
      if (line.ends_with(end)) return std::string(line);
    }
    return {};
  }
};

/// Keeps a word in its memory that no file has, and counts in a file that is never seen half written.
JsonArray remembering() {
  return {"sh", "-c",
          "word=rememb; word=${word}ered-$((6 * 7)); i=0; "
          "while :; do i=$((i+1)); echo $i > next; mv next counted; echo tick $i; sleep 0.05; done"};
}

TEST_F(InspectTest, MemoryAndFilesOfARunningProgramAreShown) {
  const std::string id = submit({{"command", remembering()}});
  ASSERT_TRUE(wait_output(id, "tick 10\n"));
  const std::string first = checkpoint(id);
  ASSERT_TRUE(wait_output(id, "tick 40\n"));
  const std::string second = checkpoint(id);

  const std::string all = run({"checkpoint", "ls-files", first, "-R"}).out;
  const std::string counted = find_line(all, "/counted");
  ASSERT_FALSE(counted.empty()) << all;
  const int then = std::atoi(run({"checkpoint", "cat", first, counted}).out.c_str());
  const int later = std::atoi(run({"checkpoint", "cat", second, counted}).out.c_str());
  EXPECT_GE(then, 10) << counted << ": " << run({"checkpoint", "cat", first, counted}).out;
  EXPECT_GT(later, then);

  // The shell's heap has the word, as it had it then.
  bool found = false;
  std::size_t heaps = 0;
  for (const auto& line : split(all, '\n')) {
    if (line.find("/memory/") == std::string::npos || !line.ends_with(".heap")) continue;
    ++heaps;
    found =
        found || run({"checkpoint", "cat", first, std::string(line)}).out.find("remembered-42") != std::string::npos;
  }
  EXPECT_GT(heaps, 0U) << all;
  EXPECT_TRUE(found) << all;

  const std::string changes = run({"checkpoint", "diff", first, second}).out;
  EXPECT_NE(changes.find("M " + counted), std::string::npos) << changes;
  EXPECT_NE(changes.find(".heap "), std::string::npos) << changes;

  // In a file of its own, and from there in another repository, it is the same.
  const std::string file = (dir_ / "exported").string();
  run({"checkpoint", "export", first, file});
  const std::string other = (dir_ / "other").string();
  const std::string key = (dir_ / "other.key").string();
  const auto elsewhere = [&](std::vector<std::string> words) {
    words.insert(words.begin(), cacs().string());
    words.insert(words.end(), {"--repo", other, "--key-file", key});
    Command command;
    command.argv = std::move(words);
    const auto ran = run_command(command);
    EXPECT_TRUE(ran.ok() && ran->status.success()) << ran->err;
    return ran ? ran->out : std::string();
  };
  elsewhere({"repo", "init"});
  elsewhere({"checkpoint", "import", file});
  EXPECT_EQ(elsewhere({"checkpoint", "ls-files", first, "-R"}), all);
  EXPECT_EQ(elsewhere({"checkpoint", "cat", first, counted}), run({"checkpoint", "cat", first, counted}).out);
}

/// A server with a remote level in a directory.
class RemoteLevelTest : public InspectTest {
 protected:
  void make_place() override { server_arguments_ = {"--remote", (dir_ / "remote").string()}; }

  [[nodiscard]] std::string levels_of(const std::string& id, const std::string& checkpoint) {
    for (const auto& each : checkpoints(id)) {
      if (json_string_or(each, "id", "") != checkpoint) continue;
      const JsonArray* levels = json_find_array(each, "levels");
      return levels == nullptr ? "" : boost::json::serialize(*levels);
    }
    return "none";
  }
};

TEST_F(RemoteLevelTest, ANodeThatHasLostItsPacksRestoresFromThere) {
  const std::string id =
      submit({{"command", remembering()}, {"checkpoint", JsonObject{{"levels", JsonArray{"local", "remote"}}}}});
  ASSERT_TRUE(wait_output(id, "tick 10\n"));
  const std::string first = checkpoint(id);
  ASSERT_TRUE(wait_until([&] { return levels_of(id, first) == R"(["local","remote"])"; })) << levels_of(id, first);
  // Every pack of the node's own repository is gone, as with a disk that was lost in part.
  std::size_t lost = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(dir_ / "state/nodes/local-0/repository/packs")) {
    if (entry.is_regular_file()) lost += std::filesystem::remove(entry.path()) ? 1U : 0U;
  }
  ASSERT_GT(lost, 0U);
  EXPECT_GT(kill_program(id, "sh"), 0);
  ASSERT_TRUE(wait_until([&] {
    const JsonObject view = application(id);
    return json_string_or(view, "state", "") == "RUNNING" && json_string_or(view, "restored_from", "") == first;
  })) << boost::json::serialize(application(id));
  ASSERT_TRUE(wait_output(id, "tick 40\n"));
}

}  // namespace
}  // namespace cacs::e2e
