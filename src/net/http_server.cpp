#include "net/http_server.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "base/fd.h"
#include "base/log.h"
#include "net/http_session.h"

namespace cacs::net {
namespace asio = boost::asio;
using boost::system::error_code;

bool ServerCore::admit(const std::string& peer_key) {
  const std::lock_guard lock(mutex);
  std::size_t& of_peer = by_peer[peer_key];
  if (connections >= options.limits.connections || of_peer >= options.limits.connections_per_peer) {
    if (of_peer == 0) by_peer.erase(peer_key);
    refused.fetch_add(1);
    return false;
  }
  ++connections;
  ++of_peer;
  accepted.fetch_add(1);
  return true;
}

void ServerCore::leave(const std::string& peer_key) {
  const std::lock_guard lock(mutex);
  --connections;
  const auto found = by_peer.find(peer_key);
  if (found != by_peer.end() && --found->second == 0) by_peer.erase(found);
  if (connections == 0) all_left.notify_all();
}

void IoLoop::arm_sweep() {
  if (sweeping || sessions.empty()) return;
  sweeping = true;
  const ServerLimits& limits = core.options.limits;
  const auto shortest =
      std::min({limits.idle_timeout, limits.header_timeout, limits.body_timeout, limits.write_timeout});
  timer.expires_after(std::clamp(shortest / 4, std::chrono::milliseconds(10), std::chrono::milliseconds(1'000)));
  timer.async_wait([this](error_code error) {
    sweeping = false;
    if (error) return;
    const auto now = Clock::now();
    for (Session* session : sessions) session->check_deadline(now);
    arm_sweep();
  });
}

namespace {

Error listen_error(const std::string& where, int error) {
  if (error == EADDRINUSE) {
    return make_error(ErrorCode::kUnavailable, fmt::format("listen on {}: the address is in use", where),
                      "choose another port, or stop what listens there");
  }
  return errno_error(error, fmt::format("listen on {}", where));
}

/// A socket that listens, made by hand so that the mode of a unix socket is right from its first instant.
Result<UniqueFd> listen_unix(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = path.native();
  if (name.empty() || name.size() >= sizeof address.sun_path) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("the path of a unix socket is too long: {}", name),
                      "at most 107 bytes: choose a shorter directory");
  }
  std::copy(name.begin(), name.end(), address.sun_path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return errno_error(errno, "make a unix socket");
  if (::connect(probe.get(), generic, sizeof address) == 0) {
    return make_error(ErrorCode::kConflict, fmt::format("another server answers on {}", name), "stop it first");
  }
  if (errno == ECONNREFUSED && ::unlink(name.c_str()) != 0) return errno_error(errno, "remove the old socket " + name);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno_error(errno, "make a unix socket");
  // The socket's own mode, from which bind() makes the file's.
  if (::fchmod(fd.get(), 0600) != 0) return errno_error(errno, "fchmod of a socket");
  if (::bind(fd.get(), generic, sizeof address) != 0 || ::listen(fd.get(), SOMAXCONN) != 0)
    return listen_error(name, errno);
  return fd;
}

Peer peer_of(Socket& socket, bool is_unix) {
  Peer peer;
  if (is_unix) {
    peer.address = "unix";
    peer.local = true;
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
      peer.uid = credentials.uid;
      peer.pid = credentials.pid;
    }
    return peer;
  }
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return peer;
  asio::ip::tcp::endpoint tcp;
  tcp.resize(endpoint.size());
  std::copy_n(static_cast<const char*>(static_cast<const void*>(endpoint.data())), endpoint.size(),
              static_cast<char*>(static_cast<void*>(tcp.data())));
  peer.address = tcp.address().to_string();
  peer.local = tcp.address().is_loopback();
  return peer;
}

}  // namespace

struct HttpServer::Impl {
  using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

  Impl(ServerOptions options, std::vector<Route> routes) : core(std::move(options), std::move(routes)) {
    const std::size_t count = std::max<std::size_t>(core.options.threads, 1);
    for (std::size_t i = 0; i < count; ++i) loops.push_back(std::make_unique<IoLoop>(core));
  }

  Status listen();
  Status listen_tcp();
  void run();
  void accept();
  void on_accepted(IoLoop& loop, Socket socket);
  void turn_away(Socket& socket) const;
  void tell_sessions(bool cut);
  void stop();

  ServerCore core;
  std::vector<std::unique_ptr<IoLoop>> loops;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<asio::steady_timer> accept_pause;
  std::vector<std::thread> threads;
  std::uint16_t port = 0;
  std::size_t next_loop = 0;
  std::mutex stop_mutex;
  bool stopped = false;
};

Status HttpServer::Impl::listen_tcp() {
  const ServerOptions& options = core.options;
  const std::string where = fmt::format("{}:{}", options.address, options.port);
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("listen on {}: not an IP address", where),
                      "give a numeric address such as 127.0.0.1");
  }
  const asio::ip::tcp::endpoint endpoint(address, options.port);
  acceptor->open(asio::generic::stream_protocol(endpoint.protocol()), error);
  if (!error) acceptor->set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor->bind(asio::generic::stream_protocol::endpoint(endpoint), error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error) return listen_error(where, error.value());
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(acceptor->native_handle(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return errno_error(errno, "getsockname");
  }
  port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  return ok_status();
}

Status HttpServer::Impl::listen() {
  acceptor = std::make_unique<Acceptor>(loops.front()->context);
  accept_pause = std::make_unique<asio::steady_timer>(loops.front()->context);
  if (core.options.unix_socket.empty()) return listen_tcp();
  CACS_ASSIGN(UniqueFd fd, listen_unix(core.options.unix_socket));
  error_code error;
  acceptor->assign(asio::generic::stream_protocol(AF_UNIX, 0), fd.get(), error);
  if (error) return errno_error(error.value(), "take over a listening socket");
  static_cast<void>(fd.release());
  return ok_status();
}

void HttpServer::Impl::run() {
  accept();
  for (const auto& loop : loops) {
    threads.emplace_back([&context = loop->context] {
      const auto guard = asio::make_work_guard(context);
      context.run();
    });
  }
}

void HttpServer::Impl::accept() {
  IoLoop& loop = *loops[next_loop++ % loops.size()];
  acceptor->async_accept(loop.context, [this, &loop](error_code error, Socket socket) {
    if (!acceptor->is_open()) return;
    if (!error) {
      on_accepted(loop, std::move(socket));
      return accept();
    }
    if (error != asio::error::no_descriptors && error != boost::system::errc::too_many_files_open_in_system) {
      return accept();  // that one client's connection broke
    }
    // No descriptors left: accept would fail again at once, for as long as nothing is closed.
    spdlog::warn("no file descriptors left for new connections; pausing");
    accept_pause->expires_after(std::chrono::milliseconds(200));
    accept_pause->async_wait([this](error_code cancelled) {
      if (!cancelled && acceptor->is_open()) accept();
    });
  });
}

void HttpServer::Impl::on_accepted(IoLoop& loop, Socket socket) {
  const bool is_unix = !core.options.unix_socket.empty();
  Peer peer = peer_of(socket, is_unix);
  std::string key = is_unix && peer.uid ? fmt::format("uid {}", *peer.uid) : peer.address;
  if (!core.admit(key)) return turn_away(socket);
  error_code ignored;  // an option that cannot be set costs only time
  if (!is_unix) socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  auto session = std::make_shared<Session>(loop, std::move(socket), std::move(peer), std::move(key));
  asio::post(loop.context, [session = std::move(session)] { session->start(); });
}

/// One try to say why, without waiting: a crowd of clients must not keep the acceptor busy.
void HttpServer::Impl::turn_away(Socket& socket) const {
  Response busy = core.error_response(
      503, make_error(ErrorCode::kUnavailable, "the server has as many connections as it may have", "try again soon")
               .with_type("too-many-connections"));
  if (busy.headers.find("Retry-After") == nullptr) busy.headers.add("Retry-After", "1");
  std::string text = format_head(busy, busy.content().size(), false);
  text += busy.content();
  static_cast<void>(::send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  error_code ignored;  // it is being closed anyway
  socket.shutdown(Socket::shutdown_send, ignored);
}

void HttpServer::Impl::tell_sessions(bool cut) {
  for (const auto& loop : loops) {
    asio::post(loop->context, [&sessions = loop->sessions, cut] {
      for (Session* session : sessions) session->stop(cut);
    });
  }
}

void HttpServer::Impl::stop() {
  const std::lock_guard once(stop_mutex);
  if (stopped) return;
  stopped = true;
  core.stopping->store(true);
  asio::post(loops.front()->context, [this] {
    error_code ignored;  // nothing to do about it
    acceptor->close(ignored);
    accept_pause->cancel();
  });
  tell_sessions(false);
  {
    std::unique_lock lock(core.mutex);
    core.all_left.wait_for(lock, core.options.limits.stop_grace, [this] { return core.connections == 0; });
  }
  tell_sessions(true);
  core.workers.stop();
  core.long_workers.stop();
  for (const auto& loop : loops) {
    // After what the workers have posted, so that their connections are closed by their own thread.
    asio::post(loop->context, [&context = loop->context] { context.stop(); });
  }
  for (std::thread& thread : threads) thread.join();
  if (!core.options.unix_socket.empty()) ::unlink(core.options.unix_socket.c_str());
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::start(ServerOptions options, std::vector<Route> routes) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(routes));
  CACS_TRY(impl->listen());
  impl->run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

std::uint16_t HttpServer::port() const { return impl_->port; }

ServerStats HttpServer::stats() const {
  ServerStats stats{.accepted = impl_->core.accepted.load(), .refused = impl_->core.refused.load()};
  const std::lock_guard lock(impl_->core.mutex);
  stats.connections = impl_->core.connections;
  return stats;
}

void HttpServer::stop() { impl_->stop(); }

}  // namespace cacs::net
