#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "application/service.h"
#include "base/result.h"
#include "net/http_server.h"

namespace cacs::api {

struct ServerConfig {
  std::string address = "127.0.0.1";  ///< numeric
  std::uint16_t port = 0;             ///< 0: any free one, see Server::port()
  std::filesystem::path unix_socket;  ///< where set: listens there and not on TCP
  std::filesystem::path token_file;   ///< made at the first start; not looked at with no_auth
  bool no_auth = false;               ///< only on a loopback address or a unix socket
  /// Names by which a server on a loopback address is reached besides localhost (a reverse proxy's Host).
  std::vector<std::string> allowed_hosts;
  std::size_t threads = 2;
  net::ServerLimits limits;
};

/// The REST API (docs/api.md) over an application::Service, which must outlive it.
class Server {
 public:
  /// Listens and serves. kInvalidArgument: no_auth where others can connect; kUnavailable: the address is taken;
  /// kPermission: the token file is readable by others.
  static Result<std::unique_ptr<Server>> start(ServerConfig config, application::Service& service);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();  ///< stop()

  [[nodiscard]] std::uint16_t port() const;
  /// "http://127.0.0.1:1234"; for a unix socket "http://localhost".
  [[nodiscard]] std::string url() const;
  /// Connections open now.
  [[nodiscard]] std::size_t connections() const;
  /// Finishes what is in flight, within limits.stop_grace. Any thread but a handler's; more than once.
  void stop();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cacs::api
