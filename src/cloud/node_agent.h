#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace cacs::cloud {

/// What of a pod's output is wanted: the streams that have an offset, from there.
struct LogQuery {
  std::optional<std::uint64_t> out;   ///< standard output
  std::optional<std::uint64_t> err;   ///< standard error
  std::size_t limit = 0;              ///< bytes of each at most
  std::chrono::milliseconds wait{0};  ///< for the first byte of any
};

/// The agent of one node, as managers see it: docs/agent-api.md call by call, with its JSON bodies. Every call blocks
/// until answered, may be made from any thread, and may be repeated. kUnavailable means that the agent could not be
/// reached and the call may or may not have taken effect; kStale that the node knows a newer incarnation.
class NodeAgent {
 public:
  virtual ~NodeAgent() = default;

  virtual Result<JsonObject> info() = 0;
  virtual Result<JsonObject> events(std::uint64_t after, std::string_view instance, std::chrono::milliseconds wait) = 0;

  virtual Result<JsonObject> list_pods() = 0;
  virtual Result<JsonObject> put_pod(std::string_view uid, const JsonObject& spec) = 0;
  virtual Result<JsonObject> get_pod(std::string_view uid) = 0;
  virtual Status delete_pod(std::string_view uid, int incarnation) = 0;
  /// Of a restored one: the application's other pods hear it from now on. kConflict when it does not run.
  virtual Status open_network(std::string_view uid, int incarnation) = 0;

  /// Asks a program that saves itself to do so. Blocks until it says that it has; `body` has its `timeout_ms`.
  virtual Result<JsonObject> ask_to_save(std::string_view uid, std::string_view checkpoint, const JsonObject& body) = 0;
  /// Blocks until the pod is frozen and everything needed is taken, or it failed.
  virtual Result<JsonObject> begin_cut(std::string_view uid, std::string_view checkpoint, const JsonObject& body) = 0;
  virtual Result<JsonObject> thaw(std::string_view uid, std::string_view checkpoint, int incarnation) = 0;
  virtual Result<JsonObject> abort_cut(std::string_view uid, std::string_view checkpoint, int incarnation) = 0;
  virtual Result<JsonObject> get_cut(std::string_view uid, std::string_view checkpoint,
                                     std::chrono::milliseconds wait) = 0;

  virtual Result<JsonObject> commit_checkpoint(std::string_view checkpoint, const JsonObject& body) = 0;
  virtual Result<JsonObject> list_checkpoints() = 0;
  virtual Result<JsonObject> get_checkpoint(std::string_view checkpoint) = 0;
  virtual Result<JsonObject> verify_checkpoint(std::string_view checkpoint) = 0;
  virtual Status delete_checkpoint(std::string_view checkpoint) = 0;
  /// A ticket by which another node gets what this one has of a pod ("pod-0") of the checkpoint. kNotFound: nothing.
  virtual Result<std::string> permit_export(std::string_view checkpoint, std::string_view pod) = 0;

  virtual Status report_outcome(std::string_view uid, const JsonObject& body) = 0;
  virtual Result<JsonObject> logs(std::string_view uid, const LogQuery& query) = 0;
  /// The output of a pod ("pod-0") as a checkpoint has it; does not wait.
  virtual Result<JsonObject> checkpoint_logs(std::string_view checkpoint, std::string_view pod,
                                             const LogQuery& query) = 0;
  virtual Result<JsonObject> exec(std::string_view uid, const JsonObject& body) = 0;
  virtual Result<JsonObject> explain(std::string_view uid) = 0;
};

}  // namespace cacs::cloud
