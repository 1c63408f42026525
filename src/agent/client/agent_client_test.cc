#include "agent/client/agent_client.h"

#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "net/http_server.h"

namespace cacs::agent {
namespace {

using namespace std::chrono_literals;

/// A real server on a unix socket that answers every route of docs/agent-api.md with what it was asked.
class AgentClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cacs-client-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    socket_ = directory_ / "agent.sock";
    start();
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void start() {
    constexpr auto kRoutes = std::to_array<std::pair<const char*, const char*>>({
        {"GET", "/v1/info"},
        {"GET", "/v1/events"},
        {"GET", "/v1/pods"},
        {"PUT", "/v1/pods/{uid}"},
        {"GET", "/v1/pods/{uid}"},
        {"DELETE", "/v1/pods/{uid}"},
        {"POST", "/v1/pods/{uid}/cuts/{checkpoint}"},
        {"POST", "/v1/pods/{uid}/cuts/{checkpoint}/thaw"},
        {"POST", "/v1/pods/{uid}/cuts/{checkpoint}/abort"},
        {"GET", "/v1/pods/{uid}/cuts/{checkpoint}"},
        {"PUT", "/v1/checkpoints/{checkpoint}"},
        {"GET", "/v1/checkpoints"},
        {"GET", "/v1/checkpoints/{checkpoint}"},
        {"GET", "/v1/checkpoints/{checkpoint}/verify"},
        {"GET", "/v1/checkpoints/{checkpoint}/logs"},
        {"POST", "/v1/checkpoints/{checkpoint}/exports"},
        {"DELETE", "/v1/checkpoints/{checkpoint}"},
        {"POST", "/v1/pods/{uid}/outcome"},
        {"POST", "/v1/pods/{uid}/network"},
        {"GET", "/v1/pods/{uid}/logs"},
        {"POST", "/v1/pods/{uid}/exec"},
        {"GET", "/v1/pods/{uid}/explain"},
    });
    std::vector<net::Route> routes;
    for (const auto& [method, pattern] : kRoutes) {
      routes.push_back({.method = method,
                        .pattern = pattern,
                        .handler = [this](const net::Request& request) { return answer(request); },
                        .stream = {}});
    }
    net::ServerOptions options;
    options.unix_socket = socket_;
    auto started = net::HttpServer::start(std::move(options), std::move(routes));
    ASSERT_TRUE(started.ok()) << started.error().to_string();
    server_ = std::move(*started);
  }

  net::Response answer(const net::Request& request) {
    const std::scoped_lock lock(mutex_);
    last_ = request.method + " " + request.target + " " + request.body;
    if (failure_) {
      return net::json_response(net::status_of(failure_->code), boost::json::serialize(error_to_json(*failure_)));
    }
    if (request.method == "DELETE") return net::json_response(204, "");
    return net::json_response(
        200, boost::json::serialize(JsonObject{
                 {"method", request.method}, {"target", request.target}, {"body", request.body}, {"ticket", "0ab1"}}));
  }

  static void expect_call(const Result<JsonObject>& seen, std::string_view method, std::string_view target,
                          std::string_view body = "") {
    ASSERT_TRUE(seen.ok()) << seen.error().to_string();
    EXPECT_EQ(json_string_or(*seen, "method", ""), method);
    EXPECT_EQ(json_string_or(*seen, "target", ""), target);
    EXPECT_EQ(json_string_or(*seen, "body", ""), body);
  }

  std::filesystem::path directory_;
  std::filesystem::path socket_;
  std::mutex mutex_;
  std::optional<Error> failure_;
  std::string last_;
  std::unique_ptr<net::HttpServer> server_;
};

TEST_F(AgentClientTest, MakesEveryCallOfTheContract) {
  Client client(socket_);
  const JsonObject body{{"a", 1}};
  expect_call(client.info(), "GET", "/v1/info");
  expect_call(client.events(7, "inst 1", 20ms), "GET", "/v1/events?after=7&instance=inst%201&wait_ms=20");
  expect_call(client.list_pods(), "GET", "/v1/pods");
  expect_call(client.put_pod("app.pod-0", body), "PUT", "/v1/pods/app.pod-0", R"({"a":1})");
  expect_call(client.get_pod("app.pod-0"), "GET", "/v1/pods/app.pod-0");
  expect_call(client.begin_cut("u", "c", body), "POST", "/v1/pods/u/cuts/c", R"({"a":1})");
  expect_call(client.thaw("u", "c", 3), "POST", "/v1/pods/u/cuts/c/thaw", R"({"incarnation":3})");
  expect_call(client.abort_cut("u", "c", 3), "POST", "/v1/pods/u/cuts/c/abort", R"({"incarnation":3})");
  expect_call(client.get_cut("u", "c", 5ms), "GET", "/v1/pods/u/cuts/c?wait_ms=5");
  expect_call(client.commit_checkpoint("c", body), "PUT", "/v1/checkpoints/c", R"({"a":1})");
  expect_call(client.list_checkpoints(), "GET", "/v1/checkpoints");
  expect_call(client.get_checkpoint("c"), "GET", "/v1/checkpoints/c");
  expect_call(client.verify_checkpoint("c"), "GET", "/v1/checkpoints/c/verify");
  expect_call(client.logs("u", {.out = 5, .err = {}, .limit = 6, .wait = 7ms}), "GET",
              "/v1/pods/u/logs?stdout=5&limit=6&wait_ms=7");
  expect_call(client.logs("u", {.out = 5, .err = 0, .limit = 6, .wait = 7ms}), "GET",
              "/v1/pods/u/logs?stdout=5&stderr=0&limit=6&wait_ms=7");
  expect_call(client.checkpoint_logs("c", "pod-0", {.out = {}, .err = 3, .limit = 6}), "GET",
              "/v1/checkpoints/c/logs?stderr=3&limit=6&pod=pod-0");
  expect_call(client.exec("u", body), "POST", "/v1/pods/u/exec", R"({"a":1})");
  expect_call(client.explain("u"), "GET", "/v1/pods/u/explain");
  EXPECT_TRUE(client.report_outcome("u", body).ok());
  EXPECT_EQ(last_, R"(POST /v1/pods/u/outcome {"a":1})");
  EXPECT_TRUE(client.open_network("u", 4).ok());
  EXPECT_EQ(last_, R"(POST /v1/pods/u/network {"incarnation":4})");
  EXPECT_TRUE(client.delete_pod("u", 4).ok());
  EXPECT_EQ(last_, "DELETE /v1/pods/u?incarnation=4 ");
  const auto ticket = client.permit_export("c", "pod-1");
  ASSERT_TRUE(ticket.ok()) << ticket.error().to_string();
  EXPECT_EQ(*ticket, "0ab1");
  EXPECT_EQ(last_, R"(POST /v1/checkpoints/c/exports {"pod":"pod-1"})");
  EXPECT_TRUE(client.delete_checkpoint("c").ok());
  EXPECT_EQ(last_, "DELETE /v1/checkpoints/c ");
}

TEST_F(AgentClientTest, NamesCannotLeaveTheirPlaceInThePath) {
  Client client(socket_);
  expect_call(client.get_pod("../x?y=1"), "GET", "/v1/pods/..%2Fx%3Fy%3D1");
}

TEST_F(AgentClientTest, AnAgentsErrorComesBackWhole) {
  Client client(socket_);
  failure_ = make_error(ErrorCode::kStale, "a newer incarnation is here", "do nothing").with_type("newer");
  const auto refused = client.thaw("u", "c", 1);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kStale);
  EXPECT_EQ(refused.error().type, "newer");
  EXPECT_EQ(refused.error().hint, "do nothing");
  EXPECT_NE(refused.error().message.find("a newer incarnation is here"), std::string::npos);
}

TEST_F(AgentClientTest, AnAgentThatIsGoneIsUnavailableAndOneThatCameBackServesAgain) {
  Client client(socket_);
  ASSERT_TRUE(client.info().ok());
  server_.reset();
  const auto gone = client.info();
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code, ErrorCode::kUnavailable) << gone.error().to_string();
  start();
  EXPECT_TRUE(client.info().ok());
}

}  // namespace
}  // namespace cacs::agent
