#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/certificates.h"

namespace cacs::net {

struct TlsGatewayOptions {
  std::string address = "127.0.0.1";  ///< numeric
  std::uint16_t port = 0;             ///< 0: any free one, see TlsGateway::port()
  int network_namespace = -1;         ///< listens in this one; -1: in the calling thread's
  TlsFiles tls;
  std::string peer;                   ///< the name that a client's certificate must have; empty: any of the authority
  std::filesystem::path unix_socket;  ///< what clients are connected to
  std::size_t connections = 512;      ///< beyond: closed at once
  std::chrono::milliseconds handshake_timeout{10'000};
  std::chrono::milliseconds peer_timeout{30'000};  ///< a client that is not heard of has gone
};

/// Lets a server that listens on a unix socket be reached from other machines: takes TLS 1.3 connections of those who
/// prove to be `peer`, or anybody whom the authority has signed for (mutual authentication, RFC 8446), and carries
/// their bytes to and from the socket. What is said there, and how long a silent connection lives, is between the two
/// ends. One thread, and about 40 KB a connection.
class TlsGateway {
 public:
  /// kUnavailable where the address is taken; kInvalidArgument where it is none; kPermission, kNotFound, kCorrupt of
  /// the files.
  static Result<std::unique_ptr<TlsGateway>> start(const TlsGatewayOptions& options);
  TlsGateway(const TlsGateway&) = delete;
  TlsGateway& operator=(const TlsGateway&) = delete;
  ~TlsGateway();  ///< stop()

  [[nodiscard]] std::uint16_t port() const;

  /// Closes every connection. Any thread, more than once.
  void stop();

 private:
  struct Impl;
  explicit TlsGateway(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cacs::net
