#include "cli/command.h"
#include "cli/privileges.h"

namespace cacs::cli {

Result<ServerEndpoint> Context::find_server(StartServer when) {
  const Settings& settings = parts_.settings;
  if (!settings.server.empty()) {
    ServerEndpoint endpoint{settings.server, settings.token};
    constexpr std::string_view kUnix = "unix:";
    if (endpoint.token.empty() && endpoint.address.starts_with(kUnix)) {
      // On the server's own machine its token file is there to be read by whoever may.
      auto token = token_beside(endpoint.address.substr(kUnix.size()));
      if (token) endpoint.token = *std::move(token);
    }
    return endpoint;
  }
  const auto socket = embedded_socket(settings.state);
  if (!settings.state.empty()) {
    CACS_ASSIGN(const bool running, socket_answers(socket));
    if (running) {
      CACS_ASSIGN(std::string token, token_beside(socket));
      return ServerEndpoint{"unix:" + socket.string(), std::move(token)};
    }
  }
  std::error_code ignored;
  const bool used = !settings.state.empty() && std::filesystem::exists(settings.state / "server.log", ignored);
  if (when == StartServer::kNever || (when == StartServer::kIfUsed && !used)) {
    return make_error(
               ErrorCode::kUnavailable, "find a server: none is configured, and none of your own runs",
               "name one with --server, CACS_SERVER or in the configuration file; `cacs run -- PROGRAM` starts one")
        .with_type(kUnreachableType);
  }
  CACS_ASSIGN(const Privileges privileges, read_privileges());
  CACS_TRY(check_privileges(privileges));
  return parts_.embedded.ensure_running(settings.state);
}

Result<Api*> Context::connect(StartServer when) {
  if (!api_) {
    CACS_ASSIGN(endpoint_, find_server(when));
    CACS_ASSIGN(client_, make_api_client(endpoint_.address, endpoint_.token));
    api_ = std::make_unique<Api>(*client_);
  }
  return api_.get();
}

Result<std::unique_ptr<ApiClient>> Context::another_client() const {
  return make_api_client(endpoint_.address, endpoint_.token);
}

void Context::print_raw(const std::string& raw) const {
  parts_.terminal.out(raw);
  if (!raw.ends_with('\n')) parts_.terminal.out("\n");
}

}  // namespace cacs::cli
