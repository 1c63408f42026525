#include "api/openapi.h"

#include <gtest/gtest.h>

#include <set>

#include "api/application_cache.h"
#include "api/metrics.h"
#include "api/schema_check.h"
#include "api/test_server.h"
#include "net/sse.h"

namespace cacs::api {
namespace {

using testing::violation;

class OpenApiTest : public testing::ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    document_ = json(call("GET", "/v1/openapi.json"));
    id_ = submit();
    service_.print("output\n");
    service_.end();
    call("POST", "/v1/coordinators/" + id_ + "/checkpoints");
    operation_ = json_string_or(json(call("POST", "/v1/coordinators/" + id_ + "/checkpoints")), "id", "");
  }

  /// A path with its parameters filled in.
  std::string fill(std::string path) const {
    const std::vector<std::pair<std::string, std::string>> values = {{"/coordinators/{id}", "/coordinators/" + id_},
                                                                     {"{cid}", "latest"},
                                                                     {"/operations/{id}", "/operations/" + operation_},
                                                                     {"{name}", "local"},
                                                                     {"/nodes/{id}", "/nodes/local-0"}};
    for (const auto& [from, to] : values) {
      if (const std::size_t at = path.find(from); at != std::string::npos) path.replace(at, from.size(), to);
    }
    return path;
  }

  std::string body_for(const JsonObject& operation) const {
    const JsonObject* body = json_find_object(operation, "requestBody");
    if (body == nullptr || !body->at("required").as_bool()) return {};
    const std::string text = R"({"command":["true"]})";
    const Json& schema = body->at("content").at("application/json").at("schema");
    EXPECT_EQ(violation(parse_json(text, "body").value(), schema, document_), "");
    return text;
  }

  void check_json(const std::string& where, const JsonObject& operation, const net::ClientResponse& answer) const {
    const JsonObject& responses = operation.at("responses").as_object();
    const Json* described = responses.if_contains(std::to_string(answer.status));
    ASSERT_NE(described, nullptr) << where << " answered " << answer.status << ": " << answer.body;
    const std::string media = media_type(answer.headers.get("Content-Type"));
    const Json* content = described->at("content").as_object().if_contains(media);
    ASSERT_NE(content, nullptr) << where << " answered with " << media;
    EXPECT_EQ(described->as_object().contains("headers"), answer.headers.find("Location") != nullptr) << where;
    if (media.find("json") == std::string::npos) return;
    const auto parsed = parse_json(answer.body, "answer");
    ASSERT_TRUE(parsed.ok()) << where;
    EXPECT_EQ(violation(*parsed, content->at("schema"), document_), "") << where << ": " << answer.body;
  }

  void check_stream(const std::string& where, const std::string& target, const Json& schema) {
    std::vector<net::SseEvent> seen;
    net::SseParser parser([&](const net::SseEvent& event) { seen.push_back(event); });
    net::ClientRequest request{.target = target};
    request.headers.add("Accept", "text/event-stream");
    const auto answer =
        client_->stream(request, [&](std::string_view data) { return parser.feed(data) && seen.empty(); });
    ASSERT_TRUE(answer.ok()) << where;
    ASSERT_FALSE(seen.empty()) << where;
    for (const auto& event : seen) {
      EXPECT_EQ(violation(parse_json(event.data, "event").value(), schema, document_), "")
          << where << ": " << event.data;
    }
  }

  JsonObject document_;
  std::string id_;
  std::string operation_;
};

TEST_F(OpenApiTest, EveryOperationAnswersAsTheDocumentSays) {
  std::vector<std::function<void()>> last;  // what ends the application comes last
  std::size_t driven = 0;
  for (const auto& path : document_.at("paths").as_object()) {
    for (const auto& method : path.value().as_object()) {
      const JsonObject& operation = method.value().as_object();
      std::string verb(method.key());
      for (char& c : verb) c = static_cast<char>(std::toupper(c));
      const std::string target = "/v1" + fill(std::string(path.key()));
      const std::string where = verb + " " + std::string(path.key());
      const auto drive = [this, where, verb, target, &operation] {
        check_json(where, operation, call(verb, target, body_for(operation)));
        const Json* content = operation.at("responses").as_object().if_contains("200");
        if (content == nullptr) return;
        if (const Json* stream = content->at("content").as_object().if_contains("text/event-stream")) {
          check_stream(where, target, stream->at("schema"));
        }
      };
      if (verb == "DELETE") {
        last.insert(path.key().find("{cid}") == std::string_view::npos ? last.end() : last.begin(), drive);
      } else {
        drive();
      }
      ++driven;
    }
  }
  for (const auto& drive : last) drive();
  EXPECT_EQ(driven, all_operations().size());
}

TEST_F(OpenApiTest, EveryOperationsErrorsAreProblems) {
  const Json schema = JsonObject{{"$ref", "#/components/schemas/Problem"}};
  for (const Operation& operation : all_operations()) {
    const std::string target = "/v1" + fill(operation.path) + "?no-such-parameter=1";
    const auto answer = call(operation.method, target);
    expect_problem(answer, 400, "bad-query");
    EXPECT_EQ(violation(parse_json(answer.body, "answer").value(), schema, document_), "") << target;
  }
}

TEST_F(OpenApiTest, RoutesAndDocumentAgreeBothWays) {
  std::set<std::string> documented;
  for (const auto& path : document_.at("paths").as_object()) {
    for (const auto& method : path.value().as_object()) {
      std::string verb(method.key());
      for (char& c : verb) c = static_cast<char>(std::toupper(c));
      documented.insert(verb + " " + std::string(path.key()));
    }
  }
  std::set<std::string> routed;
  const std::vector<Operation> operations = all_operations();
  Metrics metrics(operations);
  ApplicationCache cache;
  Backend backend{.service = service_, .metrics = metrics, .cache = cache, .stats = {}, .openapi = {}};
  for (const net::Route& route : routes_of(operations, backend)) {
    const bool versioned = route.pattern.starts_with("/v1/");
    routed.insert(route.method + " " + (versioned ? route.pattern.substr(3) : route.pattern));
  }
  EXPECT_EQ(documented, routed);
  // And the contract's own table, by hand: what must be there whatever the code says.
  for (const std::string wanted : {"GET /coordinators",
                                   "POST /coordinators",
                                   "GET /coordinators/{id}",
                                   "DELETE /coordinators/{id}",
                                   "GET /coordinators/{id}/checkpoints",
                                   "POST /coordinators/{id}/checkpoints",
                                   "GET /coordinators/{id}/checkpoints/{cid}",
                                   "POST /coordinators/{id}/checkpoints/{cid}",
                                   "DELETE /coordinators/{id}/checkpoints/{cid}",
                                   "POST /coordinators/{id}/clone",
                                   "POST /coordinators/{id}/migrate",
                                   "POST /coordinators/{id}/suspend",
                                   "POST /coordinators/{id}/resume",
                                   "GET /coordinators/{id}/logs",
                                   "POST /coordinators/{id}/exec",
                                   "GET /coordinators/{id}/explain",
                                   "GET /coordinators/{id}/events",
                                   "GET /events",
                                   "GET /operations/{id}",
                                   "GET /clouds",
                                   "GET /clouds/{name}/nodes",
                                   "POST /nodes/{id}/drain",
                                   "GET /healthz",
                                   "GET /readyz",
                                   "GET /metrics",
                                   "GET /version",
                                   "GET /openapi.json"}) {
    EXPECT_TRUE(documented.contains(wanted)) << wanted;
  }
}

TEST_F(OpenApiTest, TheCheckFindsWhatIsWrong) {
  const Json schema = JsonObject{{"$ref", "#/components/schemas/Application"}};
  JsonObject good = json(call("GET", "/v1/coordinators/" + id_));
  EXPECT_EQ(violation(good, schema, document_), "");
  JsonObject lacks = good;
  lacks.erase("asr");
  EXPECT_EQ(violation(lacks, schema, document_), "$: lacks asr");
  JsonObject state = good;
  state["state"] = "SLEEPING";
  EXPECT_EQ(violation(state, schema, document_), "$.state: not one of the enum");
  JsonObject time = good;
  time["created_at"] = "yesterday";
  EXPECT_EQ(violation(time, schema, document_), "$.created_at: does not match the pattern");
}

}  // namespace
}  // namespace cacs::api
