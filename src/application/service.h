#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "application/asr.h"
#include "application/node_wish.h"
#include "application/views.h"
#include "base/hash.h"
#include "base/result.h"

namespace cacs::application {

/// Who asks, and how a repeated request is known again.
struct Caller {
  std::string tenant = "default";
  std::string idempotency_key;  ///< empty: none given
  Digest request_digest;        ///< of method, path and body: the same key with another digest is kConflict
};

struct ListFilter {
  std::string state;
  std::string cloud;
  std::string name;
  std::size_t limit = 100;
  std::string cursor;  ///< id of the last item of the page before
};

template <typename T>
struct Page {
  std::vector<T> items;
  std::string next_cursor;  ///< empty: this is the last page
};

/// What was started, and the operation that tells how it goes.
struct Started {
  std::string id;  ///< of the application or checkpoint made; may be empty
  std::string operation;
  bool replayed = false;  ///< the idempotency key had been used: nothing new was started
};

/// The Application Manager as the API sees it. Every call may be made from any thread at any time. Calls marked
/// (durable) return only after what they say is in the database and survives a power loss; they may block for a disk's
/// time. The others answer from memory and never wait for a disk, a node or another caller.
class Service {
 public:
  virtual ~Service() = default;

  /// (durable) kInvalidArgument, kConflict (idempotency), kUnavailable (shutting down).
  virtual Result<Started> submit(const Caller& caller, const Asr& asr) = 0;
  virtual Result<Page<ApplicationView>> list(const Caller& caller, const ListFilter& filter) = 0;
  /// kNotFound. The pointer is to an immutable value, shared with other readers.
  virtual Result<std::shared_ptr<const ApplicationView>> get(const Caller& caller, std::string_view application) = 0;
  /// (durable) Starts termination: processes, nodes, checkpoints and record are gone when the operation has ended.
  virtual Result<Started> terminate(const Caller& caller, std::string_view application) = 0;

  virtual Result<Page<CheckpointView>> list_checkpoints(const Caller& caller, std::string_view application,
                                                        const ListFilter& filter) = 0;
  /// `checkpoint` may be "latest": the newest that is AVAILABLE.
  virtual Result<CheckpointView> get_checkpoint(const Caller& caller, std::string_view application,
                                                std::string_view checkpoint) = 0;
  /// (durable) kConflict when the application does not run.
  virtual Result<Started> take_checkpoint(const Caller& caller, std::string_view application) = 0;
  /// (durable) kConflict when a restart is under way already.
  /// `wish`: on other nodes than those that it has; kInvalidArgument for nodes that there are not.
  virtual Result<Started> restart(const Caller& caller, std::string_view application, std::string_view checkpoint,
                                  const std::optional<NodeWish>& wish) = 0;
  /// (durable)
  virtual Result<Started> delete_checkpoint(const Caller& caller, std::string_view application,
                                            std::string_view checkpoint) = 0;

  virtual Result<OperationView> get_operation(const Caller& caller, std::string_view operation) = 0;

  /// Events after `after_id`, oldest first, at most `limit`; of one application, or of all where it is empty. Waits up
  /// to `wait` for the first to come. Blocks its thread: call it from a thread that may.
  virtual Result<std::vector<EventView>> events(const Caller& caller, std::string_view application,
                                                std::uint64_t after_id, std::size_t limit,
                                                std::chrono::milliseconds wait) = 0;

  /// Output of pod-0 (or `pod`) from each of `positions`, which name a stream at most once: one chunk for each, in
  /// their order, of at most `limit` bytes. Waits up to `wait` for something to come on any of them; without a wait
  /// kUnavailable says that the node cannot be reached. Where a stream was rolled back since the reader was at its
  /// position, however far it has grown again, its chunk is a rollback to the offset up to which what the reader has is
  /// still true. A reader goes on from the chunk's incarnation and its end. Blocks.
  virtual Result<std::vector<LogChunk>> logs(const Caller& caller, std::string_view application, std::string_view pod,
                                             const std::vector<LogPosition>& positions, std::size_t limit,
                                             std::chrono::milliseconds wait) = 0;

  /// Runs a command in a pod to its end (docs/agent-api.md, exec). Blocks.
  virtual Result<JsonObject> exec(const Caller& caller, std::string_view application, const JsonObject& request) = 0;
  /// {savable, obstacles, warnings}. Blocks.
  virtual Result<JsonObject> explain(const Caller& caller, std::string_view application) = 0;

  virtual std::vector<std::string> clouds() = 0;
  virtual Result<std::vector<NodeView>> nodes(std::string_view cloud) = 0;

  /// Empty when the service can do its work; else why not (database gone, no node).
  virtual std::string not_ready_because() = 0;
};

}  // namespace cacs::application
