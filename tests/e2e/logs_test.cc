// Following the output of an application over its restores, with the real server, agent and engine: whoever applies the
// records in order has, byte for byte, what the log holds.

#include <openssl/evp.h>

#include <atomic>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include "e2e/service.h"
#include "net/sse.h"

namespace cacs::e2e {
namespace {

std::string decode(const std::string& base64) {
  std::string out(base64.size() / 4 * 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(base64.data()), static_cast<int>(base64.size()));
  EXPECT_GE(size, 0);
  for (auto it = base64.rbegin(); it != base64.rend() && *it == '='; ++it) out.pop_back();
  return out;
}

/// Follows both streams in a thread; connects again where it was when the connection ends, until the log's end.
class Follower {
 public:
  Follower(std::filesystem::path socket, std::string id) : socket_(std::move(socket)), id_(std::move(id)) { start(); }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;
  ~Follower() { leave(); }

  void start() {
    stop_ = std::stop_source();
    thread_ = std::thread([this] { run(); });
  }
  /// Goes away; start() comes back to where it was.
  void leave() {
    stop_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  std::string text(const std::string& stream) {
    const std::lock_guard lock(mutex_);
    return copies_[stream];
  }
  int rollbacks(const std::string& stream) {
    const std::lock_guard lock(mutex_);
    return rollbacks_[stream];
  }
  bool ended() const { return ended_; }

 private:
  void run() {
    net::HttpClient client({.unix_socket = socket_});
    while (!ended_ && !stop_.stop_requested()) {
      net::SseParser parser([this](const net::SseEvent& event) { take(event); });
      net::ClientRequest request{.target = "/v1/coordinators/" + id_ + "/logs?follow=1"};
      request.timeout = std::chrono::milliseconds(0);
      request.stop = stop_.get_token();
      if (!last_id_.empty()) request.headers.add("Last-Event-ID", last_id_);
      const auto answer = client.stream(request, [&](std::string_view bytes) { return parser.feed(bytes) && !ended_; });
      if (!answer) std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the server is away
    }
  }
  void take(const net::SseEvent& event) {
    if (event.event == "end") ended_ = true;
    if (event.event != "output" && event.event != "rollback") return;
    last_id_ = event.id;
    const JsonObject record = parse_json_object(event.data, "record").value();
    const std::string stream = json_string_or(record, "stream", "");
    const auto offset = static_cast<std::size_t>(json_int_or(record, "offset", -1));
    const std::lock_guard lock(mutex_);
    std::string& copy = copies_[stream];
    if (event.event == "rollback") {
      EXPECT_LT(offset, copy.size());
      copy.resize(std::min(offset, copy.size()));
      ++rollbacks_[stream];
      return;
    }
    EXPECT_EQ(offset, copy.size()) << stream << ": a byte was lost or came twice";
    copy += decode(json_string_or(record, "data", ""));
  }

  std::filesystem::path socket_;
  std::string id_;
  std::string last_id_;
  std::mutex mutex_;
  std::map<std::string, std::string> copies_;
  std::map<std::string, int> rollbacks_;
  std::atomic<bool> ended_{false};
  std::stop_source stop_;
  std::thread thread_;
};

class LogsTest : public ServiceTest {
 protected:
  /// Numbered lines on both streams, each with the time, so that no line is ever written the same twice; until told to
  /// end.
  std::string submit_printer(JsonObject asr = {}) {
    asr["command"] = printer();
    return submit(asr);
  }
  static JsonArray printer() {
    return {"bash", "-c",
            "i=0; while [ ! -e /tmp/enough ]; do read now rest </proc/uptime; echo out $i $now; echo err $i $now >&2; "
            "i=$((i+1)); sleep 0.02; done"};
  }
  void end_printer(const std::string& id) {
    must("POST", "/coordinators/" + id + "/exec", R"({"command": ["touch", "/tmp/enough"]})");
    wait_state(id, "COMPLETED");
  }
  bool wait_incarnation(const std::string& id, int incarnation) {
    return wait_until(
        [&] { return json_int_or(application(id), "incarnation", 0) == incarnation && state_of(id) == "RUNNING"; });
  }
  /// Has ended, and has exactly what the log has.
  void expect_whole(Follower& follower, const std::string& id) {
    ASSERT_TRUE(wait_until([&] { return follower.ended(); }));
    for (const char* stream : {"stdout", "stderr"}) {
      EXPECT_EQ(follower.text(stream), output(id, stream)) << stream;
    }
  }
  /// Lines are numbered without a gap or a repetition.
  static void expect_numbered(const std::string& text, const std::string& prefix) {
    int expected = 0;
    std::size_t at = 0;
    for (std::size_t end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      ASSERT_EQ(text.compare(at, prefix.size() + 1, prefix + " "), 0);
      ASSERT_EQ(std::strtol(text.c_str() + at + prefix.size() + 1, nullptr, 10), expected++);
    }
    EXPECT_EQ(at, text.size()) << "a line was cut";
  }
};

TEST_F(LogsTest, FollowersHaveExactlyTheLogOverARestore) {
  const std::string id = submit_printer();
  Follower whole(dir_ / "api.sock", id);
  Follower away(dir_ / "api.sock", id);
  ASSERT_TRUE(wait_output(id, "out 20 "));
  checkpoint(id);
  ASSERT_TRUE(wait_until([&] { return away.text("stdout").find("out 80 ") != std::string::npos; }));
  away.leave();
  const std::size_t left_at = away.text("stdout").size();
  EXPECT_GT(kill_program(id, "bash"), 0);
  ASSERT_TRUE(wait_incarnation(id, 2));
  kill_server();
  start_server();
  // Comes back when the log is longer again than it was when it left.
  ASSERT_TRUE(wait_until([&] { return output(id).size() > left_at + 100; }));
  away.start();
  ASSERT_TRUE(wait_until([&] { return away.text("stdout").size() > left_at + 100; }));
  end_printer(id);
  for (Follower* follower : {&whole, &away}) {
    expect_whole(*follower, id);
    EXPECT_EQ(follower->rollbacks("stdout"), 1);
    EXPECT_EQ(follower->rollbacks("stderr"), 1);
  }
  expect_numbered(output(id), "out");
  expect_numbered(output(id, "stderr"), "err");
  // The command line: each stream to its own, and all of it after the end too.
  Command command;
  command.argv = {cacs().string(), "logs", "-f", id, "--server", "unix:" + (dir_ / "api.sock").string()};
  const auto printed = run_command(command, std::chrono::seconds(30));
  ASSERT_TRUE(printed.ok());
  EXPECT_EQ(printed->out, output(id));
  EXPECT_EQ(printed->err, output(id, "stderr"));
}

TEST_F(LogsTest, AFollowerThatMissedSeveralRestoresOfSeveralBranches) {
  const std::string id = submit_printer();
  Follower away(dir_ / "api.sock", id);
  ASSERT_TRUE(wait_output(id, "out 10 "));
  const std::string early = checkpoint(id);
  ASSERT_TRUE(wait_until([&] { return output(id).find("out 90 ") != std::string::npos; }));
  const std::string late = checkpoint(id);
  // Back to the early one, and away while it is past it but before where the late one was.
  must("POST", "/coordinators/" + id + "/checkpoints/" + early);
  ASSERT_TRUE(wait_incarnation(id, 2));
  ASSERT_TRUE(wait_until([&] {
    const std::string text = away.text("stdout");
    return away.rollbacks("stdout") == 1 && text.find("out 30 ") != std::string::npos;
  }));
  away.leave();
  // The late one is of the first incarnation: what the second wrote is in nobody's log.
  must("POST", "/coordinators/" + id + "/checkpoints/" + late);
  ASSERT_TRUE(wait_incarnation(id, 3));
  checkpoint(id);
  EXPECT_GT(kill_program(id, "bash"), 0);
  ASSERT_TRUE(wait_incarnation(id, 4));
  ASSERT_TRUE(wait_output(id, "out 130 "));
  away.start();
  end_printer(id);
  expect_whole(away, id);
  expect_numbered(output(id), "out");
}

TEST_F(LogsTest, TheOutputOfASuspendedApplicationIsThatOfItsCheckpoint) {
  // The time limit saves it ten seconds before, and gives its node back.
  const std::string id = submit_printer({{"time_limit", "13s"}});
  Follower follower(dir_ / "api.sock", id);
  wait_state(id, "SUSPENDED");
  expect_whole(follower, id);
  EXPECT_NE(output(id).find("out 10 "), std::string::npos);
  expect_numbered(output(id), "out");
  expect_numbered(output(id, "stderr"), "err");
}

TEST_F(LogsTest, ARestartFromTheBeginningStartsTheLogAgain) {
  const std::string id = submit_printer();  // without a checkpoint
  Follower away(dir_ / "api.sock", id);
  ASSERT_TRUE(wait_until([&] { return away.text("stderr").find("err 20 ") != std::string::npos; }));
  away.leave();
  EXPECT_GT(kill_program(id, "bash"), 0);
  ASSERT_TRUE(wait_incarnation(id, 2));
  ASSERT_TRUE(wait_output(id, "out 60 "));
  away.start();
  end_printer(id);
  expect_whole(away, id);
  EXPECT_EQ(away.rollbacks("stdout"), 1);
  expect_numbered(output(id), "out");
}

}  // namespace
}  // namespace cacs::e2e
