#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "cloud/node_agent.h"
#include "net/http_client.h"

namespace cacs::agent {

/// An agent over its socket or the network: docs/agent-api.md, call by call. What the transport loses (no connection, a
/// broken one, no answer in time) is kUnavailable; what the agent refuses comes back as the error that it sent. Each
/// call has a time limit that fits it: its own wait or deadline and a margin where it has one.
class Client final : public cloud::NodeAgent {
 public:
  /// `socket`: the agent's unix socket (STATE/agent.sock). Nothing is connected yet.
  explicit Client(const std::filesystem::path& socket);
  /// One that is reached over the network.
  explicit Client(net::ClientOptions options);

  Result<JsonObject> info() override;
  Result<JsonObject> events(std::uint64_t after, std::string_view instance, std::chrono::milliseconds wait) override;

  Result<JsonObject> list_pods() override;
  Result<JsonObject> put_pod(std::string_view uid, const JsonObject& spec) override;
  Result<JsonObject> get_pod(std::string_view uid) override;
  Status delete_pod(std::string_view uid, int incarnation) override;
  Status open_network(std::string_view uid, int incarnation) override;

  Result<JsonObject> ask_to_save(std::string_view uid, std::string_view checkpoint, const JsonObject& body) override;
  Result<JsonObject> begin_cut(std::string_view uid, std::string_view checkpoint, const JsonObject& body) override;
  Result<JsonObject> thaw(std::string_view uid, std::string_view checkpoint, int incarnation) override;
  Result<JsonObject> abort_cut(std::string_view uid, std::string_view checkpoint, int incarnation) override;
  Result<JsonObject> get_cut(std::string_view uid, std::string_view checkpoint,
                             std::chrono::milliseconds wait) override;

  Result<JsonObject> commit_checkpoint(std::string_view checkpoint, const JsonObject& body) override;
  Result<JsonObject> list_checkpoints() override;
  Result<JsonObject> get_checkpoint(std::string_view checkpoint) override;
  Result<JsonObject> verify_checkpoint(std::string_view checkpoint) override;
  Status delete_checkpoint(std::string_view checkpoint) override;
  Result<std::string> permit_export(std::string_view checkpoint, std::string_view pod) override;

  Status report_outcome(std::string_view uid, const JsonObject& body) override;
  Result<JsonObject> logs(std::string_view uid, const cloud::LogQuery& query) override;
  Result<JsonObject> checkpoint_logs(std::string_view checkpoint, std::string_view pod,
                                     const cloud::LogQuery& query) override;
  Result<JsonObject> exec(std::string_view uid, const JsonObject& body) override;
  Result<JsonObject> explain(std::string_view uid) override;

 private:
  struct Call {
    std::string_view method;
    std::string target;
    const JsonObject* body = nullptr;
    std::chrono::milliseconds limit{10'000};
  };
  /// The answer's JSON object; an empty one for an answer without a body (204).
  Result<JsonObject> make(const Call& call);

  net::HttpClient http_;
};

}  // namespace cacs::agent
