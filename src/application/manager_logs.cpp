// The output of a pod, for readers that come and go: what its agent has, with the incarnations put into one line.

#include <fmt/format.h>

#include <algorithm>

#include "application/manager_core.h"
#include "base/base64.h"

namespace cacs::application {

namespace {

bool is_final(const std::string& state) { return state == "COMPLETED" || state == "ERROR" || state == "SUSPENDED"; }

bool may_pass(const Error& error) { return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout; }

/// Chunks that bring nothing and leave the reader where it is.
std::vector<LogChunk> nothing_new(const std::vector<LogPosition>& positions, bool end) {
  std::vector<LogChunk> chunks;
  chunks.reserve(positions.size());
  for (const LogPosition& position : positions) {
    chunks.push_back({.stream = position.stream, .offset = position.offset, .data = {}, .end = end});
  }
  return chunks;
}

Result<cloud::LogQuery> query_of(const std::vector<LogPosition>& positions) {
  cloud::LogQuery query;
  for (const LogPosition& position : positions) {
    const auto stream = output_stream_from(position.stream);
    if (!stream) {
      return make_error(ErrorCode::kInvalidArgument, fmt::format("there is no output stream '{}'", position.stream),
                        "the streams are stdout and stderr");
    }
    (*stream == OutputStream::kStdout ? query.out : query.err) = position.offset;
  }
  return query;
}

/// What the agent said of one stream.
const JsonObject* find_stream(const JsonObject& said, std::string_view name) {
  const JsonArray* streams = json_find_array(said, "streams");
  if (streams == nullptr) return nullptr;
  for (const Json& item : *streams) {
    const JsonObject* stream = item.if_object();
    if (stream != nullptr && json_string_or(*stream, "stream", "") == name) return stream;
  }
  return nullptr;
}

/// The chunk for a reader at `position`, from what the agent said of the stream from there on, in `incarnation`.
Result<LogChunk> chunk_for(const LogPosition& position, const JsonObject& said, int incarnation, int pod,
                           const LogLineage& lineage) {
  const OutputStream stream = *output_stream_from(position.stream);
  LogChunk chunk{
      .incarnation = incarnation, .stream = position.stream, .offset = position.offset, .data = {}, .end = false};
  const auto size = static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_int_or(said, "size", 0)));
  std::uint64_t kept = std::min(position.offset, size);
  if (position.incarnation != 0) {
    kept = std::min(kept, lineage.kept(pod, stream, position.incarnation, position.offset, incarnation));
  }
  if (kept < position.offset) {
    chunk.rollback = true;
    chunk.offset = kept;
    return chunk;
  }
  CACS_ASSIGN(chunk.data, base64_decode(json_string_or(said, "data", "")));
  return chunk;
}

bool brings_something(const LogChunk& chunk) { return chunk.rollback || !chunk.data.empty(); }

/// The place of a pod among the application's; nothing for a name that none has.
std::optional<int> pod_index(const ApplicationView& view, std::string_view pod) {
  const std::string_view name = pod.empty() ? "pod-0" : pod;
  for (std::size_t i = 0; i < view.pods.size(); ++i) {
    if (view.pods[i].pod == name) return static_cast<int>(i);
  }
  return std::nullopt;
}

/// Chunks for readers from an answer of the agent that is ready.
Result<std::vector<LogChunk>> chunks_for(const std::vector<LogPosition>& positions, const JsonObject& said, int pod,
                                         const LogLineage& lineage) {
  const int incarnation = static_cast<int>(json_int_or(said, "incarnation", 0));
  std::vector<LogChunk> chunks;
  for (const LogPosition& position : positions) {
    const JsonObject* stream = find_stream(said, position.stream);
    if (stream == nullptr) return make_error(ErrorCode::kInternal, "the agent left out " + position.stream);
    CACS_ASSIGN(LogChunk chunk, chunk_for(position, *stream, incarnation, pod, lineage));
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

}  // namespace

Result<JsonObject> Manager::saved_logs(const ApplicationView& view, std::string_view pod,
                                       const cloud::LogQuery& query) {
  if (!view.last_checkpoint) return make_error(ErrorCode::kNotFound, "the application has no checkpoint");
  const auto cloud = core_->clouds().find(view.cloud);
  if (cloud == core_->clouds().end()) return make_error(ErrorCode::kNotFound, "there is no cloud " + view.cloud);
  // The nodes are given back: a repository is asked of those that the cloud still has.
  CACS_ASSIGN(const auto nodes, cloud->second->list_nodes());
  Error last = make_error(ErrorCode::kNotFound, "the cloud has no nodes any more");
  for (const auto& node : nodes) {
    auto agent = cloud->second->agent(node.id);
    auto said = agent ? (*agent)->checkpoint_logs(view.last_checkpoint->id, pod.empty() ? "pod-0" : pod, query)
                      : Result<JsonObject>(agent.error());
    if (said) return said;
    last = said.error();
  }
  return last;
}

Result<std::vector<LogChunk>> Manager::logs(const Caller& caller, std::string_view application, std::string_view pod,
                                            const std::vector<LogPosition>& positions, std::size_t limit,
                                            std::chrono::milliseconds wait) {
  ViewBoard& board = core_->board();
  const std::uint64_t seen = board.announcements();
  CACS_ASSIGN(cloud::LogQuery query, query_of(positions));
  CACS_ASSIGN(const auto view, get(caller, application));
  const auto index = pod_index(*view, pod);
  if (!index) return make_error(ErrorCode::kNotFound, fmt::format("there is no pod {}", pod));
  query.limit = limit;
  query.wait = wait;
  // Only what was final before the agent was asked: between its answer and a later look much may have happened.
  const bool final = is_final(view->state);
  const auto nothing_yet = [&](bool end) {
    if (!end && wait.count() > 0) board.wait(seen, wait);
    return nothing_new(positions, end);
  };
  auto found = target(caller, application, pod);
  auto said = found ? found->agent->logs(found->uid, query) : Result<JsonObject>(found.error());
  const bool gone = !said && (said.error().code == ErrorCode::kNotFound || said.error().code == ErrorCode::kConflict);
  // Where the pod is gone for good, what its last checkpoint has of it is what there is: a restart goes on from there.
  if (gone && final) said = saved_logs(*view, pod, query);
  if (!said) {
    if (said.error().code == ErrorCode::kNotFound || said.error().code == ErrorCode::kConflict) {
      return nothing_yet(final);  // not on a node yet, or nothing was ever saved
    }
    // Its agent will be back, and with it what the pod has written.
    if (may_pass(said.error()) && wait.count() > 0) return nothing_yet(false);
    return said.error();
  }
  const bool ended = json_bool_or(*said, "eof", false);
  if (!json_bool_or(*said, "ready", false)) return nothing_yet(final && ended);
  const auto lineage = board.find(application).logs;
  if (lineage == nullptr) return nothing_yet(false);  // it was deleted meanwhile
  // What a new incarnation writes waits until it is on record how that relates to what was written before: readers
  // would be sent back to 0 for nothing. It comes with the word that the incarnation runs.
  const int incarnation = static_cast<int>(json_int_or(*said, "incarnation", 0));
  if (!final && !lineage->knows(incarnation, *index)) return nothing_yet(false);
  CACS_ASSIGN(auto chunks, chunks_for(positions, *said, *index, *lineage));
  const bool news = std::any_of(chunks.begin(), chunks.end(), brings_something);
  // A pod that ended may be restarted: the end is the application's, not the pod's.
  for (LogChunk& chunk : chunks) chunk.end = final && ended && !brings_something(chunk);
  if (!news && ended && !final && wait.count() > 0) board.wait(seen, wait);
  return chunks;
}

}  // namespace cacs::application
