#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/time.h"

/// What the managers tell of applications, checkpoints and operations: plain values, copied out under no lock of the
/// reader's. The API turns them into JSON (docs/api-resources.md gives the shapes, and says what each member means).
namespace cacs::application {

struct ExitView {
  std::string kind;  ///< exited, signaled, oom, unknown
  int code = 0;
  int signal = 0;
};

struct PodView {
  std::string pod;
  std::string node;
  std::string state;
  std::optional<ExitView> exit;
};

struct EventView {
  std::uint64_t id = 0;  ///< rises over the server's whole life; never reused
  WallTime time;
  std::string application;  ///< empty for events of the server itself
  std::string kind;         ///< "application.state", "checkpoint.state", ...: docs/api-resources.md
  std::string message;
  JsonObject data;
};

struct CheckpointView {
  std::string id;
  std::string application;
  std::string state;   ///< DUMPING, STORING, AVAILABLE, FAILED
  std::string reason;  ///< periodic, request, application, suspend, terminate
  std::optional<Error> problem;
  int incarnation = 0;
  WallTime created_at;
  std::optional<WallTime> available_at;
  std::uint64_t size_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::vector<std::string> levels;
  std::vector<std::string> pods;
  JsonObject compatibility;
  JsonObject timings;
};

struct ApplicationView {
  std::string id;
  std::string name;
  std::string state;
  std::string reason;  ///< why it is in this state, when that is not plain
  std::string cloud;
  std::string engine;
  int incarnation = 0;
  int attempts = 0;  ///< recoveries since the last progress
  WallTime created_at;
  std::optional<WallTime> started_at;
  WallTime updated_at;
  std::optional<WallTime> ended_at;
  std::vector<PodView> pods;
  std::vector<std::string> nodes;
  std::string health = "unknown";
  std::optional<ExitView> exit;
  std::string restored_from;
  std::optional<CheckpointView> last_checkpoint;
  int checkpoint_count = 0;
  std::optional<WallTime> next_checkpoint_at;
  std::optional<std::int64_t> progress;  ///< the last that the program reported, in units of its own
  std::string operation;                 ///< the one going on, or empty
  JsonObject asr;                        ///< as asr_to_json gives it
  std::vector<EventView> events;         ///< the newest few of its events, oldest first
};

struct OperationView {
  std::string id;
  std::string kind;  ///< submit, checkpoint, restart, delete, delete-checkpoint
  std::string application;
  std::string checkpoint;
  std::string state;  ///< RUNNING, SUCCEEDED, FAILED
  std::string phase;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
  std::optional<std::int64_t> eta_ms;
  WallTime created_at;
  WallTime updated_at;
  JsonObject result;
  std::optional<Error> problem;
};

/// How far a reader has come in one output stream.
struct LogPosition {
  std::string stream;   ///< stdout, stderr
  int incarnation = 0;  ///< the one that the bytes before `offset` were read in; 0: not known
  std::uint64_t offset = 0;
};

struct LogChunk {
  int incarnation = 0;  ///< 0: nothing is known of any; keep the one before
  std::string stream;
  std::uint64_t offset = 0;
  std::string data;       ///< bytes
  bool rollback = false;  ///< the stream went back to `offset`; no data
  bool end = false;       ///< nothing more will come: the application has ended
};

struct NodeView {
  std::string id;
  std::string cloud;
  std::string state;
  JsonObject info;  ///< what its agent says of it (docs/agent-api.md)
};

}  // namespace cacs::application
