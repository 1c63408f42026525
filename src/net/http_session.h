#pragma once

// Inside of net/: what http_server.cpp, http_session.cpp and http_stream.cpp share. Includes Asio and Beast.

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>

#include "net/http_server.h"
#include "net/worker_pool.h"

namespace cacs::net {

using Socket =
    boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, boost::asio::io_context::executor_type>;
using Clock = std::chrono::steady_clock;

/// What all sessions of a server share. Immutable but for the atomics, the pools and what `mutex` guards.
struct ServerCore {
  ServerCore(ServerOptions o, std::vector<Route> routes)
      : options(std::move(o)),
        router(std::move(routes)),
        workers(options.limits.workers, options.limits.worker_queue),
        long_workers(options.limits.long_answers, 0) {}

  [[nodiscard]] Response error_response(int status, const Error& error) const {
    return options.render_error ? options.render_error(status, error) : problem_response(status, error);
  }
  bool admit(const std::string& peer_key);
  void leave(const std::string& peer_key);

  const ServerOptions options;
  const Router router;
  WorkerPool workers;
  WorkerPool long_workers;
  std::shared_ptr<std::atomic<bool>> stopping = std::make_shared<std::atomic<bool>>(false);
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> refused{0};
  std::mutex mutex;
  std::condition_variable all_left;
  std::size_t connections = 0;
  std::map<std::string, std::size_t> by_peer;
};

class Session;

/// One io thread: an event loop, its connections, and one timer for the deadlines of them all, armed only while there
/// are any. Everything but `context` belongs to the loop's thread.
struct IoLoop {
  explicit IoLoop(ServerCore& c) : core(c) {}
  void arm_sweep();

  ServerCore& core;
  std::unordered_set<Session*> sessions;  ///< outlives the context, whose end may end sessions
  boost::asio::io_context context{1};
  boost::asio::steady_timer timer{context};
  bool sweeping = false;
};

/// One connection. Lives on its loop's thread; a worker has it only between dispatch and the answer, during which the
/// loop touches nothing of it but the deadline and the socket's shutdown.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(IoLoop& loop, Socket socket, Peer peer, std::string peer_key);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  void start();
  /// Closes it if its deadline has passed.
  void check_deadline(Clock::time_point now);
  /// The server stops: idle connections close at once; with `cut`, all do.
  void stop(bool cut);

 private:
  enum class State { kIdle, kReading, kWorking, kWriting, kLingering, kClosed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void wait_for_request();
  void read_header();
  void on_header();
  void on_expectation();
  void read_body();
  void on_read_error(const boost::system::error_code& error);
  void refuse(int status, const Error& error);
  bool take_header();
  void find_route(const Target& target);
  void dispatch();
  Response call_handler();
  void run_in_pool(const Route& route);
  void respond(Response response);
  void on_written();
  void finish_stream(int status, bool reusable);
  void linger();
  void close();
  void set_deadline(std::chrono::milliseconds after) { deadline_ = Clock::now() + after; }
  [[nodiscard]] const ServerLimits& limits() const { return core_.options.limits; }

  IoLoop& loop_;
  ServerCore& core_;
  Socket socket_;
  const Peer peer_;
  const std::string peer_key_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  State state_ = State::kIdle;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point began_;
  Request request_;
  const Route* route_ = nullptr;
  std::optional<Response> refusal_;
  bool keep_alive_ = true;
  bool head_only_ = false;
  bool body_unread_ = false;
  std::size_t lingered_ = 0;
  std::string head_;
  Response response_;
};

/// Status line and header of an answer. `length` unset: chunked.
std::string format_head(const Response& response, std::optional<std::size_t> length, bool keep_alive);

/// Writes to a connection's socket from a worker's thread, waiting where the client is slow.
class SocketStream final : public ResponseStream {
 public:
  struct Options {
    int fd = -1;
    bool http_1_0 = false;  ///< no chunks: the end of the connection ends the answer
    bool head_only = false;
    bool keep_alive = true;
    std::chrono::milliseconds write_timeout{30'000};
  };
  SocketStream(Options options, const std::atomic<bool>& stopping) : options_(options), stopping_(stopping) {}

  Status start(const Response& head) override;
  Status write(std::string_view data) override;
  Status respond(Response response) override;
  bool gone() override;

  /// Ends the answer; called by the server after the handler. False: the connection cannot be used any more.
  bool finish();
  /// The handler failed: the client must see that the answer is not whole.
  void abandon() { gone_ = true; }
  [[nodiscard]] int status() const { return status_; }

 private:
  Status send_all(std::string_view data);
  Status lost(std::string_view why);

  const Options options_;
  const std::atomic<bool>& stopping_;
  int status_ = 0;
  bool chunked_ = false;
  bool complete_ = false;  ///< a whole answer of known length went out
  bool gone_ = false;
};

}  // namespace cacs::net
