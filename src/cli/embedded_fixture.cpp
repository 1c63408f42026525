#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>

#include "base/io.h"
#include "base/log.h"
#include "cli/app.h"
#include "net/http_server.h"

// `cacs` with a server role that does only what the side that starts it relies on: it listens, says that it is ready,
// and answers that an application has ended. Ends at SIGTERM, and by itself after a minute, so that no test leaves it
// behind.
namespace {

using cacs::Result;

cacs::net::HttpServer* make_server(const std::string& socket, std::unique_ptr<cacs::net::HttpServer>& owner) {
  const auto app = [](const cacs::net::Request& request) {
    if (request.headers.get("authorization") != "Bearer secret") {
      return cacs::net::problem_response(cacs::make_error(cacs::ErrorCode::kUnauthenticated, "no token"));
    }
    return cacs::net::json_response(request.method == "POST" ? 201 : 200,
                                    R"({"id":"0193a4f2-7c3e-7000-8000-000000000001","name":"p","state":"COMPLETED"})");
  };
  const auto list = [](const cacs::net::Request&) {
    return cacs::net::json_response(200, R"({"items":[],"next_cursor":null})");
  };
  cacs::net::Route logs{.method = "GET", .pattern = "/v1/coordinators/{id}/logs"};
  logs.stream = [](const cacs::net::Request&, cacs::net::ResponseStream& stream) {
    if (!stream.start({}).ok()) return;
    const cacs::Status sent = stream.write("event: end\ndata: {\"exit\":{\"kind\":\"exited\",\"code\":5}}\n\n");
    if (!sent.ok()) std::fprintf(stderr, "%s\n", sent.error().message.c_str());
  };
  cacs::net::ServerOptions options;
  options.unix_socket = socket;
  auto started = cacs::net::HttpServer::start(std::move(options),
                                              {{.method = "POST", .pattern = "/v1/coordinators", .handler = app},
                                               {.method = "GET", .pattern = "/v1/coordinators", .handler = list},
                                               {.method = "GET", .pattern = "/v1/coordinators/{id}", .handler = app},
                                               logs});
  if (!started) return nullptr;
  owner = *std::move(started);
  return owner.get();
}

Result<int> serve(const cacs::cli::ServerOptions& options) {
  if (std::filesystem::exists(options.state / "fail")) {
    std::fprintf(stderr, "the database is broken\n");
    return 3;
  }
  if (!options.embedded || options.listen.size() != 1 || options.ready_fd < 3) return 2;
  ::alarm(60);
  sigset_t terminate;
  ::sigemptyset(&terminate);
  ::sigaddset(&terminate, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &terminate, nullptr);
  std::unique_ptr<cacs::net::HttpServer> owner;
  if (make_server(options.listen[0].substr(5), owner) == nullptr) return 1;
  CACS_TRY(cacs::write_file_durably(options.state / "token", "secret\n"));
  CACS_TRY(cacs::write_file_durably(options.state / "pid", std::to_string(::getpid())));
  CACS_TRY(cacs::write_full(options.ready_fd, std::string_view("r")));
  ::close(options.ready_fd);
  int number = 0;
  ::sigwait(&terminate, &number);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  cacs::cli::Roles roles;
  roles.server = serve;
  roles.check = [](const cacs::cli::CheckOptions&) -> Result<std::vector<cacs::cli::CheckRow>> {
    return std::vector<cacs::cli::CheckRow>{{.name = "engine", .ok = true, .detail = "criu 4.2"},
                                            {.name = "space", .ok = false, .detail = "3 MiB", .advice = "make room"}};
  };
  std::error_code ignored;
  cacs::cli::CommandLine line;
  return line.run(std::vector<std::string>(argv + 1, argv + argc), roles,
                  std::filesystem::read_symlink("/proc/self/exe", ignored));
}
