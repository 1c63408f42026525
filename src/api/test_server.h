#pragma once

#include <gtest/gtest.h>

#include "api/fake_service.h"
#include "api/server.h"
#include "net/http_client.h"

/// A live server over a FakeService, and a client of it.
namespace cacs::api::testing {

class ServerTest : public ::testing::Test {
 protected:
  void start(ServerConfig config) {
    auto server = Server::start(std::move(config), service_);
    ASSERT_TRUE(server.ok()) << server.error().to_string();
    server_ = std::move(server).value();
    client_ = std::make_unique<net::HttpClient>(net::ClientOptions{.base_url = server_->url()});
  }
  void SetUp() override { start({.no_auth = true}); }

  net::ClientResponse call(const std::string& method, const std::string& target, std::string body = {},
                           const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    net::ClientRequest request{.method = method, .target = target, .body = std::move(body)};
    for (const auto& [name, value] : headers) request.headers.add(name, value);
    auto answer = client_->send(request);
    EXPECT_TRUE(answer.ok()) << method << " " << target << ": " << answer.error().to_string();
    return answer.ok() ? std::move(answer).value() : net::ClientResponse{};
  }

  static JsonObject json(const net::ClientResponse& answer) {
    auto parsed = parse_json_object(answer.body, "answer");
    EXPECT_TRUE(parsed.ok()) << answer.body;
    return parsed.ok() ? std::move(parsed).value() : JsonObject();
  }

  /// Submits an application and gives its id.
  std::string submit(const std::string& name = "a") {
    const auto answer = call("POST", "/v1/coordinators", R"({"name":")" + name + R"(","command":["sleep","1"]})");
    EXPECT_EQ(answer.status, 201) << answer.body;
    return json_string_or(json(answer), "id", "");
  }

  /// A problem document with this status and type.
  static void expect_problem(const net::ClientResponse& answer, int status, std::string_view slug) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_EQ(answer.headers.get("Content-Type"), "application/problem+json");
    const JsonObject problem = json(answer);
    EXPECT_EQ(json_string_or(problem, "type", ""), "urn:cacs:problem:" + std::string(slug));
    EXPECT_EQ(json_int_or(problem, "status", 0), status);
    EXPECT_FALSE(json_string_or(problem, "detail", "").empty());
  }

  FakeService service_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<net::HttpClient> client_;
};

}  // namespace cacs::api::testing
