#include "cli/log_follower.h"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "base/base64.h"
#include "base/io.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/format.h"
#include "net/sse.h"

namespace cacs::cli {

namespace {

/// Whether trying again may help: the server is away, or asks for patience.
bool is_passing(const Error& error) { return error.type == kUnreachableType || error.code == ErrorCode::kUnavailable; }

}  // namespace

Result<std::unique_ptr<LogFollower>> LogFollower::start(std::unique_ptr<ApiClient> client, Terminal& terminal,
                                                        FollowOptions options) {
  UniqueFd done(::eventfd(0, EFD_CLOEXEC));
  if (!done.valid()) return errno_error(errno, "eventfd");
  std::unique_ptr<LogFollower> follower(
      new LogFollower(std::move(client), terminal, std::move(options), std::move(done)));
  follower->thread_ = std::thread([&self = *follower] { self.run(); });
  return follower;
}

LogFollower::LogFollower(std::unique_ptr<ApiClient> client, Terminal& terminal, FollowOptions options, UniqueFd done)
    : client_(std::move(client)),
      terminal_(terminal),
      options_(std::move(options)),
      done_(std::move(done)),
      out_([this](std::string_view bytes) { terminal_.out(bytes); }),
      err_([this](std::string_view bytes) { terminal_.err(bytes); }) {}

LogFollower::~LogFollower() { cancel(); }

void LogFollower::cancel() {
  {
    const std::scoped_lock lock(mutex_);
    cancelled_ = true;
  }
  wake_.notify_all();
  client_->cancel();
  if (thread_.joinable()) thread_.join();
}

Result<JsonObject> LogFollower::result() {
  if (thread_.joinable()) thread_.join();
  CACS_TRY(status_);
  if (!end_) return make_error(ErrorCode::kAborted, "stopped following the output");
  return *end_;
}

void LogFollower::run() {
  status_ = follow();
  const std::uint64_t one = 1;
  // Cannot fail on an eventfd that nobody else writes.
  [[maybe_unused]] const Status told = write_full(done_.get(), std::as_bytes(std::span(&one, 1)));
}

Status LogFollower::follow() {
  auto last_progress = std::chrono::steady_clock::now();
  std::chrono::milliseconds wait(100);
  while (true) {
    progressed_ = false;
    Status status = connect_once();
    if (end_) return {};
    if (terminal_.out_failed()) return make_error(ErrorCode::kIo, "standard output cannot be written");
    if (!status.ok() && !is_passing(status.error())) return status;
    const auto now = std::chrono::steady_clock::now();
    if (progressed_) {
      last_progress = now;
      wait = std::chrono::milliseconds(100);
    }
    if (now - last_progress > options_.patience) {
      return status.ok() ? make_error(ErrorCode::kUnavailable, "follow the output: the server ends it again and again")
                         : status;
    }
    if (!pause(wait)) return make_error(ErrorCode::kAborted, "stopped following the output");
    wait = std::min(wait * 2, std::chrono::milliseconds(2000));
  }
}

Status LogFollower::connect_once() {
  Status taken;
  net::SseParser parser([this, &taken](const net::SseEvent& event) {
    if (!taken.ok() || end_) return;
    taken = take(event.event, event.data);
    if (taken.ok()) last_id_ = event.id;
  });
  const auto sink = [&](std::string_view bytes) -> Status {
    if (!parser.feed(bytes)) return make_error(ErrorCode::kTooLarge, "the server sent an event that is too large");
    CACS_TRY(taken);
    if (end_) return make_error(ErrorCode::kAborted, "the end came");  // leave the stream; not an error of follow()
    return {};
  };
  CACS_ASSIGN(
      const ApiAnswer answer,
      client_->stream({.target = options_.target, .accept = "text/event-stream", .last_event_id = last_id_}, sink));
  if (answer.status >= 400) return error_of_answer(answer);
  return {};
}

Status LogFollower::take(const std::string& name, const std::string& data) {
  CACS_ASSIGN(const JsonObject record, parse_json_object(data, "a log record", std::size_t{32} << 20U));
  // The stream cannot go on: not a record of the log, and whether trying again helps is the problem's to say.
  if (name == "error") {
    return error_of_answer({.status = static_cast<int>(json_int_or(record, "status", 500)), .body = data});
  }
  progressed_ = true;
  if (options_.json) {
    terminal_.out(data + "\n");
    if (name == "end") end_ = record;
    return {};
  }
  return take_record(name, record).context("log record");
}

Status LogFollower::take_record(const std::string& name, const JsonObject& record) {
  if (name == "end") {
    end_ = record;
    return {};
  }
  if (name != "output" && name != "rollback") return {};  // of a newer server
  CACS_ASSIGN(const std::string stream, json_string(record, "stream"));
  CACS_ASSIGN(const std::int64_t offset, json_int(record, "offset"));
  if (offset < 0) return make_error(ErrorCode::kInternal, "the server sent a negative offset");
  LogPrinter& printer = stream == "stderr" ? err_ : out_;
  if (name == "output") {
    CACS_ASSIGN(const std::string bytes, base64_decode(json_string_or(record, "data", "")));
    printer.output(static_cast<std::uint64_t>(offset), bytes);
    return terminal_.out_failed() ? make_error(ErrorCode::kIo, "standard output cannot be written") : ok_status();
  }
  const std::uint64_t taken_back = printer.rollback(static_cast<std::uint64_t>(offset));
  if (taken_back == 0) return {};
  terminal_.remark(
      fmt::format("--- restored: {} went back by {} to byte {}; what was shown already is not repeated ---",
                  printable(stream), format_size(taken_back), offset));
  return {};
}

bool LogFollower::pause(std::chrono::milliseconds span) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, span, [this] { return cancelled_; });
}

}  // namespace cacs::cli
