#include "net/http_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <latch>

#include "net/http_client.h"
#include "net/test_http.h"

namespace cacs::net {
namespace {

using namespace std::chrono_literals;

Route echo(RouteKind kind, std::string pattern) {
  return {.method = "POST", .pattern = std::move(pattern), .kind = kind, .handler = [](const Request& request) {
            return text_response(200, request.method + " " + request.path + " " + request.body);
          }};
}

std::unique_ptr<HttpServer> serve(std::vector<Route> routes, ServerOptions options = {}) {
  auto server = HttpServer::start(std::move(options), std::move(routes));
  EXPECT_TRUE(server.ok()) << server.error().to_string();
  return std::move(server).value();
}

HttpClient client_of(const HttpServer& server) {
  return HttpClient({.base_url = "http://127.0.0.1:" + std::to_string(server.port())});
}

TEST(HttpServer, AnswersFromEveryKindOfRoute) {
  const auto server = serve(
      {echo(RouteKind::kInline, "/inline"), echo(RouteKind::kBlocking, "/blocking"), echo(RouteKind::kLong, "/long")});
  HttpClient client = client_of(*server);
  for (const std::string path : {"/inline", "/blocking", "/long"}) {
    const auto answer = client.send({.method = "POST", .target = path, .body = "body"});
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "POST " + path + " body");
  }
  EXPECT_EQ(server->stats().accepted, 1U) << "the connection was not kept";
}

TEST(HttpServer, ParametersQueryAndHeadersReachTheHandler) {
  const auto server =
      serve({{.method = "GET", .pattern = "/a/{id}", .kind = RouteKind::kInline, .handler = [](const Request& request) {
                return text_response(200, request.param("id") + "|" + *find_query(request.query, "q") + "|" +
                                              std::string(request.headers.get("X-Y")));
              }}});
  ClientRequest request{.target = "/a/x%20y?q=1%262"};
  request.headers.add("x-y", "z");
  EXPECT_EQ(client_of(*server).send(request)->body, "x y|1&2|z");
}

TEST(HttpServer, HeadHasTheLengthButNoBody) {
  const auto server =
      serve({{.method = "GET", .pattern = "/a", .kind = RouteKind::kInline, .handler = [](const Request&) {
                return text_response(200, "12345");
              }}});
  const auto fd = testing::connect_to(server->port());
  ASSERT_TRUE(testing::send_text(fd, "HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  const std::string answer = testing::read_text(fd);
  EXPECT_NE(answer.find("Content-Length: 5\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST(HttpServer, UnknownPathAndMethodAreProblems) {
  const auto server = serve({echo(RouteKind::kInline, "/a")});
  HttpClient client = client_of(*server);
  EXPECT_EQ(client.send({.target = "/nowhere"})->status, 404);
  const auto answer = client.send({.method = "DELETE", .target = "/a"});
  EXPECT_EQ(answer->status, 405);
  EXPECT_EQ(answer->headers.get("Allow"), "POST");
}

TEST(HttpServer, GateRefusesBeforeTheBody) {
  ServerOptions options;
  options.gate = [](const Request&) {
    return problem_response(make_error(ErrorCode::kUnauthenticated, "who are you"));
  };
  const auto server = serve({echo(RouteKind::kInline, "/a")}, std::move(options));
  const auto fd = testing::connect_to(server->port());
  ASSERT_TRUE(testing::send_text(fd, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"));
  EXPECT_TRUE(testing::read_text(fd, "who are you").starts_with("HTTP/1.1 401 "));
}

TEST(HttpServer, ExpectContinueIsMet) {
  const auto server = serve({echo(RouteKind::kInline, "/a")});
  const auto fd = testing::connect_to(server->port());
  ASSERT_TRUE(testing::send_text(
      fd, "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_EQ(testing::read_text(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(testing::send_text(fd, "hi"));
  EXPECT_TRUE(testing::read_text(fd).ends_with("POST /a hi"));
}

TEST(HttpServer, FullPoolIs503AndStreamsDoNotStarveIt) {
  ServerOptions options;
  options.limits.workers = 1;
  options.limits.worker_queue = 1;
  options.limits.long_answers = 1;
  std::latch release(1);
  std::latch entered(2);
  const auto wait = [&](const Request&) {
    entered.count_down();
    release.wait();
    return text_response(200, "done");
  };
  const auto server = serve({{.method = "GET", .pattern = "/block", .kind = RouteKind::kBlocking, .handler = wait},
                             {.method = "GET", .pattern = "/long", .kind = RouteKind::kLong, .handler = wait}},
                            std::move(options));
  HttpClient client = client_of(*server);
  auto first = std::async(std::launch::async, [&] { return client.send({.target = "/block"})->status; });
  auto second = std::async(std::launch::async, [&] { return client.send({.target = "/long"})->status; });
  entered.wait();
  const auto refused = client.send({.target = "/long"});
  EXPECT_EQ(refused->status, 503);
  EXPECT_EQ(refused->headers.get("Retry-After"), "1");
  release.count_down();
  EXPECT_EQ(first.get(), 200);
  EXPECT_EQ(second.get(), 200);
}

TEST(HttpServer, StreamsPieceByPieceAndTheConnectionGoesOn) {
  std::latch got_first(1);
  const auto server = serve({{.method = "GET", .pattern = "/s", .stream = [&](const Request&, ResponseStream& stream) {
                                Response head;
                                head.headers.add("Content-Type", "text/event-stream");
                                EXPECT_TRUE(stream.start(head).ok());
                                EXPECT_TRUE(stream.write("one").ok());
                                got_first.wait();
                                EXPECT_TRUE(stream.write("two").ok());
                              }}});
  HttpClient client = client_of(*server);
  for (int i = 0; i < 2; ++i) {
    std::string all;
    const auto answer = client.stream({.target = "/s"}, [&](std::string_view data) {
      all += data;
      if (all == "one" && i == 0) got_first.count_down();
      return true;
    });
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    EXPECT_EQ(all, "onetwo");
  }
  EXPECT_EQ(server->stats().accepted, 1U);
}

TEST(HttpServer, StreamLearnsThatTheClientHasGone) {
  std::promise<bool> ended;
  const auto server = serve({{.method = "GET", .pattern = "/s", .stream = [&](const Request&, ResponseStream& stream) {
                                bool ok = stream.start(Response{}).ok();
                                const std::string piece(100'000, 'x');
                                while (ok) ok = stream.write(piece).ok();
                                ended.set_value(stream.gone());
                              }}});
  {
    const auto fd = testing::connect_to(server->port());
    ASSERT_TRUE(testing::send_text(fd, "GET /s HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_NE(testing::read_text(fd, "xxxx").find("xxxx"), std::string::npos);
  }
  auto future = ended.get_future();
  ASSERT_EQ(future.wait_for(10s), std::future_status::ready);
  EXPECT_TRUE(future.get());
}

TEST(HttpServer, UnixSocketHasModeAndTellsThePeer) {
  const std::string path = ::testing::TempDir() + "net" + std::to_string(::getpid()) + ".sock";
  ServerOptions options;
  options.unix_socket = path;
  auto server = serve({{.method = "GET",
                        .pattern = "/who",
                        .kind = RouteKind::kInline,
                        .handler =
                            [](const Request& request) {
                              return text_response(200, std::to_string(request.peer.uid.value_or(12345)));
                            }}},
                      options);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  HttpClient client({.unix_socket = path});
  EXPECT_EQ(client.send({.target = "/who"})->body, std::to_string(::getuid()));
  EXPECT_EQ(HttpServer::start(options, {}).error().code, ErrorCode::kConflict);
  server->stop();
  EXPECT_NE(::stat(path.c_str(), &status), 0);
}

TEST(HttpServer, StopLetsAnswersInFlightFinish) {
  std::latch entered(1);
  std::latch release(1);
  auto server = serve({{.method = "GET", .pattern = "/a", .kind = RouteKind::kBlocking, .handler = [&](const Request&) {
                          entered.count_down();
                          release.wait();
                          return text_response(200, "whole");
                        }}});
  HttpClient client = client_of(*server);
  auto answer = std::async(std::launch::async, [&] { return client.send({.target = "/a"}); });
  entered.wait();
  auto stopped = std::async(std::launch::async, [&] { server->stop(); });
  EXPECT_EQ(stopped.wait_for(100ms), std::future_status::timeout);
  release.count_down();
  stopped.get();
  const auto result = answer.get();
  ASSERT_TRUE(result.ok()) << result.error().to_string();
  EXPECT_EQ(result->body, "whole");
  EXPECT_EQ(client.send({.target = "/a"}).error().code, ErrorCode::kUnavailable);
}

TEST(HttpServer, AddressInUseIsToldWithAHint) {
  const auto server = serve({});
  ServerOptions options;
  options.port = server->port();
  const auto second = HttpServer::start(options, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(second.error().hint.empty());
}

}  // namespace
}  // namespace cacs::net
