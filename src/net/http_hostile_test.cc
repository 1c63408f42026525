#include <gtest/gtest.h>
#include <sys/resource.h>

#include <thread>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_http.h"

namespace cacs::net {
namespace {

using namespace std::chrono_literals;
using testing::closes;
using testing::connect_to;
using testing::read_text;
using testing::send_text;

class HostileTest : public ::testing::Test {
 protected:
  void serve(ServerLimits limits) {
    ServerOptions options;
    options.limits = limits;
    const auto echo = [](const Request& request) { return text_response(200, "<" + request.body + ">"); };
    auto server = HttpServer::start(
        std::move(options), {{.method = "POST", .pattern = "/e", .kind = RouteKind::kInline, .handler = echo},
                             {.method = "POST", .pattern = "/b", .kind = RouteKind::kBlocking, .handler = echo}});
    ASSERT_TRUE(server.ok());
    server_ = std::move(server).value();
  }
  /// The server still serves others.
  void expect_alive() {
    const auto answer = HttpClient({.base_url = "http://127.0.0.1:" + std::to_string(server_->port())})
                            .send({.method = "POST", .target = "/e", .body = "x"});
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    EXPECT_EQ(answer->body, "<x>");
  }
  std::string talk(std::string_view text) {
    const auto fd = connect_to(server_->port());
    send_text(fd, text);
    return read_text(fd);
  }
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HostileTest, SlowHeaderIsCutOff) {
  serve({.idle_timeout = 60s, .header_timeout = 100ms});
  const auto fd = connect_to(server_->port());
  ASSERT_TRUE(send_text(fd, "GET /e HTTP/1.1\r\n"));
  for (int i = 0; i < 20; ++i) {  // a byte now and then must not buy time
    std::this_thread::sleep_for(20ms);
    if (!send_text(fd, "a")) break;
  }
  EXPECT_TRUE(closes(fd, 30s));
  expect_alive();
}

TEST_F(HostileTest, SlowBodyAndIdleConnectionsAreCutOff) {
  serve({.idle_timeout = 100ms, .body_timeout = 100ms});
  const auto idle = connect_to(server_->port());
  const auto slow = connect_to(server_->port());
  ASSERT_TRUE(send_text(slow, "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"));
  EXPECT_TRUE(closes(idle, 30s));
  EXPECT_TRUE(closes(slow, 30s));
  expect_alive();
}

TEST_F(HostileTest, HugeHeaderIs431) {
  serve({});
  EXPECT_TRUE(talk("GET /e HTTP/1.1\r\nHost: x\r\nA: " + std::string(200'000, 'a')).starts_with("HTTP/1.1 431 "));
  EXPECT_TRUE(talk("GET /" + std::string(200'000, 'a')).starts_with("HTTP/1.1 431 "));
  expect_alive();
}

TEST_F(HostileTest, HugeBodyIs413WithAndWithoutLength) {
  serve({.body_bytes = 1'000});
  EXPECT_TRUE(talk("POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n").starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(
      talk("POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n").starts_with("HTTP/1.1 413 "));
  std::string chunked = "POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 20; ++i) chunked += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_TRUE(talk(chunked).starts_with("HTTP/1.1 413 "));
  expect_alive();
}

TEST_F(HostileTest, WhatIsNotHttpIs400) {
  serve({});
  for (const std::string_view bad :
       {"hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /e HTTP/1.1\r\nHost x\r\n\r\n", "GET /e HTTP/1.1\r\n\r\n",
        "GET /e HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET nothing HTTP/1.1\r\nHost: x\r\n\r\n", "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"}) {
    const auto fd = connect_to(server_->port());
    send_text(fd, bad);
    ::shutdown(fd.get(), SHUT_WR);
    const std::string answer = read_text(fd);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << bad << " -> " << answer;
  }
  expect_alive();
}

TEST_F(HostileTest, InvalidChunksAre400) {
  serve({});
  const std::string head = "POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_TRUE(talk(head + "zz\r\nabc\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(talk(head + "3\r\nabcdef\r\n0\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(talk(head + "ffffffffffffffffff\r\n").starts_with("HTTP/1.1 400 "));
  expect_alive();
}

TEST_F(HostileTest, LengthAndChunksTogetherAreNotBothBelieved) {
  serve({});
  const std::string answer = talk(
      "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST /e "
      "HTTP/1.1\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
}

TEST_F(HostileTest, PipelinedRequestsAreAnsweredInOrder) {
  serve({});
  std::string text;
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    const std::string body = std::to_string(100 + i);
    const std::string path = i % 2 == 0 ? "/e" : "/b";
    text += "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" +
            (i == 49 ? "Connection: close\r\n" : "") + "\r\n" + body;
    expected += "<" + body + ">";
  }
  std::string answer = talk(text);
  std::string bodies;
  for (std::size_t at = answer.find('<'); at != std::string::npos; at = answer.find('<', at + 1)) {
    bodies += answer.substr(at, 5);
  }
  EXPECT_EQ(bodies, expected);
}

TEST_F(HostileTest, ConnectionsBeyondTheBoundAre503) {
  serve({.connections = 4});
  std::vector<UniqueFd> kept;
  for (int i = 0; i < 4; ++i) {
    kept.push_back(connect_to(server_->port()));
    send_text(kept.back(), "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    read_text(kept.back(), "<>");
  }
  const auto extra = connect_to(server_->port());
  EXPECT_TRUE(read_text(extra).starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(server_->stats().refused, 1U);
  send_text(kept[0], "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  read_text(kept[0]);
  while (server_->stats().connections >= 4) std::this_thread::sleep_for(1ms);
  expect_alive();
}

TEST_F(HostileTest, TwoThousandConnections) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8'192);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  ASSERT_GE(files.rlim_cur, 4'200U);
  serve({.connections = 4'096, .connections_per_peer = 4'096});
  std::vector<UniqueFd> all;
  for (int i = 0; i < 2'000; ++i) {
    all.push_back(connect_to(server_->port()));
    ASSERT_TRUE(all.back().valid());
    ASSERT_TRUE(send_text(all.back(), "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"));
  }
  for (const UniqueFd& fd : all) ASSERT_TRUE(send_text(fd, "y"));
  for (const UniqueFd& fd : all) ASSERT_NE(read_text(fd, "<y>").find("<y>"), std::string::npos);
  EXPECT_EQ(server_->stats().connections, 2'000U);
  expect_alive();
}

TEST_F(HostileTest, ClientThatNeverReadsIsCutOff) {
  serve({.write_timeout = 200ms});
  const auto fd = connect_to(server_->port());
  const std::string body(std::size_t{8} << 20U, 'x');
  ASSERT_TRUE(
      send_text(fd, "POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n"));
  ASSERT_TRUE(send_text(fd, body));
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (server_->stats().connections > 0 && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(server_->stats().connections, 0U);
}

}  // namespace
}  // namespace cacs::net
