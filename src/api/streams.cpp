// Operations whose answers go on for a while: events and logs.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "api/log_positions.h"
#include "api/operation.h"
#include "api/views_json.h"
#include "base/text.h"
#include "net/sse.h"

namespace cacs::api {
namespace {

using net::ResponseStream;
using std::chrono::milliseconds;

constexpr std::string_view kEventStream = "text/event-stream";
constexpr std::size_t kBatch = 256;
constexpr std::size_t kLogPiece = std::size_t{64} << 10U;
/// How long one wait in the service lasts: between two, a client that has gone is noticed.
constexpr milliseconds kSlice{1'000};
constexpr int kSlicesOfKeepAlive = 15;
constexpr std::int64_t kMaxWaitMs = 60'000;

bool wants_stream(const Call& call) {
  const std::string follow = call.query("follow", "0");
  return accepts(call.request, kEventStream) || follow.empty() || follow == "1" || follow == "true";
}

net::Response stream_head() {
  net::Response head;
  head.headers.add("Content-Type", std::string(kEventStream));
  head.headers.add("Cache-Control", "no-store");
  head.headers.add("X-Accel-Buffering", "no");
  return head;
}

std::string text_of(const JsonObject& object) { return boost::json::serialize(object); }

/// The last thing on a stream that cannot go on.
std::string error_event(const Error& error) {
  return net::format_sse({.id = {}, .event = "error", .data = text_of(problem_to_json(error))});
}

/// Sends a keep-alive comment after so many slices without anything else, so that proxies keep the connection and a
/// client that has gone is noticed.
Status keep_alive(int& silent_slices, ResponseStream& out) {
  if (++silent_slices < kSlicesOfKeepAlive) return ok_status();
  silent_slices = 0;
  return out.write(": keep-alive\n\n");
}

/// Where a stream is resumed: Last-Event-ID, else the query parameter.
Result<std::uint64_t> resume_at(const Call& call, std::string_view query) {
  const std::string* header = call.request.headers.find("last-event-id");
  if (header == nullptr || header->empty()) return static_cast<std::uint64_t>(call.query_int(query, 0));
  std::uint64_t id = 0;
  const auto [end, problem] = std::from_chars(header->data(), header->data() + header->size(), id);
  if (problem == std::errc() && end == header->data() + header->size()) return id;
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("Last-Event-ID is not a number: '{}'", printable(*header, 40)));
}

/// Ends the handler: nobody is left to hear of a failed write.
void finish(const Status& last_write) { static_cast<void>(last_write); }

void stream_events(const Call& call, const std::string& application, std::uint64_t after,
                   std::vector<application::EventView> events, ResponseStream& out) {
  if (!out.start(stream_head()).ok()) return;
  int silent = 0;
  while (!out.gone()) {
    std::string text;
    for (const auto& event : events) {
      after = event.id;
      text +=
          net::format_sse({.id = std::to_string(event.id), .event = event.kind, .data = text_of(event_to_json(event))});
    }
    if (!text.empty()) silent = 0;
    const Status written = text.empty() ? keep_alive(silent, out) : out.write(text);
    if (!written.ok()) return;
    auto more = call.backend.service.events(call.caller, application, after, kBatch, kSlice);
    if (!more.ok()) return finish(out.write(error_event(more.error())));
    events = std::move(more).value();
  }
}

/// A long poll in slices, so that it ends early when the client goes or the server stops.
Result<std::vector<application::EventView>> poll_events(const Call& call, const std::string& application,
                                                        std::uint64_t after, ResponseStream& out) {
  milliseconds left{0};
  if (const std::string wait = call.query("wait"); !wait.empty()) {
    CACS_ASSIGN(left, parse_duration(wait));
  }
  const auto limit = static_cast<std::size_t>(call.query_int("limit", kBatch));
  while (true) {
    const milliseconds slice = std::min(left, kSlice);
    CACS_ASSIGN(auto events, call.backend.service.events(call.caller, application, after, limit, slice));
    left -= slice;
    if (!events.empty() || left.count() <= 0 || out.gone()) return events;
  }
}

void events(const Call& call, ResponseStream& out) {
  const std::string application = call.param("id");
  const auto after = resume_at(call, "after");
  if (!after.ok()) return finish(out.respond(net::problem_response(after.error())));
  if (wants_stream(call)) {
    auto first = call.backend.service.events(call.caller, application, *after, kBatch, milliseconds(0));
    if (!first.ok()) return finish(out.respond(net::problem_response(first.error())));
    return stream_events(call, application, *after, std::move(first).value(), out);
  }
  const auto found = poll_events(call, application, *after, out);
  if (!found.ok()) return finish(out.respond(net::problem_response(found.error())));
  JsonArray items;
  for (const auto& event : *found) items.emplace_back(event_to_json(event));
  JsonObject page;
  page["next_cursor"] = std::to_string(found->empty() ? *after : found->back().id);
  page["items"] = std::move(items);
  finish(out.respond(json_answer(200, page)));
}

std::string log_event(const application::LogChunk& chunk, const std::string& id) {
  JsonObject record;
  if (chunk.rollback) record["rollback"] = true;
  record["incarnation"] = chunk.incarnation;
  record["stream"] = chunk.stream;
  record["offset"] = chunk.offset;
  if (!chunk.rollback) record["data"] = base64_encode(chunk.data);
  return net::format_sse({.id = id, .event = chunk.rollback ? "rollback" : "output", .data = text_of(record)});
}

std::string end_event(const Call& call) {
  JsonObject record;
  const auto view = call.backend.service.get(call.caller, call.param("id"));
  record["exit"] = view.ok() ? exit_to_json((*view)->exit) : Json(nullptr);
  record["state"] = view.ok() ? Json((*view)->state) : Json(nullptr);
  return net::format_sse({.id = {}, .event = "end", .data = text_of(record)});
}

/// One reader of one or both output streams.
struct LogReader {
  const Call& call;
  std::string pod;
  std::vector<application::LogPosition> positions;

  Result<std::vector<application::LogChunk>> next(std::size_t limit, milliseconds wait) const {
    return call.backend.service.logs(call.caller, call.param("id"), pod, positions, limit, wait);
  }
  /// The reader has what `chunk`, one of the last next(), brought.
  void take(const application::LogChunk& chunk) {
    for (auto& position : positions) {
      if (position.stream != chunk.stream) continue;
      if (chunk.incarnation != 0) position.incarnation = chunk.incarnation;
      position.offset = chunk.offset + chunk.data.size();
    }
  }
  [[nodiscard]] std::string id() const { return format_log_positions(positions); }
};

/// Sends what came; whether anything did.
Result<bool> send_chunks(LogReader& reader, const std::vector<application::LogChunk>& chunks, ResponseStream& out) {
  bool any = false;
  for (const auto& chunk : chunks) {
    reader.take(chunk);
    if (!chunk.rollback && chunk.data.empty()) continue;
    any = true;
    CACS_TRY(out.write(log_event(chunk, reader.id())));
  }
  return any;
}

bool all_ended(const std::vector<application::LogChunk>& chunks) {
  return std::all_of(chunks.begin(), chunks.end(), [](const auto& chunk) { return chunk.end; });
}

void follow_logs(LogReader reader, std::vector<application::LogChunk> chunks, ResponseStream& out) {
  if (!out.start(stream_head()).ok()) return;
  int silent = 0;
  while (!out.gone()) {
    const auto sent = send_chunks(reader, chunks, out);
    if (!sent.ok()) return;
    if (all_ended(chunks)) return finish(out.write(end_event(reader.call)));
    if (*sent) silent = 0;
    if (!*sent && !keep_alive(silent, out).ok()) return;
    auto more = reader.next(kLogPiece, kSlice);
    if (!more.ok()) return finish(out.write(error_event(more.error())));
    chunks = std::move(more).value();
  }
}

/// The bytes of one stream that there are now, up to `limit`.
void send_plain(LogReader reader, application::LogChunk chunk, std::uint64_t limit, ResponseStream& out) {
  net::Response head;
  head.headers.add("Content-Type", "text/plain");
  head.headers.add("X-Content-Type-Options", "nosniff");
  if (!out.start(head).ok()) return;
  if (chunk.rollback) return;  // nothing is there at the offset asked for
  while (!chunk.data.empty()) {
    reader.take(chunk);
    if (!out.write(chunk.data).ok()) return;
    limit -= std::min<std::uint64_t>(limit, chunk.data.size());
    if (limit == 0) return;
    auto more = reader.next(static_cast<std::size_t>(std::min<std::uint64_t>(limit, kLogPiece)), milliseconds(0));
    // An answer that has begun cannot turn into an error: it is cut, which the client sees.
    if (!more.ok()) throw std::runtime_error(more.error().to_string());
    chunk = std::move(more->front());
    if (chunk.rollback) throw std::runtime_error("the output was rolled back while it was being read");
  }
}

/// Where a reader of the log begins: Last-Event-ID, else the query.
Result<std::vector<application::LogPosition>> log_positions(const Call& call) {
  const std::string wanted = call.query("stream");
  std::vector<application::LogPosition> positions;
  // Two streams can be told apart in events only: bytes alone are of one.
  if (wanted != "stderr") positions.push_back({.stream = "stdout"});
  if (wanted == "stderr" || (wanted.empty() && wants_stream(call))) positions.push_back({.stream = "stderr"});
  const std::string* header = call.request.headers.find("last-event-id");
  if (header != nullptr && !header->empty()) {
    CACS_TRY(parse_log_positions(*header, positions));
    return positions;
  }
  const auto offset = static_cast<std::uint64_t>(call.query_int("offset", 0));
  const auto incarnation = static_cast<int>(call.query_int("incarnation", 0));
  if ((offset > 0 || incarnation > 0) && positions.size() > 1) {
    return make_error(ErrorCode::kInvalidArgument, "an offset is of one stream, and both are followed",
                      "name one with stream=stdout or stream=stderr, or give the Last-Event-ID");
  }
  positions.front().offset = offset;
  positions.front().incarnation = incarnation;
  return positions;
}

void logs(const Call& call, ResponseStream& out) {
  if (call.query_int("attempt", -1) >= 0)
    return finish(out.respond(not_implemented("the output of an earlier attempt")));
  auto positions = log_positions(call);
  if (!positions.ok()) return finish(out.respond(net::problem_response(positions.error())));
  LogReader reader{.call = call, .pod = call.query("pod"), .positions = std::move(positions).value()};
  const auto limit = static_cast<std::uint64_t>(call.query_int("limit", std::numeric_limits<std::int64_t>::max()));
  auto first = reader.next(static_cast<std::size_t>(std::min<std::uint64_t>(limit, kLogPiece)), milliseconds(0));
  if (!first.ok()) return finish(out.respond(net::problem_response(first.error())));
  if (wants_stream(call)) return follow_logs(std::move(reader), std::move(first).value(), out);
  send_plain(std::move(reader), std::move(first->front()), limit, out);
}

}  // namespace

void add_stream_operations(std::vector<Operation>& operations) {
  using Type = QueryParam::Type;
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const std::vector<QueryParam> event_query = {
      {.name = "after",
       .description = "id of the last event seen",
       .type = Type::kInteger,
       .minimum = 0,
       .maximum = kMax},
      {.name = "limit",
       .description = "events in a JSON answer",
       .type = Type::kInteger,
       .minimum = 1,
       .maximum = 1'000},
      {.name = "wait",
       .description = "how long a JSON answer may wait for the first event (at most 60s)",
       .type = Type::kDuration,
       .maximum = kMaxWaitMs},
      {.name = "follow",
       .description = "answer with server-sent events, as Accept: text/event-stream does",
       .type = Type::kBoolean}};
  const std::vector<Answer> event_answers = {
      {.schema = "EventList", .description = "events after `after`"},
      {.schema = "Event", .media = kEventStream, .description = "a stream of them, resumable with Last-Event-ID"}};
  operations.push_back({.method = "GET",
                        .path = "/events",
                        .id = "events",
                        .summary = "Events of all applications and the server",
                        .kind = net::RouteKind::kLong,
                        .query = event_query,
                        .answers = event_answers,
                        .stream = events});
  operations.push_back({.method = "GET",
                        .path = "/coordinators/{id}/events",
                        .id = "applicationEvents",
                        .summary = "Events of one application",
                        .kind = net::RouteKind::kLong,
                        .query = event_query,
                        .answers = event_answers,
                        .stream = events});
  operations.push_back(
      {.method = "GET",
       .path = "/coordinators/{id}/logs",
       .id = "applicationLogs",
       .summary = "The application's output",
       .kind = net::RouteKind::kLong,
       .query = {{.name = "follow",
                  .description = "go on as output comes, as server-sent events",
                  .type = Type::kBoolean},
                 {.name = "stream",
                  .description = "stdout or stderr; by default both as server-sent events, stdout as plain text",
                  .values = {"stdout", "stderr"}},
                 {.name = "pod", .description = "pod-0 by default"},
                 {.name = "offset",
                  .description = "first byte wanted of the one stream",
                  .type = Type::kInteger,
                  .minimum = 0,
                  .maximum = kMax},
                 {.name = "incarnation",
                  .description = "the one that the bytes before `offset` were read in: a rollback since then is told",
                  .type = Type::kInteger,
                  .minimum = 0,
                  .maximum = std::numeric_limits<int>::max()},
                 {.name = "limit",
                  .description = "bytes wanted at most",
                  .type = Type::kInteger,
                  .minimum = 1,
                  .maximum = kMax},
                 {.name = "attempt",
                  .description = "an earlier attempt's output (not in this version: 501)",
                  .type = Type::kInteger,
                  .minimum = 0,
                  .maximum = 1'000'000}},
       .answers = {{.media = "text/plain", .description = "the bytes of the stream"},
                   {.schema = "LogRecord",
                    .media = kEventStream,
                    .description =
                        "events output and rollback of the streams, each with the stream's name, and end when "
                        "the application has ended; resumable with Last-Event-ID"}},
       .stream = logs});
}

}  // namespace cacs::api
