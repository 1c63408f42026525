#include "net/http_session.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <sys/socket.h>

#include <array>

#include "base/log.h"
#include "base/text.h"

namespace cacs::net {
namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr std::size_t kReadAhead = std::size_t{64} << 10U;
constexpr std::size_t kKeptBuffer = std::size_t{16} << 10U;
constexpr std::size_t kMaxLinger = std::size_t{1} << 20U;
constexpr std::chrono::milliseconds kLingerTimeout{2'000};
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Session::Session(IoLoop& loop, Socket socket, Peer peer, std::string peer_key)
    : loop_(loop),
      core_(loop.core),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      peer_key_(std::move(peer_key)),
      buffer_(limits().header_bytes + kReadAhead) {}

Session::~Session() {
  loop_.sessions.erase(this);
  core_.leave(peer_key_);
}

void Session::start() {
  loop_.sessions.insert(this);
  wait_for_request();
  loop_.arm_sweep();
}

void Session::wait_for_request() {
  if (core_.stopping->load()) return close();
  state_ = State::kIdle;
  refusal_.reset();
  route_ = nullptr;
  request_ = Request{};
  response_ = Response{};
  parser_.reset();
  if (buffer_.size() > 0) return read_header();  // pipelined
  if (buffer_.capacity() > kKeptBuffer) buffer_.shrink_to_fit();
  set_deadline(limits().idle_timeout);
  socket_.async_read_some(buffer_.prepare(4096), [self = shared_from_this()](error_code error, std::size_t bytes) {
    if (error) return self->close();
    self->buffer_.commit(bytes);
    self->read_header();
  });
}

void Session::read_header() {
  state_ = State::kReading;
  began_ = Clock::now();
  deadline_ = began_ + limits().header_timeout;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(limits().header_bytes));
  parser_->body_limit(limits().body_bytes);
  http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, std::size_t) {
    if (error) return self->on_read_error(error);
    self->on_header();
  });
}

void Session::on_read_error(const error_code& error) {
  if (state_ == State::kClosed) return;
  body_unread_ = true;
  keep_alive_ = false;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return refuse(431, make_error(ErrorCode::kTooLarge,
                                  "the request's header is larger than " + format_size(limits().header_bytes))
                           .with_type("header-too-large"));
  }
  if (error == http::error::body_limit) {
    return refuse(
        413, make_error(ErrorCode::kTooLarge, "the request's body is larger than " + format_size(limits().body_bytes))
                 .with_type("body-too-large"));
  }
  const bool closed = error == http::error::end_of_stream || error == http::error::partial_message;
  if (closed || error.category() != http::make_error_code(http::error::end_of_stream).category()) return close();
  refuse(400, make_error(ErrorCode::kInvalidArgument, "the request is not HTTP/1.1: " + error.message())
                  .with_type("bad-request"));
}

void Session::refuse(int status, const Error& error) {
  route_ = nullptr;
  request_.route = {};
  respond(core_.error_response(status, error));
}

/// Copies the header into request_; false when it was refused.
bool Session::take_header() {
  const auto& message = parser_->get();
  request_.method = std::string(view(message.method_string()));
  request_.target = std::string(view(message.target()));
  request_.peer = peer_;
  request_.stop_flag = core_.stopping;
  for (const auto& field : message) {
    request_.headers.add(std::string(view(field.name_string())), std::string(view(field.value())));
  }
  keep_alive_ = message.keep_alive() && !core_.stopping->load();
  head_only_ = request_.method == "HEAD";
  const std::size_t hosts = request_.headers.count("host");
  if (hosts > 1 || (hosts == 0 && message.version() >= 11)) {
    refuse(400, make_error(ErrorCode::kInvalidArgument, "the request must have exactly one Host header")
                    .with_type("bad-request"));
    return false;
  }
  auto target = parse_target(request_.target);
  if (!target.ok()) {
    refuse(400, target.error());
    return false;
  }
  find_route(*target);
  request_.path = std::move(target->path);
  request_.query = std::move(target->query);
  return true;
}

void Session::find_route(const Target& target) {
  Router::Match match = core_.router.match(request_.method, target.segments);
  route_ = match.route;
  if (route_ != nullptr) {
    request_.route = route_->pattern;
    request_.params = std::move(match.params);
  } else if (match.allow.empty()) {
    refusal_ =
        core_.error_response(404, make_error(ErrorCode::kNotFound, "there is nothing at " + printable(target.path, 120))
                                      .with_type("no-such-path"));
  } else {
    refusal_ = core_.error_response(
        405, make_error(ErrorCode::kInvalidArgument,
                        printable(request_.method, 20) + " is not possible on " + printable(target.path, 120),
                        "possible: " + match.allow)
                 .with_type("method-not-allowed"));
    refusal_->headers.add("Allow", match.allow);
  }
}

void Session::on_header() {
  body_unread_ = !parser_->is_done();
  if (!take_header()) return;
  if (core_.options.gate) {
    if (std::optional<Response> refused = core_.options.gate(request_)) return respond(std::move(*refused));
  }
  if (refusal_) return respond(std::move(*refusal_));
  if (parser_->is_done()) return dispatch();
  if (request_.headers.find("expect") != nullptr) return on_expectation();
  read_body();
}

void Session::on_expectation() {
  if (!equal_ignoring_case(request_.headers.get("expect"), "100-continue")) {
    return refuse(417, make_error(ErrorCode::kInvalidArgument, "the only expectation that can be met is 100-continue")
                           .with_type("bad-expectation"));
  }
  set_deadline(limits().write_timeout);
  asio::async_write(socket_, asio::buffer(kContinue), [self = shared_from_this()](error_code error, std::size_t) {
    if (error) return self->close();
    self->read_body();
  });
}

void Session::read_body() {
  set_deadline(limits().body_timeout);
  http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](error_code error, std::size_t) {
    if (error) return self->on_read_error(error);
    self->body_unread_ = false;
    self->request_.body = std::move(self->parser_->get().body());
    self->dispatch();
  });
}

void Session::dispatch() {
  deadline_ = Clock::time_point::max();
  if (route_->kind == RouteKind::kInline && !route_->stream) {
    respond(call_handler());
  } else {
    run_in_pool(*route_);
  }
}

Response Session::call_handler() {
  try {
    return route_->handler(request_);
  } catch (const std::exception& bug) {
    spdlog::error("handler of {} threw: {}", route_->pattern, bug.what());
    return core_.error_response(500, make_error(ErrorCode::kInternal, "the server failed to answer this request",
                                                "see the server's log; this is a bug"));
  }
}

// The tasks give their reference to the session back to its loop, so that it never ends on a worker's thread.
void Session::run_in_pool(const Route& route) {
  state_ = State::kWorking;
  bool accepted = false;
  if (route.stream) {
    const SocketStream::Options options{.fd = socket_.native_handle(),
                                        .http_1_0 = parser_->get().version() < 11,
                                        .head_only = head_only_,
                                        .keep_alive = keep_alive_,
                                        .write_timeout = limits().write_timeout};
    accepted = core_.long_workers.submit([self = shared_from_this(), options]() mutable {
      SocketStream stream(options, *self->core_.stopping);
      try {
        self->route_->stream(self->request_, stream);
      } catch (const std::exception& bug) {
        spdlog::error("stream handler of {} threw: {}", self->route_->pattern, bug.what());
        stream.abandon();
      }
      const bool reusable = stream.finish();
      asio::io_context& context = self->loop_.context;
      asio::post(context, [self = std::move(self), status = stream.status(), reusable] {
        self->finish_stream(status, reusable);
      });
    });
  } else {
    WorkerPool& pool = route.kind == RouteKind::kLong ? core_.long_workers : core_.workers;
    accepted = pool.submit([self = shared_from_this()]() mutable {
      Response response = self->call_handler();
      asio::io_context& context = self->loop_.context;
      asio::post(context, [self = std::move(self), answer = std::move(response)]() mutable {
        self->respond(std::move(answer));
      });
    });
  }
  if (accepted) return;
  Response busy = core_.error_response(
      503, make_error(ErrorCode::kUnavailable, "the server has too much to do just now", "try again in a second")
               .with_type("overloaded"));
  if (busy.headers.find("Retry-After") == nullptr) busy.headers.add("Retry-After", "1");
  respond(std::move(busy));
}

void Session::respond(Response response) {
  if (state_ == State::kClosed) return;
  if (body_unread_ || response.close || core_.stopping->load()) keep_alive_ = false;
  if (core_.options.observe) {
    core_.options.observe(request_.method, request_.route, response.status, Clock::now() - began_);
  }
  state_ = State::kWriting;
  response_ = std::move(response);
  set_deadline(limits().write_timeout);
  head_ = format_head(response_, response_.content().size(), keep_alive_);
  const std::string_view content = head_only_ || response_.status == 204 ? std::string_view() : response_.content();
  const std::array<asio::const_buffer, 2> pieces = {asio::buffer(head_), asio::buffer(content.data(), content.size())};
  // The deadline moves with every piece that the client takes.
  const auto moving = [this](const error_code& error, std::size_t) -> std::size_t {
    set_deadline(limits().write_timeout);
    return error ? 0 : kReadAhead;
  };
  asio::async_write(socket_, pieces, moving, [self = shared_from_this()](error_code error, std::size_t) {
    if (error) return self->close();
    self->on_written();
  });
}

void Session::on_written() {
  if (state_ == State::kClosed) return;
  if (keep_alive_) return wait_for_request();
  if (body_unread_) return linger();
  close();
}

void Session::finish_stream(int status, bool reusable) {
  if (core_.options.observe) {
    core_.options.observe(request_.method, request_.route, status == 0 ? 500 : status, Clock::now() - began_);
  }
  keep_alive_ = keep_alive_ && reusable;
  state_ = State::kWriting;
  on_written();
}

/// Closing a socket with unread bytes resets it, and the client may lose the answer that says why: so what it still
/// sends is read and dropped, within bounds.
void Session::linger() {
  if (state_ != State::kLingering) {
    state_ = State::kLingering;
    set_deadline(kLingerTimeout);
    error_code ignored;  // the client may have gone already: the read below tells
    socket_.shutdown(Socket::shutdown_send, ignored);
    buffer_.clear();
  }
  socket_.async_read_some(buffer_.prepare(kKeptBuffer),
                          [self = shared_from_this()](error_code error, std::size_t bytes) {
                            self->lingered_ += bytes;
                            if (error || self->lingered_ > kMaxLinger || self->state_ == State::kClosed)
                              return self->close();
                            self->linger();
                          });
}

void Session::check_deadline(Clock::time_point now) {
  if (now >= deadline_) close();
}

void Session::stop(bool cut) {
  if (state_ == State::kIdle || (cut && state_ != State::kWorking)) return close();
  if (cut) {
    // A worker may be writing to it: only the owner of the descriptor may close it, so it is cut instead.
    error_code ignored;  // gone already is what is wanted
    socket_.shutdown(Socket::shutdown_both, ignored);
  }
}

void Session::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  error_code ignored;  // a close that fails leaves nothing to do
  socket_.close(ignored);
}

}  // namespace cacs::net
