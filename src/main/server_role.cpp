#include "main/server_role.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <mutex>

#include "api/server.h"
#include "application/manager.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "cloud/local/local_cloud.h"
#include "database/database.h"
#include "main/paths.h"
#include "repository/levels/open_place.h"

namespace cacs::main {

namespace {

constexpr const char* kDefaultState = "/var/lib/cacs";
constexpr const char* kDefaultListen = "http://127.0.0.1:7070";

/// "unix:/path" or "http://address:port" into a configuration of the API's server.
Status set_listen(api::ServerConfig& config, const std::string& listen) {
  if (listen.starts_with("unix:/")) {
    config.unix_socket = listen.substr(5);
    return {};
  }
  const auto bad = [&] {
    return make_error(ErrorCode::kInvalidArgument, "--listen '" + printable(listen) + "' is not an address",
                      "write unix:/path or http://ADDRESS:PORT with a numeric address");
  };
  if (!listen.starts_with("http://")) return bad();
  std::string rest = listen.substr(7);
  while (rest.ends_with('/')) rest.pop_back();
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string::npos) return bad();
  std::string address = rest.substr(0, colon);
  if (address == "localhost") address = "127.0.0.1";
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  const std::string port = rest.substr(colon + 1);
  char* end = nullptr;
  const unsigned long number = std::strtoul(port.c_str(), &end, 10);
  if (port.empty() || *end != 0 || number > 65535) return bad();
  config.address = address;
  config.port = static_cast<std::uint16_t>(number);
  return {};
}

/// States in which an application asks nothing more of a server than to be looked at.
bool is_at_rest(const std::string& state) { return state == "COMPLETED" || state == "ERROR" || state == "SUSPENDED"; }

Result<bool> all_at_rest(application::Service& service) {
  application::ListFilter filter;
  filter.limit = 1000;
  while (true) {
    CACS_ASSIGN(const auto page, service.list({}, filter));
    for (const auto& application : page.items) {
      if (!is_at_rest(application.state)) return false;
    }
    if (page.next_cursor.empty()) return true;
    filter.cursor = page.next_cursor;
  }
}

/// Waits for SIGTERM or SIGINT; an embedded server also ends once it has had nothing to do and no client for a while.
Status wait_for_end(const sigset_t& signals, bool embedded, application::Service& service, api::Server& server) {
  constexpr int kQuietRounds = 5;
  int quiet = 0;
  while (true) {
    const timespec second{1, 0};
    const int number = embedded ? ::sigtimedwait(&signals, nullptr, &second) : ::sigwaitinfo(&signals, nullptr);
    if (number == SIGTERM || number == SIGINT) return {};
    if (!embedded) continue;
    CACS_ASSIGN(const bool at_rest, all_at_rest(service));
    quiet = at_rest && server.connections() == 0 ? quiet + 1 : 0;
    if (quiet >= kQuietRounds) return {};
  }
}

Status tell_ready(int fd) {
  if (fd < 0) return {};
  const UniqueFd ready(fd);
  return write_full(ready.get(), std::string_view("r")).context("tell that the server is ready");
}

/// One server: everything it is made of, in the order in which it is made and, backwards, taken apart.
struct Parts {
  std::unique_ptr<database::Database> database;
  std::unique_ptr<cloud::LocalCloud> local;
  std::unique_ptr<application::Manager> manager;
  std::vector<std::unique_ptr<api::Server>> servers;
};

/// Each node has a repository of its own, and so a remote level of its own.
Status set_remote(cloud::LocalCloudOptions& local, const cli::ServerOptions& options) {
  if (options.remote.empty()) return {};
  CACS_ASSIGN(repository::Location location, repository::parse_location(options.remote));
  if (location.kind == repository::Location::Kind::kDirectory) {
    location.path = std::filesystem::absolute(location.path).string();
  }
  CACS_TRY(repository::place_below(location, "local-0"));
  local.remote = [location](const std::string& node) {
    const auto place = repository::place_below(location, node);
    return place ? repository::format_location(*place) : std::string();
  };
  local.agent_arguments = [remote = local.remote, rate = options.remote_rate](const std::string& node) {
    const std::string place = remote(node);
    if (place.empty()) return std::vector<std::string>{};
    std::vector<std::string> arguments = {"--remote", place};
    if (rate > 0) arguments.insert(arguments.end(), {"--remote-rate", std::to_string(rate)});
    return arguments;
  };
  return {};
}

Result<Parts> make_parts(const cli::ServerOptions& options, const std::filesystem::path& state) {
  Parts parts;
  CACS_TRY(make_directories(state, 0755));
  CACS_ASSIGN(parts.database, database::open_sqlite(state / "cacs.db"));
  cloud::LocalCloudOptions local;
  local.state = state;
  CACS_ASSIGN(local.program, own_program());
  local.nodes = options.local_nodes;
  local.network = options.local_nodes > 1;
  CACS_TRY(set_remote(local, options));
  CACS_ASSIGN(parts.local, cloud::LocalCloud::open(local));
  application::ManagerOptions manager;
  manager.offers.remote_level = !options.remote.empty();
  CACS_ASSIGN(parts.manager, application::Manager::start(*parts.database, {{"local", parts.local.get()}}, manager));
  std::vector<std::string> listen = options.listen;
  if (listen.empty()) listen.emplace_back(kDefaultListen);
  for (const auto& address : listen) {
    api::ServerConfig config;
    CACS_TRY(set_listen(config, address));
    config.token_file = state / "token";
    // A unix socket is guarded by its mode: whoever can open it is this user.
    config.no_auth = options.no_auth || !config.unix_socket.empty();
    CACS_ASSIGN(auto server, api::Server::start(config, *parts.manager));
    spdlog::info("serving {}", config.unix_socket.empty() ? server->url() : address);
    parts.servers.push_back(std::move(server));
  }
  return parts;
}

}  // namespace

Result<int> run_server_role(const cli::ServerOptions& options) {
  init_logging("server", options.log_level);
  if (::geteuid() != 0) {
    return make_error(ErrorCode::kPermission, "the server makes namespaces and runs the engine, and this is not root",
                      "run it as root (sudo cacs server), or see `cacs check`");
  }
  ::umask(022);
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT}) ::sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread: all of them inherit it
  const auto state = std::filesystem::absolute(options.state.empty() ? kDefaultState : options.state);
  CACS_ASSIGN(Parts parts, make_parts(options, state));
  CACS_TRY(tell_ready(options.ready_fd));
  const Status waited = wait_for_end(signals, options.embedded, *parts.manager, *parts.servers.front());
  spdlog::info("stopping; applications run on");
  for (auto& server : parts.servers) server->stop();
  parts.manager.reset();
  if (options.embedded) {
    if (const auto stopped = parts.local->stop_agents(); !stopped) spdlog::warn("{}", stopped.error().to_string());
  }
  CACS_TRY(waited);
  return 0;
}

}  // namespace cacs::main
