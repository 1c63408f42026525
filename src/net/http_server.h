#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/http_message.h"
#include "net/http_router.h"

namespace cacs::net {

/// The answer of a stream handler, sent piece by piece. Belongs to the handler's thread.
class ResponseStream {
 public:
  ResponseStream() = default;
  ResponseStream(const ResponseStream&) = delete;
  ResponseStream& operator=(const ResponseStream&) = delete;
  virtual ~ResponseStream() = default;

  /// Sends status and headers of an answer of unknown length; write() follows. The response's body, if any, is the
  /// first piece. kAborted: the client has gone.
  virtual Status start(const Response& head) = 0;
  /// Sends a piece; returns when the kernel has taken it, so a slow client slows the handler down. kAborted: the client
  /// has gone, or has not read for the write timeout, or the server stops; give up.
  virtual Status write(std::string_view data) = 0;
  /// Answers as an ordinary handler would, instead of start().
  virtual Status respond(Response response) = 0;
  /// Whether the client has gone or the server stops. Asks the kernel; cheap.
  [[nodiscard]] virtual bool gone() = 0;
};

/// Everything that bounds what clients can make the server spend.
struct ServerLimits {
  std::size_t header_bytes = std::size_t{16} << 10U;
  std::size_t body_bytes = std::size_t{16} << 20U;
  std::size_t connections = 1024;  ///< beyond: 503 and close
  std::size_t connections_per_peer = 512;
  std::chrono::milliseconds idle_timeout{75'000};    ///< between requests
  std::chrono::milliseconds header_timeout{10'000};  ///< from a request's first byte to the end of its header
  std::chrono::milliseconds body_timeout{60'000};    ///< from there to the end of its body
  std::chrono::milliseconds write_timeout{30'000};   ///< a client that takes nothing for so long has gone
  std::chrono::milliseconds stop_grace{5'000};       ///< what stop() gives answers in flight
  std::size_t workers = 8;                           ///< threads for kBlocking, started when needed
  std::size_t worker_queue = 128;                    ///< requests waiting for one; beyond: 503 with Retry-After
  std::size_t long_answers = 256;                    ///< threads for kLong and streams, started when needed
};

struct ServerStats {
  std::size_t connections = 0;  ///< open now
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;  ///< over a bound on connections
};

struct ServerOptions {
  std::string address = "127.0.0.1";  ///< numeric
  std::uint16_t port = 0;             ///< 0: any free one, see HttpServer::port()
  std::filesystem::path unix_socket;  ///< where set: listens there (mode 0600) and not on TCP
  std::size_t threads = 2;            ///< io threads
  ServerLimits limits;

  /// Looks at every request once its header is there, before its body is read; an answer refuses it. Runs on io
  /// threads: answers from memory. `request.route` names the pattern that matched.
  std::function<std::optional<Response>(const Request&)> gate;
  /// How the server's own refusals (404, 413, 503, ...) look; problem details where unset.
  std::function<Response(int status, const Error&)> render_error;
  /// Told of every answer. Any thread. `route` is the pattern, or empty.
  std::function<void(std::string_view method, std::string_view route, int status, std::chrono::nanoseconds took)>
      observe;
};

/// An HTTP/1.1 server: keep-alive, pipelining, chunked bodies, Expect: 100-continue, streamed answers. A connection
/// costs a few KB and no thread; only a handler at work does (RouteKind). Options and routes do not change after start.
class HttpServer {
 public:
  /// Listens and serves. kUnavailable where the address is taken, kInvalidArgument where it is none. A socket file left
  /// over from a dead server is replaced; one that still answers is kConflict.
  static Result<std::unique_ptr<HttpServer>> start(ServerOptions options, std::vector<Route> routes);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();  ///< stop()

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] ServerStats stats() const;

  /// Takes no more connections and requests, waits for answers in flight (limits.stop_grace), then cuts the rest and
  /// joins every thread. Streams and long polls are told at once. Not from a handler. Any thread, more than once.
  void stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cacs::net
