#include "api/server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "api/test_server.h"
#include "base/io.h"

namespace cacs::api {
namespace {

using testing::ServerTest;

TEST_F(ServerTest, SubmitShowListTerminate) {
  const auto answer = call("POST", "/v1/coordinators", R"({"name":"lj","command":["lmp"]})");
  ASSERT_EQ(answer.status, 201) << answer.body;
  const std::string id = json_string_or(json(answer), "id", "");
  EXPECT_EQ(answer.headers.get("Location"), "/v1/coordinators/" + id);
  const JsonObject shown = json(call("GET", "/v1/coordinators/" + id));
  EXPECT_EQ(shown.at("name"), "lj");
  EXPECT_EQ(shown.at("asr").at("command"), (JsonArray{"lmp"}));
  EXPECT_EQ(shown.at("events").as_array().size(), 1U);
  const JsonObject list = json(call("GET", "/v1/coordinators"));
  ASSERT_EQ(list.at("items").as_array().size(), 1U);
  EXPECT_FALSE(list.at("items").as_array()[0].as_object().contains("asr"));
  const auto gone = call("DELETE", "/v1/coordinators/" + id);
  EXPECT_EQ(gone.status, 202);
  EXPECT_EQ(json(call("GET", std::string(gone.headers.get("Location")))).at("kind"), "delete");
  expect_problem(call("GET", "/v1/coordinators/" + id), 404, "not-found");
}

TEST_F(ServerTest, PathsWithoutPrefixAreTheSame) {
  const auto answer = call("POST", "/coordinators", R"({"command":["lmp"]})");
  const std::string id = json_string_or(json(answer), "id", "");
  EXPECT_EQ(answer.headers.get("Location"), "/coordinators/" + id);
  EXPECT_EQ(call("GET", "/coordinators/" + id).body, call("GET", "/v1/coordinators/" + id).body);
}

TEST_F(ServerTest, ShownIsAlwaysTheNewestView) {
  const std::string id = submit("old");
  EXPECT_EQ(json(call("GET", "/v1/coordinators/" + id)).at("name"), "old");
  service_.rename(id, "new");
  EXPECT_EQ(json(call("GET", "/v1/coordinators/" + id)).at("name"), "new");
}

TEST_F(ServerTest, ListsArePaged) {
  for (int i = 0; i < 5; ++i) submit();
  std::string cursor;
  std::size_t seen = 0;
  for (int page = 0; page < 3; ++page) {
    const JsonObject list = json(call("GET", "/v1/coordinators?limit=2&cursor=" + cursor));
    seen += list.at("items").as_array().size();
    EXPECT_EQ(list.at("next_cursor").is_null(), page == 2);
    cursor = json_string_or(list, "next_cursor", "");
  }
  EXPECT_EQ(seen, 5U);
  for (const std::string bad : {"0", "1001", "-1", "x", "99999999999999999999"}) {
    expect_problem(call("GET", "/v1/coordinators?limit=" + bad), 400, "bad-query");
  }
}

TEST_F(ServerTest, WrongQueriesNameTheNearest) {
  const auto unknown = call("GET", "/v1/coordinators?stat=RUNNING");
  expect_problem(unknown, 400, "bad-query");
  EXPECT_NE(unknown.body.find("did you mean 'state'?"), std::string::npos) << unknown.body;
  const auto value = call("GET", "/v1/coordinators?state=RUNING");
  expect_problem(value, 400, "bad-query");
  EXPECT_NE(value.body.find("did you mean 'RUNNING'?"), std::string::npos) << value.body;
  expect_problem(call("GET", "/v1/coordinators?name=a&name=b"), 400, "bad-query");
  expect_problem(call("GET", "/v1/healthz?x=1"), 400, "bad-query");
}

TEST_F(ServerTest, CheckpointsLatestAndRestart) {
  const std::string base = "/v1/coordinators/" + submit() + "/checkpoints";
  expect_problem(call("GET", base + "/latest"), 404, "not-found");
  const auto taken = call("POST", base);
  EXPECT_EQ(taken.status, 202) << taken.body;
  EXPECT_EQ(call("POST", base, "{}").status, 202);
  expect_problem(call("POST", base, R"({"x":1})"), 400, "unknown-field");
  const JsonObject latest = json(call("GET", base + "/latest"));
  EXPECT_EQ(latest.at("state"), "AVAILABLE");
  EXPECT_EQ(json(call("GET", base)).at("items").as_array().size(), 2U);
  const auto restarted = call("POST", base + "/latest");
  EXPECT_EQ(restarted.status, 202);
  EXPECT_EQ(json(restarted).at("kind"), "restart");
  EXPECT_EQ(call("DELETE", base + "/" + json_string_or(latest, "id", "")).status, 202);
  EXPECT_EQ(json(call("GET", base)).at("items").as_array().size(), 1U);
}

TEST_F(ServerTest, WhatComesLaterIs501) {
  const std::string base = "/v1/coordinators/" + submit();
  const std::vector<std::pair<std::string, std::string>> upload = {{"Content-Type", "application/vnd.cacs.checkpoint"}};
  const std::vector<std::pair<std::string, std::string>> download = {{"Accept", "application/vnd.cacs.checkpoint"}};
  expect_problem(call("POST", base + "/checkpoints", "bytes", upload), 501, "not-implemented");
  expect_problem(call("GET", base + "/checkpoints/latest", {}, download), 501, "not-implemented");
  for (const std::string verb : {"clone", "migrate", "suspend", "resume"}) {
    expect_problem(call("POST", base + "/" + verb), 501, "not-implemented");
  }
  expect_problem(call("POST", "/v1/nodes/local-0/drain"), 501, "not-implemented");
}

TEST_F(ServerTest, BadBodies) {
  expect_problem(call("POST", "/v1/coordinators"), 400, "invalid-argument");
  expect_problem(call("POST", "/v1/coordinators", "{"), 400, "invalid-argument");
  expect_problem(call("POST", "/v1/coordinators", "[]"), 400, "invalid-argument");
  expect_problem(call("POST", "/v1/coordinators", "{\"name\":\"\xff\"}"), 400, "invalid-argument");
  expect_problem(call("POST", "/v1/coordinators", std::string(2'000, '[')), 400, "invalid-argument");
  expect_problem(call("POST", "/v1/coordinators", R"({"comand":["x"]})"), 400, "unknown-field");
  expect_problem(call("POST", "/v1/coordinators", "a=1", {{"Content-Type", "application/x-www-form-urlencoded"}}), 415,
                 "unsupported-media-type");
  EXPECT_EQ(
      call("POST", "/v1/coordinators", R"({"command":["x"]})", {{"Content-Type", "Application/JSON; charset=utf-8"}})
          .status,
      201);
  expect_problem(call("DELETE", "/v1/coordinators/x", "{}"), 400, "invalid-argument");
  const std::string exec = "/v1/coordinators/" + submit() + "/exec";
  expect_problem(call("POST", exec, R"({"command":[]})"), 400, "invalid-argument");
  expect_problem(call("POST", exec, R"({"command":["a",1]})"), 400, "invalid-argument");
  const auto unknown = call("POST", exec, R"({"commnd":["a"]})");
  expect_problem(unknown, 400, "unknown-field");
  EXPECT_NE(unknown.body.find("did you mean 'command'?"), std::string::npos);
}

TEST_F(ServerTest, IdempotencyKeyAndItsDigest) {
  const std::vector<std::pair<std::string, std::string>> key = {{"Idempotency-Key", "k1"}};
  const auto first = call("POST", "/v1/coordinators", R"({"command":["x"]})", key);
  const auto again = call("POST", "/coordinators", R"({"command":["x"]})", key);
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(json(first).at("id"), json(again).at("id"));
  EXPECT_EQ(again.headers.get("Idempotency-Replayed"), "true");
  expect_problem(call("POST", "/v1/coordinators", R"({"command":["y"]})", key), 409, "conflict");
  expect_problem(call("POST", "/v1/coordinators", R"({"command":["y"]})", {{"Idempotency-Key", std::string(300, 'k')}}),
                 400, "bad-idempotency-key");
}

TEST_F(ServerTest, MethodsPathsAndHead) {
  const auto wrong = call("PUT", "/v1/coordinators", "{}");
  expect_problem(wrong, 405, "method-not-allowed");
  EXPECT_EQ(wrong.headers.get("Allow"), "GET, HEAD, POST");
  expect_problem(call("GET", "/v1/nothing"), 404, "no-such-path");
  expect_problem(call("GET", "/v2/coordinators"), 404, "no-such-path");
  const std::string target = "/v1/coordinators/" + submit();
  const auto head = call("HEAD", target);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.headers.get("Content-Length"), std::to_string(call("GET", target).body.size()));
}

TEST_F(ServerTest, ReadyTellsWhyNot) {
  EXPECT_EQ(call("GET", "/v1/readyz").status, 200);
  service_.set_not_ready("the database is gone");
  const auto answer = call("GET", "/readyz");
  expect_problem(answer, 503, "not-ready");
  EXPECT_NE(answer.body.find("the database is gone"), std::string::npos);
}

TEST_F(ServerTest, MetricsCountWhatWasAnswered) {
  const std::string id = submit();
  for (int i = 0; i < 3; ++i) call("GET", "/v1/coordinators/" + id);
  call("GET", "/v1/coordinators/unknown");
  const std::string text = call("GET", "/metrics").body;
  EXPECT_NE(text.find(R"(cacs_http_requests_total{method="GET",route="/coordinators/{id}",status="200"} 3)"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find(R"(cacs_http_requests_total{method="GET",route="/coordinators/{id}",status="404"} 1)"),
            std::string::npos);
  EXPECT_NE(text.find(R"(cacs_applications{state="RUNNING"} 1)"), std::string::npos);
  EXPECT_NE(text.find("cacs_http_request_duration_seconds_bucket"), std::string::npos);
  EXPECT_NE(text.find("cacs_http_connections "), std::string::npos);
  EXPECT_EQ(text.find(id), std::string::npos) << "an id in a label grows without bound";
}

TEST_F(ServerTest, TokenIsWantedEverywhereButHealthAndVersion) {
  const std::filesystem::path dir = ::testing::TempDir() + "cacs-api-" + std::to_string(::getpid());
  start({.token_file = dir / "token"});
  EXPECT_EQ(call("GET", "/v1/healthz").status, 200);
  EXPECT_EQ(call("GET", "/readyz").status, 200);
  EXPECT_EQ(call("GET", "/version").status, 200);
  for (const std::string closed : {"/v1/coordinators", "/metrics", "/v1/openapi.json", "/v1/events", "/v1/nothing"}) {
    expect_problem(call("GET", closed), 401, "unauthenticated");
  }
  const std::string token = read_text_file(dir / "token").value().substr(0, 64);
  EXPECT_EQ(call("GET", "/v1/coordinators", {}, {{"Authorization", "Bearer " + token}}).status, 200);
  EXPECT_TRUE(remove_tree(dir).ok());
}

TEST_F(ServerTest, NoAuthOnlyWhereOthersCannotConnect) {
  const auto open = Server::start({.address = "0.0.0.0", .no_auth = true}, service_);
  ASSERT_FALSE(open.ok());
  EXPECT_EQ(open.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(Server::start({.address = "127.0.0.1"}, service_).ok()) << "no token file was named";
}

TEST_F(ServerTest, BrowsersOfOtherSitesAreRefused) {
  expect_problem(call("GET", "/v1/coordinators", {}, {{"Origin", "http://evil.example"}}), 403, "cross-origin");
  expect_problem(call("GET", "/v1/coordinators", {}, {{"Host", "evil.example"}}), 421, "wrong-host");
}

}  // namespace
}  // namespace cacs::api
