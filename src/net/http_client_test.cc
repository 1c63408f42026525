#include "net/http_client.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "net/http_server.h"
#include "net/test_http.h"

namespace cacs::net {
namespace {

using namespace std::chrono_literals;

class HttpClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto hang = [](const Request&, ResponseStream& stream) {
      if (!stream.start(Response{}).ok()) return;
      if (!stream.write("x").ok()) return;
      while (!stream.gone()) std::this_thread::sleep_for(5ms);
    };
    const auto big = [](const Request&) { return text_response(200, std::string(100'000, 'x')); };
    auto server =
        HttpServer::start({}, {{.method = "GET", .pattern = "/hang", .stream = hang},
                               {.method = "GET", .pattern = "/big", .kind = RouteKind::kInline, .handler = big}});
    ASSERT_TRUE(server.ok());
    server_ = std::move(server).value();
    options_.base_url = "http://127.0.0.1:" + std::to_string(server_->port());
  }
  std::unique_ptr<HttpServer> server_;
  ClientOptions options_;
};

TEST_F(HttpClientTest, TimeoutIsATimeout) {
  const auto answer = HttpClient(options_).send({.target = "/hang", .timeout = 100ms});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, ErrorCode::kTimeout);
}

TEST_F(HttpClientTest, AnswersAreBounded) {
  options_.max_response_bytes = 99'999;
  const auto answer = HttpClient(options_).send({.target = "/big"});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, ErrorCode::kTooLarge);
}

TEST_F(HttpClientTest, StopGivesACallUpAtOnce) {
  std::stop_source source;
  std::latch started(1);
  HttpClient client(options_);
  std::jthread stopper([&] {
    started.wait();
    source.request_stop();
  });
  const auto answer =
      client.stream({.target = "/hang", .timeout = 0ms, .stop = source.get_token()}, [&](std::string_view) {
        started.count_down();
        return true;
      });
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, ErrorCode::kAborted);
}

TEST_F(HttpClientTest, EnoughIsSuccess) {
  const auto answer =
      HttpClient(options_).stream({.target = "/hang", .timeout = 0ms}, [](std::string_view) { return false; });
  ASSERT_TRUE(answer.ok()) << answer.error().to_string();
  EXPECT_EQ(answer->status, 200);
}

TEST_F(HttpClientTest, ManyThreadsShareOneClient) {
  HttpClient client(options_);
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 20; ++j) {
          const auto answer = client.send({.target = "/big"});
          if (answer.ok() && answer->body.size() == 100'000) ++good;
        }
      });
    }
  }
  EXPECT_EQ(good, 160);
}

TEST_F(HttpClientTest, NobodyThereIsUnavailable) {
  server_->stop();
  EXPECT_EQ(HttpClient(options_).send({.target = "/big"}).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(HttpClient({.unix_socket = "/nonexistent/socket"}).send({}).error().code, ErrorCode::kUnavailable);
}

TEST_F(HttpClientTest, ErrorDocumentsBecomeErrors) {
  const auto answer = HttpClient(options_).send({.target = "/nowhere"});
  ASSERT_TRUE(answer.ok());
  const Status status = expect_success(*answer, "look");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(status.error().type, "no-such-path");
  const ClientResponse agent{.status = 409,
                             .body = R"({"code":"stale","message":"m","hint":"h","type":"t","errno":0})"};
  EXPECT_EQ(expect_success(agent, "look").error().code, ErrorCode::kStale);
}

TEST_F(HttpClientTest, HeaderInjectionIsRefused) {
  ClientRequest request;
  request.headers.add("X", "a\r\nY: b");
  EXPECT_EQ(HttpClient(options_).send(request).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cacs::net
