#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <thread>

#include "api/test_server.h"
#include "api/views_json.h"
#include "net/sse.h"

namespace cacs::api {
namespace {

using namespace std::chrono_literals;
using net::SseEvent;

class StreamTest : public testing::ServerTest {
 protected:
  /// Reads a stream until `wanted` events have come; `after_first` runs once the first is there.
  std::vector<SseEvent> read(const std::string& target, std::size_t wanted,
                             const std::function<void(std::size_t)>& on_count, const std::string& last_id = {}) {
    std::vector<SseEvent> seen;
    net::SseParser parser([&](const SseEvent& event) {
      seen.push_back(event);
      if (on_count) on_count(seen.size());
    });
    net::ClientRequest request{.target = target, .timeout = 20s};
    request.headers.add("Accept", "text/event-stream");
    if (!last_id.empty()) request.headers.add("Last-Event-ID", last_id);
    const auto answer =
        client_->stream(request, [&](std::string_view data) { return parser.feed(data) && seen.size() < wanted; });
    EXPECT_TRUE(answer.ok()) << answer.error().to_string();
    EXPECT_EQ(answer.ok() ? answer->headers.get("Content-Type") : "nothing", "text/event-stream");
    return seen;
  }
};

TEST_F(StreamTest, EventsComeAsTheyHappenAndResume) {
  const std::string id = submit();
  const auto seen = read("/v1/events", 3, [&](std::size_t count) {
    if (count < 3) service_.happen(id, "checkpoint.state");
  });
  ASSERT_GE(seen.size(), 3U);
  EXPECT_EQ(seen[0].event, "application.state");
  EXPECT_EQ(seen[1].event, "checkpoint.state");
  const auto rest = read("/v1/coordinators/" + id + "/events", 1, {}, seen[0].id);
  ASSERT_FALSE(rest.empty());
  EXPECT_EQ(rest[0].id, seen[1].id);
  EXPECT_EQ(rest[0].data, seen[1].data);
}

TEST_F(StreamTest, EventsAsJsonWaitForTheFirst) {
  const std::string id = submit();
  const JsonObject first = json(call("GET", "/v1/events"));
  ASSERT_EQ(first.at("items").as_array().size(), 1U);
  const std::string cursor = json_string_or(first, "next_cursor", "");
  std::jthread later([&] { service_.happen(id, "late"); });
  const JsonObject second = json(call("GET", "/v1/events?wait=20s&after=" + cursor));
  ASSERT_EQ(second.at("items").as_array().size(), 1U);
  EXPECT_EQ(second.at("items").at(0).at("kind"), "late");
  EXPECT_EQ(json(call("GET", "/v1/events?after=99")).at("next_cursor"), "99");
  expect_problem(call("GET", "/v1/events?wait=61s"), 400, "bad-query");
  expect_problem(call("GET", "/v1/events?wait=1"), 400, "bad-query");
  expect_problem(call("GET", "/v1/coordinators/unknown/events?follow=1"), 404, "not-found");
  expect_problem(call("GET", "/v1/events?follow=1", {}, {{"Last-Event-ID", "x"}}), 400, "invalid-argument");
}

TEST_F(StreamTest, LogsFollowARollbackToTheEnd) {
  const std::string id = submit();
  service_.print("one\n");
  const auto seen = read("/v1/coordinators/" + id + "/logs?follow=1", 99, [&](std::size_t count) {
    if (count == 1) service_.roll_back(2);
    if (count == 2) {
      service_.print("E\n");
      service_.end();
    }
  });
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[0].event, "output");
  EXPECT_EQ(seen[0].data,
            R"({"incarnation":1,"stream":"stdout","offset":0,"data":")" + base64_encode("one\n") + R"("})");
  EXPECT_EQ(seen[0].id, "stdout:1:4,stderr:0:0");
  EXPECT_EQ(seen[1].event, "rollback");
  EXPECT_EQ(seen[1].data, R"({"rollback":true,"incarnation":2,"stream":"stdout","offset":2})");
  EXPECT_EQ(seen[2].event, "output");
  EXPECT_NE(seen[2].data.find(base64_encode("E\n")), std::string::npos);
  EXPECT_EQ(seen[3].event, "end");
}

TEST_F(StreamTest, OneConnectionCarriesBothStreams) {
  const std::string id = submit();
  service_.print("out\n");
  service_.print("err\n", "stderr");
  service_.end();
  const std::string target = "/v1/coordinators/" + id + "/logs?follow=1";
  const auto both = read(target, 99, {});
  ASSERT_EQ(both.size(), 3U);
  EXPECT_NE(both[0].data.find(R"("stream":"stdout","offset":0,"data":")" + base64_encode("out\n")), std::string::npos);
  EXPECT_NE(both[1].data.find(R"("stream":"stderr","offset":0,"data":")" + base64_encode("err\n")), std::string::npos);
  EXPECT_EQ(both[1].id, "stdout:1:4,stderr:1:4");
  EXPECT_EQ(both[2].event, "end");
  const auto one = read(target + "&stream=stderr", 99, {});
  ASSERT_EQ(one.size(), 2U);
  EXPECT_EQ(one[0].id, "stderr:1:4");
  // Each stream goes on where the reader was in it.
  const auto rest = read(target, 99, {}, "stdout:1:4,stderr:1:1");
  ASSERT_EQ(rest.size(), 2U);
  EXPECT_NE(rest[0].data.find(R"("stream":"stderr","offset":1)"), std::string::npos);
  expect_problem(call("GET", target, {}, {{"Last-Event-ID", "4"}}), 400, "invalid-argument");
  expect_problem(call("GET", target + "&offset=4"), 400, "invalid-argument");
}

TEST_F(StreamTest, AReaderThatWasAwayIsToldOfARollbackThatTheLogHasOutgrown) {
  const std::string id = submit();
  service_.print("one\ntwo\n");
  service_.roll_back(4, 0, "TWO and much more\n");
  service_.end();
  const std::string target = "/v1/coordinators/" + id + "/logs?follow=1";
  const auto seen = read(target, 99, {}, "stdout:1:8,stderr:1:0");
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].data, R"({"rollback":true,"incarnation":2,"stream":"stdout","offset":4})");
  EXPECT_EQ(seen[0].id, "stdout:2:4,stderr:1:0");
  EXPECT_NE(seen[1].data.find(R"("offset":4,"data":")" + base64_encode("TWO and much more\n")), std::string::npos);
  EXPECT_EQ(read(target + "&stream=stdout&incarnation=1&offset=8", 99, {}).size(), 3U);
  // One that was behind the checkpoint has lost nothing.
  const auto behind = read(target, 99, {}, "stdout:1:4,stderr:1:0");
  ASSERT_EQ(behind.size(), 2U);
  EXPECT_EQ(behind[0].event, "output");
}

TEST_F(StreamTest, PlainLogsAreTheBytes) {
  const std::string target = "/v1/coordinators/" + submit() + "/logs";
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes.push_back(static_cast<char>(i % 251));
  service_.print(bytes);
  const auto all = call("GET", target);
  EXPECT_EQ(all.headers.get("Content-Type"), "text/plain");
  EXPECT_TRUE(all.body == bytes);
  EXPECT_TRUE(call("GET", target + "?offset=100&limit=200000").body == bytes.substr(100, 200'000));
  EXPECT_EQ(call("HEAD", target).status, 200);
  expect_problem(call("GET", "/v1/coordinators/unknown/logs"), 404, "not-found");
  expect_problem(call("GET", target + "?attempt=1"), 501, "not-implemented");
}

TEST_F(StreamTest, StreamsEndWhenTheServerStops) {
  submit();
  std::latch started(1);
  std::jthread reader([&] {
    net::ClientRequest request{.target = "/v1/events?follow=1", .timeout = 20s};
    static_cast<void>(client_->stream(request, [&](std::string_view) {
      started.count_down();
      return true;
    }));
  });
  started.wait();
  const auto begin = std::chrono::steady_clock::now();
  server_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
}

TEST_F(StreamTest, StreamsThatClientsLeaveFreeTheirPlace) {
  start({.no_auth = true, .limits = {.long_answers = 2}});
  submit();
  for (int i = 0; i < 6; ++i) {
    const auto answer =
        client_->stream({.target = "/v1/events?follow=1", .timeout = 20s}, [](std::string_view) { return false; });
    ASSERT_TRUE(answer.ok());
    if (answer->status == 503) {  // the places are taken until the server has noticed
      std::this_thread::sleep_for(300ms);
      continue;
    }
    EXPECT_EQ(answer->status, 200);
  }
  const auto end = std::chrono::steady_clock::now() + 10s;
  int status = 503;
  while (status == 503 && std::chrono::steady_clock::now() < end) {
    status = call("GET", "/v1/events").status;
    if (status == 503) std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(status, 200);
}

TEST(Base64, KnownValues) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("foo"), "Zm9v");
  EXPECT_EQ(base64_encode("\xff\xfe\xfd\xfc"), "//79/A==");
}

}  // namespace
}  // namespace cacs::api
