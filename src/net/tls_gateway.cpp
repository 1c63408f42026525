#include "net/tls_gateway.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <openssl/ssl.h>

#include <array>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "base/log.h"
#include "net/netlink.h"
#include "net/socket_options.h"

namespace cacs::net {
namespace asio = boost::asio;
using asio::ip::tcp;
using asio::local::stream_protocol;
using boost::system::error_code;

namespace {

constexpr std::size_t kBuffer = std::size_t{16} << 10U;
/// What the other side is given to take the end of a connection.
constexpr std::chrono::seconds kFarewell{5};

/// One connection of a client and the one made for it. Lives on the gateway's thread alone.
class Relay : public std::enable_shared_from_this<Relay> {
 public:
  Relay(tcp::socket socket, std::string from, asio::ssl::context& tls, const TlsGatewayOptions& options,
        std::unordered_set<Relay*>& all)
      : options_(options),
        from_(std::move(from)),
        all_(all),
        far_(std::move(socket), tls),
        near_(far_.get_executor()),
        timer_(far_.get_executor()) {
    all_.insert(this);
  }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay() { all_.erase(this); }

  void start() {
    close_after(options_.handshake_timeout);
    if (!options_.peer.empty()) far_.set_verify_callback(asio::ssl::host_name_verification(options_.peer));
    far_.async_handshake(asio::ssl::stream_base::server, [self = shared_from_this()](const error_code& error) {
      if (error) return self->refuse(error);
      self->timer_.cancel();
      self->connect();
    });
  }

  void close() {
    timer_.cancel();
    error_code ignored;  // a close that fails leaves nothing to do
    far_.lowest_layer().close(ignored);
    near_.close(ignored);
  }

 private:
  void refuse(const error_code& error) {
    if (error != asio::error::operation_aborted) {
      spdlog::warn("a connection from {} is refused: {}", from_, error.message());
    }
    close();
  }

  void connect() {
    near_.async_connect(stream_protocol::endpoint(options_.unix_socket.string()),
                        [self = shared_from_this()](const error_code& error) {
                          if (error) {
                            spdlog::warn("{}: {}", self->options_.unix_socket.string(), error.message());
                            return self->close();
                          }
                          self->read_far();
                          self->read_near();
                        });
  }

  void read_far() {
    far_.async_read_some(asio::buffer(from_far_), [self = shared_from_this()](const error_code& error, std::size_t n) {
      if (error) return self->far_ended(error);
      asio::async_write(self->near_, asio::buffer(self->from_far_.data(), n),
                        [self](const error_code& failed, std::size_t) {
                          if (failed) return self->close();
                          self->read_far();
                        });
    });
  }

  /// The client has said all that it will; what it is still to be told comes from the other end.
  void far_ended(const error_code& error) {
    if (error != asio::error::eof) return close();  // cut off: TLS knows the difference
    error_code failed;
    near_.shutdown(stream_protocol::socket::shutdown_send, failed);
    if (failed) close();
  }

  void read_near() {
    near_.async_read_some(asio::buffer(from_near_),
                          [self = shared_from_this()](const error_code& error, std::size_t n) {
                            if (error) return self->near_ended();
                            asio::async_write(self->far_, asio::buffer(self->from_near_.data(), n),
                                              [self](const error_code& failed, std::size_t) {
                                                if (failed) return self->close();
                                                self->read_near();
                                              });
                          });
  }

  void near_ended() {
    close_after(kFarewell);
    far_.async_shutdown([self = shared_from_this()](const error_code&) { self->close(); });
  }

  void close_after(std::chrono::milliseconds time) {
    timer_.expires_after(time);
    timer_.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (!error && self) self->close();
    });
  }

  const TlsGatewayOptions& options_;
  const std::string from_;
  std::unordered_set<Relay*>& all_;
  asio::ssl::stream<tcp::socket> far_;
  stream_protocol::socket near_;
  asio::steady_timer timer_;
  std::array<char, kBuffer> from_far_{};
  std::array<char, kBuffer> from_near_{};
};

Status load_files(asio::ssl::context& tls, const TlsFiles& files) {
  const auto check = [](const error_code& error, const std::filesystem::path& path) -> Status {
    if (!error) return {};
    return make_error(ErrorCode::kCorrupt, fmt::format("{}: {}", path.string(), error.message()),
                      "it must be readable and PEM; take the files away to have new ones issued");
  };
  error_code error;
  tls.load_verify_file(files.authority.string(), error);
  CACS_TRY(check(error, files.authority));
  tls.use_certificate_chain_file(files.certificate.string(), error);
  CACS_TRY(check(error, files.certificate));
  tls.use_private_key_file(files.key.string(), asio::ssl::context::pem, error);
  CACS_TRY(check(error, files.key));
  tls.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert, error);
  // Nobody takes up an earlier session: each connection is proved anew.
  const bool set = SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_num_tickets(tls.native_handle(), 0) == 1;
  if (!error && set) return {};
  return make_error(ErrorCode::kInternal, "OpenSSL does not offer TLS 1.3");
}

}  // namespace

struct TlsGateway::Impl {
  explicit Impl(TlsGatewayOptions o) : options(std::move(o)) {}

  Status listen();
  Status listen_here();
  void accept();

  const TlsGatewayOptions options;
  asio::ssl::context tls{asio::ssl::context::tls_server};
  std::unordered_set<Relay*> relays;  ///< outlives the context, whose end may end relays
  asio::io_context context{1};
  tcp::acceptor acceptor{context};
  asio::steady_timer pause{context};
  std::uint16_t port = 0;
  std::mutex stop_mutex;
  std::thread thread;
};

Status TlsGateway::Impl::listen_here() {
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error) {
    return make_error(ErrorCode::kInvalidArgument, "'" + options.address + "' is not an address",
                      "a numeric one is needed");
  }
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) port = acceptor.local_endpoint(error).port();
  if (!error) return {};
  return make_error(ErrorCode::kUnavailable,
                    fmt::format("listen on {} port {}: {}", options.address, options.port, error.message()));
}

Status TlsGateway::Impl::listen() {
  CACS_TRY(load_files(tls, options.tls));
  if (options.network_namespace < 0) return listen_here();
  // A socket belongs to the namespace in which it was made, and so do those that it accepts.
  return in_network(options.network_namespace, [this] { return listen_here(); });
}

void TlsGateway::Impl::accept() {
  acceptor.async_accept([this](const error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted || !acceptor.is_open()) return;
    if (error) {
      // Out of descriptors, most likely: not tried again at once, for nothing but this loop would run then.
      spdlog::warn("accept: {}", error.message());
      pause.expires_after(std::chrono::milliseconds(100));
      pause.async_wait([this](const error_code& stopped) {
        if (!stopped) accept();
      });
      return;
    }
    error_code ignored;  // slower, or nameless, no more
    socket.set_option(tcp::no_delay(true), ignored);
    give_up_silent_peer(socket.native_handle(), options.peer_timeout);
    std::string from = socket.remote_endpoint(ignored).address().to_string();
    if (relays.size() < options.connections) {
      std::make_shared<Relay>(std::move(socket), std::move(from), tls, options, relays)->start();
    }
    accept();
  });
}

TlsGateway::TlsGateway(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsGateway::~TlsGateway() { stop(); }

Result<std::unique_ptr<TlsGateway>> TlsGateway::start(const TlsGatewayOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  CACS_TRY(impl->listen());
  impl->accept();
  impl->thread = std::thread([raw = impl.get()] { raw->context.run(); });
  return std::unique_ptr<TlsGateway>(new TlsGateway(std::move(impl)));
}

std::uint16_t TlsGateway::port() const { return impl_->port; }

void TlsGateway::stop() {
  const std::lock_guard once(impl_->stop_mutex);
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->context, [impl = impl_.get()] {
    error_code ignored;  // nothing to do about it
    impl->acceptor.close(ignored);
    impl->pause.cancel();
    // Then the context has nothing more to do, and run() returns.
    const std::unordered_set<Relay*> all = impl->relays;
    for (Relay* relay : all) relay->close();
  });
  impl_->thread.join();
}

}  // namespace cacs::net
