#include "cli/log_follower.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <random>

#include "api/fake_service.h"
#include "api/server.h"
#include "base/base64.h"
#include "cli/format.h"
#include "cli/test_server.h"

// The follower against the real API over HTTP, with a service in memory: connections that break anywhere, a server that
// goes away and comes back, restores.
namespace cacs::cli {
namespace {

using namespace std::chrono_literals;

/// A client whose connections break: each carries as many bytes as `lives` says, then it is cut, in the middle of
/// whatever it was.
class BreakingClient final : public ApiClient {
 public:
  BreakingClient(std::unique_ptr<ApiClient> inner, std::function<std::size_t()> lives, std::atomic<int>& breaks)
      : inner_(std::move(inner)), lives_(std::move(lives)), breaks_(breaks) {}

  Result<ApiAnswer> call(const ApiRequest& request) override { return inner_->call(request); }
  Result<ApiAnswer> stream(const ApiRequest& request, const std::function<Status(std::string_view)>& sink) override {
    std::size_t left = lives_();
    return inner_->stream(request, [&](std::string_view bytes) -> Status {
      CACS_TRY(sink(bytes.substr(0, left)));
      if (bytes.size() < left) {
        left -= bytes.size();
        return {};
      }
      ++breaks_;
      return make_error(ErrorCode::kUnavailable, "the connection broke").with_type(kUnreachableType);
    });
  }
  void cancel() override { inner_->cancel(); }

 private:
  std::unique_ptr<ApiClient> inner_;
  std::function<std::size_t()> lives_;
  std::atomic<int>& breaks_;
};

/// What a reader of the records has of one stream. A byte that is lost or comes twice is a gap or an overlap.
struct Copy {
  std::string bytes;
  int rollbacks = 0;

  void apply(const JsonObject& record) {
    const auto offset = static_cast<std::size_t>(json_int_or(record, "offset", -1));
    if (json_bool_or(record, "rollback", false)) {
      ASSERT_LT(offset, bytes.size()) << "a rollback to where the reader never was";
      bytes.resize(offset);
      ++rollbacks;
      return;
    }
    ASSERT_EQ(offset, bytes.size()) << "a byte was lost or repeated";
    bytes += base64_decode(json_string_or(record, "data", "")).value();
  }
};

class LogFollowerTest : public ::testing::Test {
 protected:
  LogFollowerTest() {
    start_server();
    const auto parsed = application::parse_asr(parse_json_object(R"({"command":["x"]})", "asr").value());
    id_ = service_.submit({}, parsed.value()).value().id;
    out_ = open_file(dir_.path() / "out", O_RDWR | O_CREAT | O_APPEND).value();
    err_ = open_file(dir_.path() / "err", O_RDWR | O_CREAT | O_APPEND).value();
    terminal_.emplace(out_.get(), err_.get(), [](const std::string&) { return std::optional<std::string>(); });
  }
  ~LogFollowerTest() override {
    follower_.reset();
    server_.reset();
  }

  void start_server() {
    auto started = api::Server::start({.unix_socket = dir_.path() / "api.sock", .no_auth = true}, service_);
    ASSERT_TRUE(started.ok()) << started.error().to_string();
    server_ = *std::move(started);
  }
  void follow(bool json, std::function<std::size_t()> lives) {
    auto client = make_api_client("unix:" + (dir_.path() / "api.sock").string(), "");
    ASSERT_TRUE(client.ok());
    auto breaking = std::make_unique<BreakingClient>(*std::move(client), std::move(lives), breaks_);
    auto started = LogFollower::start(std::move(breaking), *terminal_,
                                      {.target = "/v1/coordinators/" + id_ + "/logs?follow=1", .json = json});
    ASSERT_TRUE(started.ok());
    follower_ = *std::move(started);
  }
  [[nodiscard]] std::string file(const char* name) const { return read_text_file(dir_.path() / name).value(); }
  /// Waits until the follower has printed so much; it prints from a thread of its own, into a file.
  bool wait_printed(const char* name, std::size_t size) const {
    for (const auto end = std::chrono::steady_clock::now() + 20s; std::chrono::steady_clock::now() < end;) {
      if (std::filesystem::file_size(dir_.path() / name) >= size) return true;
      ::usleep(2'000);
    }
    return false;
  }

  ScratchDir dir_;
  api::testing::FakeService service_;
  std::unique_ptr<api::Server> server_;
  std::string id_;
  UniqueFd out_;
  UniqueFd err_;
  std::optional<Terminal> terminal_;
  std::atomic<int> breaks_{0};
  std::unique_ptr<LogFollower> follower_;
};

std::size_t forever() { return std::numeric_limits<std::size_t>::max(); }

TEST_F(LogFollowerTest, EachStreamGoesToItsOwn) {
  follow(false, forever);
  service_.print("out\n");
  service_.print("err\n", "stderr");
  ASSERT_TRUE(wait_printed("out", 4) && wait_printed("err", 4));
  service_.print("more\n");
  service_.end();
  EXPECT_TRUE(follower_->result().ok());
  EXPECT_EQ(file("out"), "out\nmore\n");
  EXPECT_EQ(file("err"), "err\n");
}

TEST_F(LogFollowerTest, ARollbackWhileTheServerWasAwayIsTold) {
  follow(false, forever);
  service_.print("one\ntwo\n");
  service_.print("warning\n", "stderr");
  ASSERT_TRUE(wait_printed("out", 8) && wait_printed("err", 8));
  server_->stop();
  service_.roll_back(4, 8, "TWO\nthree\nfour\n");  // longer than the reader's old offset
  server_.reset();
  start_server();
  service_.end();
  EXPECT_TRUE(follower_->result().ok());
  EXPECT_EQ(file("out"), "one\ntwo\nTWO\nthree\nfour\n");
  EXPECT_EQ(file("err"),
            "warning\n"
            "cacs: --- restored: stdout went back by 4 B to byte 4; what was shown already is not repeated ---\n");
}

/// The whole at random: two streams, restores, connections cut at any byte, a server that is started again.
TEST_F(LogFollowerTest, NoByteIsLostOrRepeatedWhateverBreaks) {
  std::mt19937_64 random(20261120);
  std::mt19937_64 cuts(7);
  follow(true, [&cuts] { return 1 + cuts() % 1500; });
  int line = 0;
  for (int round = 0; round < 120; ++round) {
    for (auto lines = random() % 4; lines > 0; --lines) {
      service_.print("line " + std::to_string(++line) + "\n", random() % 3 == 0 ? "stderr" : "stdout");
    }
    if (random() % 8 == 0) {
      const std::size_t out = random() % (service_.output().size() + 1);
      const std::size_t err = random() % (service_.output("stderr").size() + 1);
      service_.roll_back(out, err, random() % 2 == 0 ? "instead " + std::to_string(++line) + "\n" : "");
    }
    if (round % 40 == 20) {
      server_->stop();
      server_.reset();
      start_server();
    }
    ::usleep(20'000);  // so that there is something to be cut while it goes on
  }
  service_.end();
  ASSERT_TRUE(follower_->result().ok());
  std::map<std::string, Copy> copies;
  const std::string text = file("out");
  std::size_t at = 0;
  for (std::size_t end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const JsonObject record = parse_json_object(std::string_view(text).substr(at, end - at), "record").value();
    if (record.contains("stream")) copies[json_string_or(record, "stream", "")].apply(record);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(copies["stdout"].bytes, service_.output());
  EXPECT_EQ(copies["stderr"].bytes, service_.output("stderr"));
  EXPECT_GT(copies["stdout"].rollbacks, 0);
  EXPECT_GT(breaks_, 10);
}

}  // namespace
}  // namespace cacs::cli
