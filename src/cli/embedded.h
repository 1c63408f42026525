#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace cacs::cli {

struct ServerEndpoint {
  std::string address;  ///< as --server takes it
  std::string token;    ///< may be empty
};

/// A server of the user's own, for as long as it has work.
class EmbeddedServer {
 public:
  virtual ~EmbeddedServer() = default;
  /// Starts it unless it runs already, and waits until it is ready.
  virtual Result<ServerEndpoint> ensure_running(const std::filesystem::path& state) = 0;
};

/// Starts `PROGRAM server --embedded --state DIR --listen unix:DIR/server.sock --ready-fd 3` in a session of its own,
/// so that it outlives the terminal. A lock file (DIR/start.lock) makes two starters one. The server writes one byte to
/// the descriptor when it is ready; what it prints goes to DIR/server.log, whose end is part of the error when it
/// fails.
class SpawnedServer final : public EmbeddedServer {
 public:
  explicit SpawnedServer(std::filesystem::path program, std::chrono::milliseconds limit = std::chrono::seconds(60))
      : program_(std::move(program)), limit_(limit) {}
  Result<ServerEndpoint> ensure_running(const std::filesystem::path& state) override;

 private:
  Status start(const std::filesystem::path& state);
  std::filesystem::path program_;
  std::chrono::milliseconds limit_;
};

/// Socket of the embedded server with this state.
std::filesystem::path embedded_socket(const std::filesystem::path& state);

/// Whether a server answers on a unix socket now.
Result<bool> socket_answers(const std::filesystem::path& socket);

/// The token that a server keeps beside its socket ("token"), or empty if there is none.
Result<std::string> token_beside(const std::filesystem::path& socket);

}  // namespace cacs::cli
